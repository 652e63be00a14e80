"""Where the mock's engine saturates: throughput and latency over the number of users, measured, as a plot.

    python benchmarks/mock_knee.py [--out docs/explanation/mock-knee.svg] [--seconds 2]

A closed loop of asyncio clients asks the mock, which has eight places, a prefill that steals, and a batch
that slows decoding by 2 % for each other sequence. The times are those of the mock's own log, so the client
has no part in them; Little's law says what the number inside must be, and is printed beside what it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from statistics import mean, quantiles

from pytest_llmperf.mock.process import MockServer, ReceivedRequest, start_mock

USERS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32)
PLACES = 8
MOCK = {
    "latency": {"ttft": "20ms", "itl": "4ms", "prefill": "50us"},
    "capacity": {"running": PLACES, "slowdown": "2%"},
    "replies": [{"regex": "", "text": "a b c d e f g h i j k l m n o"}],
    "log_size": 100_000,
}
BODY = json.dumps({"messages": [{"role": "user", "content": "x" * 80}]}).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n" % len(BODY) + BODY
)


async def user(port: int, until_s: float) -> None:
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while loop.time() < until_s:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()


async def drive(port: int, users: int, seconds: float) -> None:
    until_s = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*(user(port, until_s) for _ in range(users)))


def measure(server: MockServer, users: int, seconds: float) -> dict[str, float]:
    server.reset()
    asyncio.run(drive(server.port, users, seconds))
    done = [one for one in server.requests if one.last_byte_s is not None]
    begin, end = min(one.arrived_s for one in done), max(map(last, done))
    # the ramp at both ends is not the steady state
    kept = [one for one in done if begin + 0.2 * seconds <= last(one) <= begin + 0.95 * seconds]
    span_s = 0.75 * seconds
    stays = [last(one) - one.arrived_s for one in kept]
    rate = len(kept) / span_s
    assert end > begin
    return {"users": users, "rate": rate, "mean_s": mean(stays), "p95_s": quantiles(stays, n=20)[-1]}


def last(one: ReceivedRequest) -> float:
    assert one.last_byte_s is not None
    return one.last_byte_s


def svg(rows: list[dict[str, float]]) -> str:
    """Two panels over the number of users: requests per second, and mean and p95 latency."""
    width, height, left, bottom = 360, 240, 56, 40
    most_users = max(row["users"] for row in rows)

    def panel(offset: int, title: str, unit: str, lines: list[tuple[str, str, float]]) -> list[str]:
        top = max(row[key] * scale for key, _, scale in lines for row in rows) * 1.1
        right = width - 16

        def at(users: float, value: float) -> str:
            across = offset + left + (right - left) * users / most_users
            return f"{across:.1f},{height - bottom - (height - bottom - 30) * value / top:.1f}"

        out = [
            f'<text x="{offset + left}" y="18" class="title">{title}</text>',
            f'<path class="axis" d="M{at(0, top)} L{at(0, 0)} L{at(most_users, 0)}"/>',
            f'<path class="knee" d="M{at(PLACES, 0)} L{at(PLACES, top)}"/>',
        ]
        out += [
            f'<text class="tick" text-anchor="end" x="{offset + left - 6}" '
            f'y="{float(at(0, value).split(",")[1]) + 4:.1f}">{value:.0f}</text>'
            for value in (0, top / 2, top)
        ]
        out += [
            f'<text class="tick" text-anchor="middle" x="{at(users, 0).split(",")[0]}" '
            f'y="{height - bottom + 16}">{users}</text>'
            for users in (1, 8, 16, 24, 32)
        ]
        out.append(f'<text class="tick" x="{offset + left + 100}" y="{height - 6}">users ({unit})</text>')
        for key, name, scale in lines:
            points = [at(row["users"], row[key] * scale) for row in rows]
            out.append(f'<polyline class="{name}" points="{" ".join(points)}"/>')
            out += [
                f'<circle class="dot {name}" cx="{x}" cy="{y}" r="2.5"/>'
                for x, y in (point.split(",") for point in points)
            ]
        return out

    body = [
        *panel(0, "Throughput", "requests/s", [("rate", "rate", 1.0)]),
        *panel(
            width, "Latency: mean, and p95 dashed", "ms", [("mean_s", "mean", 1e3), ("p95_s", "p95", 1e3)]
        ),
    ]
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {height}" role="img"'
                ' aria-label="Throughput and latency of the mock over the number of users">'
            ),
            (
                "<style>text{font:12px sans-serif;fill:#444}.title{font-weight:bold}"
                ".axis{fill:none;stroke:#888}"
                ".knee{stroke:#bbb;stroke-dasharray:2 3}polyline{fill:none;stroke:#2563eb;stroke-width:1.5}"
                ".p95{stroke-dasharray:5 3}.dot{fill:#2563eb}</style>"
            ),
            '<rect width="100%" height="100%" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="write the plot there")
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with start_mock(MOCK) as server:
        rows = [measure(server, users, options.seconds) for users in USERS]
    print(f"{'users':>6} {'requests/s':>11} {'mean ms':>9} {'p95 ms':>9} {'rate x mean':>12}")
    for row in rows:
        inside = row["rate"] * row["mean_s"]
        times = f"{row['mean_s'] * 1e3:9.1f} {row['p95_s'] * 1e3:9.1f}"
        print(f"{row['users']:6.0f} {row['rate']:11.1f} {times} {inside:12.2f}")
    if options.out is not None:
        options.out.write_text(svg(rows), encoding="utf-8")


if __name__ == "__main__":
    main()

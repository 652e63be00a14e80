"""Other people's load generators: how each is asked for the same work, and where it keeps its times.

Nothing is installed: the paths of their commands are given. None of them tags a request in a way that the
server could note, so what they report is matched with the server's log in the order of sending.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from work import Used, Work, run

#: When each request was sent (on any clock) and its time to the first token in seconds, in any order.
Told = list[tuple[float, float]]

LOCUST_USER = """
import itertools, json, os, time
import gevent
from locust import FastHttpUser, task, events

TOLD, NUMBERS = [], itertools.count()
REQUESTS, STREAM = {requests}, {stream}
BODY = {{"model": "m", "messages": [{{"role": "user", "content": "hi"}}]}}


class Asker(FastHttpUser):
    host = "{origin}"
    network_timeout = connection_timeout = 60.0

    @task
    def ask(self):
        number = next(NUMBERS)
        if number == REQUESTS:
            self.environment.runner.quit()
        if number >= REQUESTS:
            gevent.sleep(60)  # until it is stopped
        began, first = time.perf_counter(), 0.0
        if not STREAM:
            self.client.post("/v1/chat/completions", json=BODY).json()
            return
        response = self.client.post("/v1/chat/completions", json={{**BODY, "stream": True}}, stream=True)
        line = b""
        while b"[DONE]" not in line:
            line = response._response.readline(b"\\n")  # its own looks for the ends of header lines
            if line.startswith(b"data: {{"):
                choices = json.loads(line[6:])["choices"]
                if not first and choices and choices[0]["delta"].get("content"):
                    first = time.perf_counter()
        response.content  # to the end, so that the connection can be used again
        TOLD.append((began, first - began))


@events.quitting.add_listener
def keep(**_):
    with open(os.environ["TOLD"], "w") as file:
        json.dump(TOLD, file)
"""


def locust(command: str, work: Work, folder: Path, core: int) -> tuple[Told, Used]:
    """Locust with a FastHttpUser that reads a stream; Locust itself knows no tokens."""
    file, told = folder / "locustfile.py", folder / "told.json"
    origin = work.url.removesuffix("/v1")
    file.write_text(LOCUST_USER.format(requests=work.requests, stream=work.stream, origin=origin))
    rate = work.streams / work.spread_s if work.spread_s else work.streams
    asked = [
        command,
        "-f",
        str(file),
        "--headless",
        "--only-summary",
        "-u",
        str(work.streams),
        "-r",
        str(rate),
    ]
    used = run([*asked, "--stop-timeout", "2"], core=core, TOLD=str(told), LOG=str(folder / "log"))
    return [(began, ttft) for began, ttft in json.loads(told.read_text())], used


def vllm(command: str, work: Work, folder: Path, core: int, *, tokenizer: str) -> tuple[Told, Used]:
    """``vllm bench serve --save-detailed``."""
    asked = [command, "bench", "serve", "--backend", "openai-chat", "--endpoint", "/v1/chat/completions"]
    asked += ["--base-url", work.url.removesuffix("/v1"), "--model", "m", "--tokenizer", tokenizer]
    asked += ["--dataset-name", "random", "--random-input-len", "4", "--random-output-len", "32"]
    asked += ["--num-prompts", str(work.requests), "--max-concurrency", str(work.streams), "--disable-tqdm"]
    asked += [
        "--save-result",
        "--save-detailed",
        "--result-dir",
        str(folder),
        "--result-filename",
        "told.json",
    ]
    used = run(asked, core=core, LOG=str(folder / "log"))
    told = json.loads((folder / "told.json").read_text())
    # in the order of its tasks, which is that of sending
    starts = told.get("start_times") or range(len(told["ttfts"]))
    return [(float(start), ttft) for start, ttft in zip(starts, told["ttfts"], strict=True)], used


def guidellm(command: str, work: Work, folder: Path, core: int, *, tokenizer: str) -> tuple[Told, Used]:
    """``guidellm run`` with its concurrent profile."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text("\n".join(json.dumps({"prompt": f"r{at}"}) for at in range(work.requests)))
    asked = [command, "run", "--backend", f"kind=openai_http,target={work.url.removesuffix('/v1')},model=m"]
    asked += ["--profile", f"kind=concurrent,streams={work.streams}"]
    asked += ["--constraint", f"kind=max_requests,count={work.requests}"]
    asked += ["--data", f"kind=json_file,path={prompts}", "--disable-console"]
    asked += ["--tokenizer", f"kind=huggingface_auto,model={tokenizer}"]
    asked += ["--output", f"kind=json,path={folder / 'told.json'}"]
    used = run(asked, core=core, LOG=str(folder / "log"))
    (benchmark,) = json.loads((folder / "told.json").read_text())["benchmarks"]
    rows = benchmark["requests"]["successful"]
    return [(row["request_start_time"], row["time_to_first_token_ms"] / 1e3) for row in rows], used


def aiperf(command: str, work: Work, folder: Path, core: int, *, tokenizer: str) -> tuple[Told, Used]:
    """``aiperf profile`` with its records."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text("\n".join(json.dumps({"text": f"r{at}"}) for at in range(work.requests)))
    asked = [command, "profile", "-m", "m", "--url", work.url.removesuffix("/v1"), "--endpoint-type", "chat"]
    asked += ["--streaming", "--concurrency", str(work.streams), "--request-count", str(work.requests)]
    asked += ["--input-file", str(prompts), "--custom-dataset-type", "single_turn", "--tokenizer", tokenizer]
    asked += ["--use-server-token-count", "--export-level", "records", "--no-gpu-telemetry"]
    asked += ["--no-server-metrics", "--artifact-dir", str(folder), "--ui", "none"]
    if work.spread_s:
        asked += ["--concurrency-ramp-duration", str(work.spread_s)]
    used = run(asked, core=core, LOG=str(folder / "log"))
    (records,) = folder.rglob("profile_export.jsonl")
    rows = [json.loads(line) for line in records.read_text().splitlines() if line.strip()]
    return [
        (
            row["metadata"]["request_start_ns"] / 1e9,
            row["metrics"]["time_to_first_token"]["value"] / 1e3,
        )
        for row in rows
        if row["metadata"]["benchmark_phase"] == "profiling"
    ], used


#: By the name in ``--peer NAME=COMMAND``; whether it needs a tokenizer.
TOOLS: Mapping[str, tuple[Callable[..., tuple[Told, Used]], bool]] = {
    "locust": (locust, False),
    "vllm": (vllm, True),
    "aiperf": (aiperf, True),
    "guidellm": (guidellm, True),
}


def biases(told: Told, server: Sequence[tuple[float, float]]) -> list[float]:
    """Reported minus real, in the order of sending; *server* has arrivals and real times, warm-ups first."""
    real = sorted(server)[-len(told) :]
    if any(ttft <= 0 for _, ttft in told):
        raise ValueError("it reports times to the first token that are none")
    pairs = zip(sorted(told), real, strict=True)
    return [ttft - true for (_, ttft), (_, true) in pairs]

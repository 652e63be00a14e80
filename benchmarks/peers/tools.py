"""Other people's load generators: how each is asked for the same work, and where it keeps its times.

Nothing is installed: the paths of their commands are given. All keep a time to the first token for every
request; each can be found in the server's log by its prompt or by the X-Request-ID that the tool sends and
keeps. Their records may be longer than what is counted: which requests count, the server's log says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from work import Work

#: The times to the first token in seconds, by the name of the request.
Told = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command that does the work."""

    command: list[str]
    read: Callable[[], Told]  #: what it told, once it has ended
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """How one tool is called."""

    call: Callable[[str, Work, Path, str], Call]  #: its path, the work, a folder, a tokenizer's folder
    ttft: str  #: what it calls the time to the first token, in a few words
    needs_tokenizer: bool = True
    plain: bool = True  #: whether it can ask for an answer in one piece
    command: str = ""  #: whose ``--peer`` it is, if not of its own name


#: Nothing is fetched: the tokenizer is a folder on this disk.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _prompts(work: Work, folder: Path, key: str) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({key: f"r{at}"}) + "\n" for at in range(work.asked)))
    return path


def _locust(read: str) -> Callable[[str, Work, Path, str], Call]:
    def call(command: str, work: Work, folder: Path, _tokenizer: str) -> Call:
        told = folder / "told.json"
        file = Path(__file__).parent / "locustfile.py"
        asked = [command, "-f", str(file), "--headless", "--only-summary", "--stop-timeout", "2"]
        asked += ["-u", str(work.streams), "-r", str(work.streams)]
        environment = {"WORK": work.json(), "TOLD": str(told), "READ": read}
        return Call(command=asked, read=lambda: json.loads(told.read_text()), environment=environment)

    return call


def _vllm(command: str, work: Work, folder: Path, tokenizer: str) -> Call:
    told = folder / "told.json"
    asked = [command, "bench", "serve", "--backend", "openai-chat", "--endpoint", "/v1/chat/completions"]
    asked += ["--base-url", work.origin, "--model", "m", "--tokenizer", tokenizer]
    asked += ["--dataset-name", "random", "--random-input-len", "8", "--random-output-len", "32"]
    asked += ["--num-prompts", str(work.asked), "--max-concurrency", str(work.streams)]
    if work.spread_s:
        # it has no other way to let users begin apart; a little more often than they can ask, and evenly
        asked += ["--request-rate", str(1.1 * work.begin_per_s), "--burstiness", "1000"]
    asked += ["--request-id-prefix", "r", "--ready-check-timeout-sec", "0", "--disable-tqdm"]
    asked += ["--save-result", "--save-detailed", "--result-dir", str(folder)]
    asked += ["--result-filename", told.name]

    def read() -> Told:
        ttfts_s: Sequence[float] = json.loads(told.read_text())["ttfts"]
        return {f"r{at}": ttft_s for at, ttft_s in enumerate(ttfts_s)}  # in the order of its request ids

    return Call(command=asked, read=read, environment=OFFLINE)


def _aiperf(command: str, work: Work, folder: Path, tokenizer: str) -> Call:
    asked = [command, "profile", "-m", "m", "--url", work.origin, "--endpoint-type", "chat"]
    asked += ["--concurrency", str(work.streams), "--request-count", str(work.asked)]
    asked += ["--input-file", str(_prompts(work, folder, "text")), "--custom-dataset-type", "single_turn"]
    asked += ["--dataset-sampling-strategy", "sequential", "--tokenizer", tokenizer]
    asked += ["--use-server-token-count", "--export-level", "records", "--no-gpu-telemetry"]
    asked += ["--no-server-metrics", "--artifact-dir", str(folder / "out"), "--ui", "none"]
    if work.stream:
        asked += ["--streaming"]
    if work.spread_s and work.streams > 1:
        asked += ["--concurrency-ramp-duration", str(work.spread_s)]

    def read() -> Told:
        (records,) = (folder / "out").glob("profile_export.jsonl")
        rows = (json.loads(line) for line in records.read_text().splitlines())
        return {
            row["metadata"]["x_request_id"]: row["metrics"]["time_to_first_token"]["value"] / 1e3
            for row in rows
            if "time_to_first_token" in row["metrics"]
        }

    # told to be offline, it takes the folder for a name on the hub
    return Call(command=asked, read=read, environment={"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": ""})


def _guidellm(command: str, work: Work, folder: Path, tokenizer: str) -> Call:
    told = folder / "told.json"
    stream = "" if work.stream else ",stream=false"
    asked = [command, "run", "--backend", f"kind=openai_http,target={work.origin},model=m{stream}"]
    asked += ["--profile", f"kind=concurrent,streams={work.streams},rampup_duration={work.spread_s}"]
    asked += ["--constraint", f"kind=max_requests,count={work.asked}"]
    asked += ["--data", f"kind=json_file,path={_prompts(work, folder, 'prompt')}", "--disable-console"]
    asked += ["--tokenizer", f"kind=huggingface_auto,model={tokenizer}"]
    asked += ["--output", f"kind=json,path={told}"]

    def read() -> Told:
        (benchmark,) = json.loads(told.read_text())["benchmarks"]
        return {
            _prompt(row["request_args"]): row["time_to_first_token_ms"] / 1e3
            for row in benchmark["requests"]["successful"]
        }

    # ten processes would each import for ten seconds, and share the one core
    return Call(command=asked, read=read, environment={**OFFLINE, "GUIDELLM__MAX_WORKER_PROCESSES": "1"})


def _prompt(arguments: str) -> str:
    return "".join(part["text"] for part in json.loads(arguments)["body"]["messages"][-1]["content"])


#: By the name in ``--peer NAME=COMMAND``.
TOOLS: Mapping[str, Tool] = {
    "locust": Tool(
        call=_locust("readline"),
        ttft="written in its user class: the line with the first text, less the call",
        needs_tokenizer=False,
    ),
    "locust iter_lines": Tool(
        call=_locust("iter_lines"),
        ttft="the same, with the lines of its client's `iter_lines`, which reads 1024 bytes at a time",
        needs_tokenizer=False,
        command="locust",
    ),
    "vllm": Tool(
        call=_vllm,
        ttft="`ttfts` of `vllm bench serve --save-detailed`: the first event with a choice, less the post",
        plain=False,
    ),
    "aiperf": Tool(
        call=_aiperf,
        ttft="`time_to_first_token` of profile_export.jsonl: the first response, less its request's start",
    ),
    "guidellm": Tool(
        call=_guidellm,
        ttft="`time_to_first_token_ms` of its JSON: the first token's iteration, less `request_start`",
    ),
}

"""What real servers answered to every question, kept for tests that have no server.

    python tests/real/servers.py vllm --port 8100 &
    python tests/faithful/recorded.py vllm --port 8100

writes tests/data/answers/vllm.json anew. Ask it of a server that was just started.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from asking import Answered, ask
from questions import QUESTIONS

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "tests" / "data" / "answers"


def load(server: str) -> dict[str, list[Answered]]:
    """The recorded answers of *server*, by the name of the question."""
    kept = json.loads((FOLDER / f"{server}.json").read_text("utf-8"))
    return {name: [Answered.from_json(one) for one in answers] for name, answers in kept.items()}


def record(server: str, port: int) -> None:
    """Ask the server at *port* everything and keep what it says."""
    answers = {
        name: [one.as_json() for one in ask(port, question.data, answers=question.answers)]
        for name, question in QUESTIONS.items()
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps(answers, ensure_ascii=False, indent=0).replace(str(REPOSITORY), "")
    (FOLDER / f"{server}.json").write_text(text + "\n", "utf-8", errors="surrogateescape")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Keep what a real server answers to every question.")
    parser.add_argument("server")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    record(arguments.server, arguments.port)

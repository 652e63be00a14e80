"""Whether the mock answered a question as a real server did, but for what is known."""

from __future__ import annotations

from asking import Answered
from comparing import differences, look
from known import KNOWN

#: How the mock is told to be the server that tests/real/recipes.py starts.
MOCK = {
    "models": ["tiny"],
    "max_model_len": 4096,
    "latency": {"ttft": "0", "itl": "0"},
    "replies": [{"regex": "^(?!JSON)", "text": "word " * 5000}],
}
DIALECTS = {"vllm": "vllm", "llama": "llamacpp"}  #: of the servers


def surprises(server: str, name: str, ours: list[Answered], theirs: list[Answered]) -> list[str]:
    """What differs and is not known to differ, or is known to differ and does not."""
    found = list(differences(look(ours), look(theirs)))
    known = KNOWN[server].get(name)
    if known is None:
        return found
    if not found:
        return [f"no longer differs; take it out of known.py: {known.why}"]
    return [one for one in found if not one.startswith(known.where)]

"""Why a pytest in a process of its own ended, in its own words."""

from __future__ import annotations

import signal

#: What lines begin with that tell why pytest failed.
_TELLING = ("E  ", "ERROR", "INTERNALERROR", "FAILED")

#: What lines begin with that follow from another error.
_FOLLOWING = ("ERROR: found no collectors", "ERROR: not found")

#: What is in the line that says what is wrong with its arguments.
_USAGE = ": error: "

_MOST = 300  #: characters


def last_words(output: str, *, status: int | None = None) -> str:
    """The line of pytest's *output* that says best why it ended; *status*: the process's, if it has ended."""
    lines = [said for line in output.splitlines() if (said := line.strip("= "))]  # without pytest's rules
    why = [line for line in lines if line.startswith(_TELLING) or _USAGE in line]
    first = [line for line in why if not line.startswith(_FOLLOWING)]
    telling = [line.removeprefix("E  ").lstrip() for line in first or why]
    if status is not None and status < 0 and not telling:
        out_of_memory = ", as a system does that runs out of memory" if -status == signal.SIGKILL else ""
        return f"signal {-status} ({signal.strsignal(-status)}) ended it{out_of_memory}"
    silent = "it ended without a word" if status is None else f"it ended with {status} and without a word"
    return (telling or lines or [silent])[-1][:_MOST]

"""What this machine is."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def machine() -> dict[str, str]:
    """Facts for a report: python, system, cpu, cores, and gpu where there is one."""
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": str(os.cpu_count() or "?"),
    }
    gpu = detected_gpu()
    return {**facts, "gpu": gpu} if gpu else facts


def detected_gpu(directory: Path = _NVIDIA) -> str | None:
    """Name of the first NVIDIA GPU, read from its Linux driver; None when there is none to see."""
    for information in sorted(directory.glob("*/information")):
        with suppress(OSError):
            text = information.read_text(errors="replace")
            if match := re.search(r"^Model:\s*(.+)$", text, re.MULTILINE):
                return match[1].strip()
    return None


def _cpu(information: Path = Path("/proc/cpuinfo")) -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", information.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or "unknown"

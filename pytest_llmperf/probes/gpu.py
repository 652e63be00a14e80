"""NVIDIA GPUs, by the driver's own library (the extra ``gpu``)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pytest_llmperf.probes.machine import detected_gpu
from pytest_llmperf.probes.server import NotFoundError

#: Gauges of `core.resources`.
NAMES = ("gpu_memory_mb", "gpu_percent", "gpu_power_w")
_NONE = "no NVIDIA GPU on this machine"


class Gpus:
    """Some GPUs of this machine, sampled together: memory and power added up, utilisation averaged."""

    names = NAMES

    def __init__(self, nvml: Any, devices: Sequence[Any]) -> None:  # Any: the library has no types
        self._nvml = nvml
        self._devices = devices

    @classmethod
    def open(cls, pids: frozenset[int]) -> tuple[Gpus, tuple[str, ...]]:
        """The GPUs on which one of *pids* runs, else all of them, and a note where that is so.

        Raises NotFoundError when there is none, or no way to ask it.
        """
        try:
            pynvml: Any = importlib.import_module("pynvml")  # an extra, and without types
        except ImportError:
            name = detected_gpu()
            why = (
                "no NVIDIA GPU on this machine"
                if name is None
                else f"{name}: pip install pytest-llmperf[gpu]"
            )
            raise NotFoundError(why) from None
        try:
            devices = _devices(pynvml)
        except pynvml.NVMLError as error:
            raise NotFoundError(f"the NVIDIA driver does not answer ({error})") from None
        if not devices:
            raise NotFoundError(_NONE)
        own = [device for device in devices if not pids.isdisjoint(_pids_on(pynvml, device))]
        if own or len(devices) == 1:
            return cls(pynvml, own or devices), ()
        return cls(pynvml, devices), (
            f"the server's process was seen on none of the {len(devices)} GPUs, so all of them are counted",
        )

    def sample(self, _: float) -> Mapping[str, float]:
        """What is known right now; a GPU that cannot tell one leaves it out."""
        nvml = self._nvml
        asked: dict[str, Callable[[Any], float]] = {
            "gpu_memory_mb": lambda device: nvml.nvmlDeviceGetMemoryInfo(device).used / 1e6,
            "gpu_percent": lambda device: nvml.nvmlDeviceGetUtilizationRates(device).gpu / len(self._devices),
            "gpu_power_w": lambda device: nvml.nvmlDeviceGetPowerUsage(device) / 1000,
        }
        found = {}
        for name, ask in asked.items():
            with suppress(nvml.NVMLError):
                found[name] = float(sum(ask(device) for device in self._devices))
        return found

    def close(self) -> None:
        """Let go of the driver."""
        with suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


def _devices(nvml: Any) -> list[Any]:
    nvml.nvmlInit()
    return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]


def _pids_on(nvml: Any, device: Any) -> set[int]:
    with suppress(nvml.NVMLError):
        return {process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(device)}
    return set()

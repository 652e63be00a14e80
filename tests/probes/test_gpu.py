"""The driver's library is replaced by one that answers as it does: a real GPU is seldom at hand."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from pytest_llmperf.probes import gpu as probe
from pytest_llmperf.probes.gpu import Gpus
from pytest_llmperf.probes.server import NotFoundError


class Nvml(ModuleType):
    """Some GPUs: (memory in bytes, utilisation, milliwatts or None, processes)."""

    class NVMLError(Exception):
        pass

    def __init__(self, *devices, broken=False):
        super().__init__("pynvml")
        self.devices = devices
        self.broken = broken
        self.opened = 0

    def nvmlInit(self):  # noqa: N802 - the library's name
        if self.broken:
            raise self.NVMLError("Driver Not Loaded")
        self.opened += 1

    def nvmlShutdown(self):  # noqa: N802 - the library's name
        self.opened -= 1

    def nvmlDeviceGetCount(self):  # noqa: N802 - the library's name
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802 - the library's name
        return self.devices[index]

    def nvmlDeviceGetMemoryInfo(self, device):  # noqa: N802 - the library's name
        return SimpleNamespace(used=device[0])

    def nvmlDeviceGetUtilizationRates(self, device):  # noqa: N802 - the library's name
        return SimpleNamespace(gpu=device[1])

    def nvmlDeviceGetPowerUsage(self, device):  # noqa: N802 - the library's name
        if device[2] is None:
            raise self.NVMLError("Not Supported")
        return device[2]

    def nvmlDeviceGetComputeRunningProcesses(self, device):  # noqa: N802 - the library's name
        if device[3] is None:
            raise self.NVMLError("No Permission")
        return [SimpleNamespace(pid=pid) for pid in device[3]]


@pytest.fixture
def nvml(monkeypatch):
    def install(*devices, **more):
        module = Nvml(*devices, **more)
        monkeypatch.setitem(sys.modules, "pynvml", module)
        return module

    return install


ONE = (6_000_000_000, 80, 70_000, [41])
OTHER = (1_000_000_000, 10, 30_000, [7])


def test_a_gpu_tells_memory_utilisation_and_power(nvml):
    nvml(ONE)
    gpus, notes = Gpus.open(frozenset({41}))
    assert gpus.sample(0.0) == {"gpu_memory_mb": 6000.0, "gpu_percent": 80.0, "gpu_power_w": 70.0}
    assert notes == ()


def test_only_gpus_on_which_the_server_runs_are_counted(nvml):
    nvml(ONE, OTHER)
    gpus, notes = Gpus.open(frozenset({7, 99}))
    assert gpus.sample(0.0)["gpu_memory_mb"] == 1000.0
    assert notes == ()


def test_several_gpus_are_added_up_and_their_utilisation_is_averaged(nvml):
    nvml(ONE, OTHER)
    gpus, _ = Gpus.open(frozenset({7, 41}))
    assert gpus.sample(0.0) == {"gpu_memory_mb": 7000.0, "gpu_percent": 45.0, "gpu_power_w": 100.0}


def test_where_the_server_is_seen_on_no_gpu_all_are_counted_and_it_says_so(nvml):
    nvml(ONE, (*OTHER[:3], None))
    gpus, notes = Gpus.open(frozenset({99}))
    assert gpus.sample(0.0)["gpu_memory_mb"] == 7000.0
    assert notes == ("the server's process was seen on none of the 2 GPUs, so all of them are counted",)


def test_what_a_gpu_cannot_tell_is_left_out(nvml):
    nvml((*ONE[:2], None, [41]))
    gpus, _ = Gpus.open(frozenset({41}))
    assert set(gpus.sample(0.0)) == {"gpu_memory_mb", "gpu_percent"}


def test_the_driver_is_let_go_of(nvml):
    module = nvml(ONE)
    Gpus.open(frozenset())[0].close()
    assert module.opened == 0


def test_a_driver_that_does_not_answer_is_a_reason(nvml):
    nvml(broken=True)
    with pytest.raises(NotFoundError, match=r"the NVIDIA driver does not answer \(Driver Not Loaded\)"):
        Gpus.open(frozenset())


def test_a_machine_without_a_gpu_is_a_reason(nvml):
    nvml()
    with pytest.raises(NotFoundError, match="no NVIDIA GPU on this machine"):
        Gpus.open(frozenset())


@pytest.mark.parametrize(
    ("seen", "reason"),
    [(None, "no NVIDIA GPU on this machine"), ("L4", r"L4: pip install pytest-llmperf\[gpu\]")],
)
def test_without_the_library_the_reason_says_how_to_get_it(monkeypatch, seen, reason):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(probe, "detected_gpu", lambda: seen)
    with pytest.raises(NotFoundError, match=f"^{reason}$"):
        Gpus.open(frozenset())

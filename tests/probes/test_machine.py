from __future__ import annotations

import platform

import pytest

from pytest_llmperf.probes import machine as probe
from pytest_llmperf.probes.machine import detected_gpu, machine


def test_a_machine_is_told_in_words():
    facts = machine()
    assert {"python", "system", "cpu", "cores"} <= set(facts)
    assert all(isinstance(word, str) and word for word in facts.values())
    assert facts["python"] == platform.python_version()


@pytest.fixture
def driver(tmp_path):
    """What the Linux driver says of two GPUs."""
    for address, model in (("0000:02:00.0", "L4"), ("0000:01:00.0", "NVIDIA GeForce RTX 4060")):
        (tmp_path / address).mkdir()
        (tmp_path / address / "information").write_text(f"Model: \t\t {model}\nIRQ: 5\n")
    return tmp_path


def test_the_first_gpu_is_named(driver):
    assert detected_gpu(driver) == "NVIDIA GeForce RTX 4060"


def test_a_gpu_without_a_model_is_passed_over(driver):
    (driver / "0000:01:00.0" / "information").write_text("IRQ: 5\n")
    assert detected_gpu(driver) == "L4"


def test_no_driver_is_no_gpu(tmp_path):
    assert detected_gpu(tmp_path / "none") is None


def test_a_gpu_that_cannot_be_read_is_passed_over(driver):
    information = driver / "0000:01:00.0" / "information"
    information.unlink()
    information.mkdir()
    assert detected_gpu(driver) == "L4"


def test_a_detected_gpu_is_a_fact(monkeypatch):
    monkeypatch.setattr(probe, "detected_gpu", lambda: "L4")
    assert machine()["gpu"] == "L4"


def test_no_gpu_is_no_fact(monkeypatch):
    monkeypatch.setattr(probe, "detected_gpu", lambda: None)
    assert "gpu" not in machine()


def test_the_processor_is_named(tmp_path):
    information = tmp_path / "cpuinfo"
    information.write_text("processor\t: 0\nmodel name\t: A Processor @ 3 GHz\n")
    assert probe._cpu(information) == "A Processor @ 3 GHz"


@pytest.mark.parametrize(("said", "known"), [("arm", "arm"), ("", "unknown")])
def test_where_nothing_names_the_processor_python_does(tmp_path, monkeypatch, said, known):
    monkeypatch.setattr(platform, "processor", lambda: said)
    assert probe._cpu(tmp_path / "none") == known

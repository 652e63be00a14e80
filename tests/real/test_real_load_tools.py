"""Other people's load tools against our mock server: what they find must be what it was told to do."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from recipes import MODEL, MODELS, install, make_model

from pytest_llmperf.mock.process import start_mock

pytestmark = pytest.mark.real

TTFT_MS, ITL_MS, TOKENS = 40.0, 4.0, 16


@pytest.fixture(scope="module")
def vllm():
    """vLLM's environment, and the folder with its tokenizer."""
    if "vllm" not in os.environ.get("LLMPERF_REAL", ""):
        pytest.skip("set LLMPERF_REAL=vllm to install vLLM, whose load generator this is")
    environment = install("vllm")
    make_model(gguf=False)
    return environment, MODELS / MODEL


def test_vllm_bench_serve_finds_the_times_that_the_mock_was_told(vllm, tmp_path):
    environment, model = vllm
    mock = {
        "models": [MODEL],
        "max_model_len": 1024,
        "latency": {"ttft": f"{TTFT_MS}ms", "itl": f"{ITL_MS}ms"},
        "replies": [{"regex": "", "text": "word " * 50}],
    }
    with start_mock(mock) as server:
        command = [
            environment / "bin" / "vllm", "bench", "serve", "--backend", "openai-chat",
            "--base-url", server.url.removesuffix("/v1"), "--endpoint", "/v1/chat/completions",
            "--model", MODEL, "--tokenizer", model, "--dataset-name", "random", "--random-input-len", "32",
            "--random-output-len", str(TOKENS), "--num-prompts", "20", "--max-concurrency", "2",
            "--save-result", "--result-dir", tmp_path, "--result-filename", "found.json",
        ]  # fmt: skip
        quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env={**os.environ, **quiet}, timeout=240, capture_output=True)
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert (found["completed"], found["failed"]) == (20, 0)
    assert found["total_output_tokens"] == 20 * TOKENS
    assert found["median_ttft_ms"] >= TTFT_MS
    assert found["median_tpot_ms"] == pytest.approx(ITL_MS, rel=0.2)

"""The kinds of server that the mock can be."""

from __future__ import annotations

from pytest_llmperf.mock.dialect import Dialect
from pytest_llmperf.mock.llamacpp import LLAMACPP
from pytest_llmperf.mock.ollama_v1 import OLLAMA
from pytest_llmperf.mock.openai_server import OPENAI
from pytest_llmperf.mock.sglang import SGLANG
from pytest_llmperf.mock.tgi import TGI
from pytest_llmperf.mock.vllm import VLLM

DIALECTS: dict[str, Dialect] = {
    "vllm": VLLM,
    "openai": OPENAI,
    "ollama": OLLAMA,
    "llamacpp": LLAMACPP,
    "sglang": SGLANG,
    "tgi": TGI,
}

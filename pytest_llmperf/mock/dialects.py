"""The kinds of server that the mock can be."""

from __future__ import annotations

from pytest_llmperf.mock.dialect import Dialect
from pytest_llmperf.mock.flavours import OLLAMA, OPENAI, SGLANG, TGI
from pytest_llmperf.mock.llamacpp import LLAMACPP
from pytest_llmperf.mock.vllm import VLLM

DIALECTS: dict[str, Dialect] = {
    "vllm": VLLM,
    "openai": OPENAI,
    "ollama": OLLAMA,
    "llamacpp": LLAMACPP,
    "sglang": SGLANG,
    "tgi": TGI,
}

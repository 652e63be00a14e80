"""The paths on which servers tell about themselves, by dialect: what clients and load tools look at first.

llama.cpp's are compared with recordings; SGLang's and TGI's follow their documentation.
"""

# ruff: noqa: E501 - tables as the servers write them

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_llmperf.mock.facts import Facts

_FLOAT32 = {"temperature": 0.800000011920929, "top_p": 0.949999988079071, "min_p": 0.05000000074505806}
PARAMS: dict[str, Any] = {
    "seed": 4294967295, "temperature": _FLOAT32["temperature"], "dynatemp_range": 0.0, "dynatemp_exponent": 1.0, "top_k": 40,
    "top_p": _FLOAT32["top_p"], "min_p": _FLOAT32["min_p"], "top_n_sigma": -1.0, "xtc_probability": 0.0,
    "xtc_threshold": 0.10000000149011612, "typical_p": 1.0, "repeat_last_n": 64, "repeat_penalty": 1.0,
    "presence_penalty": 0.0, "frequency_penalty": 0.0, "dry_multiplier": 0.0, "dry_base": 1.75, "dry_allowed_length": 2,
    "dry_penalty_last_n": 64, "mirostat": 0, "mirostat_tau": 5.0, "mirostat_eta": 0.10000000149011612,
    "adaptive_target": -1.0, "adaptive_decay": 0.8999999761581421, "max_tokens": -1, "n_predict": -1, "n_keep": 0,
    "n_discard": 0, "ignore_eos": False, "stream": False, "n_probs": 0, "min_keep": 0, "chat_format": "Content-only",
    "reasoning_format": "none", "reasoning_in_content": False, "generation_prompt": "",
    "samplers": ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"],
    "speculative.types": "none", "timings_per_token": False, "post_sampling_probs": False, "backend_sampling": False,
    "lora": [],
}  # fmt: skip
_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_ABILITIES = (
    "object_arguments", "parallel_tool_calls", "preserve_reasoning", "reasoning_effort", "string_content",
    "system_role", "tool_calls", "tools", "typed_content",
)  # fmt: skip


def props(facts: Facts) -> Any:
    """llama.cpp's /props."""
    return {
        "default_generation_settings": {"params": PARAMS, "n_ctx": facts.max_model_len},
        "total_slots": facts.places,
        "model_alias": facts.model,
        "model_ftype": "Q4_K - Medium",
        "model_path": f"models/{facts.model}.gguf",
        "modalities": {"vision": False, "video": False, "audio": False},
        "media_marker": "<__media_0000000000000000000000000000000__>",
        "endpoint_slots": True,
        "endpoint_props": False,
        "endpoint_metrics": True,
        "ui": True,
        "ui_settings": {},
        "chat_template": _TEMPLATE,
        "chat_template_caps": {
            f"supports_{name}": name in ("string_content", "system_role") for name in _ABILITIES
        },
        "bos_token": ")",
        "eos_token": "<|im_end|>",
        "build_info": "b9999-0c1e570",
        "is_sleeping": False,
        "cors_proxy_enabled": False,
    }


def slots(facts: Facts) -> Any:
    """llama.cpp's /slots; the first ones are those that are busy."""
    return [
        {
            "id": number,
            "n_ctx": facts.max_model_len,
            "speculative": False,
            "is_processing": number < facts.running,
        }
        for number in range(facts.places)
    ]


def sglang_model(facts: Facts) -> Any:
    """SGLang's /get_model_info."""
    return {
        "model_path": facts.model,
        "tokenizer_path": facts.model,
        "is_generation": True,
        "preferred_sampling_params": None,
        "weight_version": "default",
    }


def sglang_server(facts: Facts) -> Any:
    """SGLang's /get_server_info, as far as its own load generator looks at it."""
    return {
        "model_path": facts.model,
        "served_model_name": facts.model,
        "context_length": facts.max_model_len,
        "max_running_requests": facts.places,
        "max_total_num_tokens": facts.max_model_len * facts.places,
        "disable_radix_cache": False,
        "internal_states": [{"last_gen_throughput": 0.0, "avg_spec_accept_length": None}],
        "version": "0.5.5",
    }


def tgi_info(facts: Facts) -> Any:
    """TGI's /info."""
    return {
        "model_id": facts.model,
        "model_sha": None,
        "model_pipeline_tag": "text-generation",
        "max_concurrent_requests": 128,
        "max_best_of": 2,
        "max_stop_sequences": 4,
        "max_input_tokens": facts.max_model_len - 1,
        "max_total_tokens": facts.max_model_len,
        "validation_workers": 2,
        "max_client_batch_size": 4,
        "router": "text-generation-router",
        "version": "3.3.6",
        "sha": None,
        "docker_label": None,
    }


PAGES: dict[str, dict[str, Callable[[Facts], Any]]] = {
    "llamacpp": {"/props": props, "/slots": slots},
    "sglang": {
        "/get_model_info": sglang_model,
        "/model_info": sglang_model,
        "/get_server_info": sglang_server,
        "/server_info": sglang_server,
    },
    "tgi": {"/info": tgi_info},
}

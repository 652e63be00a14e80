"""The JSON Schema of slo.yaml, made from the metric table.

``python -m pytest_llmperf.slo_yaml.schema`` prints it; the copy for editors is schemas/slo.schema.json.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from pytest_llmperf.core.baseline import MUST_MATCH, SHOWN
from pytest_llmperf.core.cache import CacheMode
from pytest_llmperf.core.load import LOAD_ARGUMENTS
from pytest_llmperf.core.metric import KEYS, METRICS, Shape
from pytest_llmperf.core.slo import ARGUMENTS, STEP_KEYS
from pytest_llmperf.core.yardsticks import WEIGHTS

_POSITIVE = {"type": "number", "exclusiveMinimum": 0}
_PERCENT = {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$"}
_SHARE = {
    "title": "a share such as 0.98 or 98%",
    "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _PERCENT],
}
_REGRESSION = {
    "title": "a share such as 0.10 or 10%",
    "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, _PERCENT],
}
_NAME = {"type": "string", "minLength": 1}
_DURATION = {
    "title": "a duration such as 30s or 300ms",
    "anyOf": [_POSITIVE, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h)?$"}],
}
_DATE = {"title": "a date such as 2027-01-31", "type": "string", "format": "date"}

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "scenario": _NAME,
    "role": _NAME,
    "iterations": {"type": "integer", "minimum": 1},
    "warmup": {"type": "integer", "minimum": 0},
    "max_iterations": {"type": "integer", "minimum": 1},
    "max_regression": _REGRESSION,
    "gate": {"type": "array", "items": {"enum": sorted(KEYS)}},
    "cases": {"anyOf": [_NAME, {"type": "array", "minItems": 1}]},
    "cache": {"enum": [*CacheMode]},
    "max_cost_usd": _POSITIVE,
    "accuracy": {"type": "object", "minProperties": 1, "additionalProperties": _SHARE},
    "steps": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": {key: _SHARE if key == "success_rate" else _POSITIVE for key in STEP_KEYS},
        },
    },
}


def _object(properties: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


def _limits() -> dict[str, Any]:
    properties = {}
    for key, parsed in KEYS.items():
        metric = METRICS[parsed.metric]
        share = metric.shape is Shape.PROPORTION or parsed.metric == "cache_hit_rate"
        properties[key] = {**(_SHARE if share else _POSITIVE), "description": metric.help}
    return properties


def _load() -> dict[str, Any]:
    """The arguments of ``llm_load``; which go together is checked when they are merged."""
    whole = {"type": "integer", "minimum": 1}
    kinds: dict[str, dict[str, Any]] = {
        "users": whole,
        "spawn_rate": _POSITIVE,
        "duration": _DURATION,
        "iterations": whole,
        "shared_iterations": whole,
        "rate": _POSITIVE,
        "arrivals": {"enum": ["constant", "poisson"]},
        "stages": {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 2, "maxItems": 2}},
        "replay": {"anyOf": [_NAME, {"type": "array", "minItems": 1, "items": {"type": "number"}}]},
        "think_time": {"anyOf": [_POSITIVE, _NAME]},
        "max_concurrency": whole,
        "graceful_stop": _DURATION,
        "abort_on": _object({"error_rate": _SHARE, "p95_ms": _POSITIVE, "p95_s": _POSITIVE}),
        "mix": _NAME,
        "weight": _POSITIVE,
    }
    properties = {name: {**kinds[name], "description": text} for name, text in LOAD_ARGUMENTS.items()}
    return _object(properties, description="run the test under a load profile, as @llm_load does")


def _map(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": value}


def build() -> dict[str, Any]:
    """The schema, JSON Schema draft 2020-12."""
    promises = {
        name: {**_ARGUMENTS[name], "description": text} for name, text in ARGUMENTS.items()
    } | _limits()
    mock = json.loads(
        resources.files("pytest_llmperf").joinpath("schemas/mock.schema.json").read_text("utf-8")
    )
    figures = {key: {"$ref": f"#/$defs/promises/properties/{key}"} for key in KEYS}
    promises["load"] = _load()
    definitions = {"promises": _object(promises), **mock.pop("$defs", {})}
    promised = {"$ref": "#/$defs/promises"}
    for name in ("$schema", "$id"):
        mock.pop(name, None)
    backend = _object(
        {
            "kind": {"enum": ["mock", "openai", "ollama"], "description": "the dialect it speaks"},
            "url": _NAME,
            "model": _NAME,
            "models": {**_map(_NAME), "description": "the model of each role, instead of `model`"},
            "api_key_env": {**_NAME, "description": "the environment variable that holds the API key"},
            "hardware": {**_NAME, "description": "a label; baselines of different hardware are not compared"},
            "tokenizer": {
                **_NAME,
                "description": "a tokenizer.json, beside slo.yaml, for a server that cannot count",
            },
            "process": {
                **_object(
                    {
                        "pid": {
                            "title": "a process id, or a file that holds it",
                            "description": "its id, or a file that holds it, beside slo.yaml",
                            "anyOf": [{"type": "integer", "minimum": 1}, _NAME],
                        },
                        "port": {
                            "description": "a port of this machine on which it listens",
                            "type": "integer",
                            "minimum": 1,
                            "maximum": 65535,
                        },
                        "container": {
                            "description": "the name or id of a Docker or Podman container on this machine",
                            "type": "string",
                            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$",
                        },
                    }
                ),
                "minProperties": 1,
                "maxProperties": 1,
                "description": "the server's process, whose memory and CPU are sampled; one of its keys "
                "(default: what listens on the port of a URL on this machine)",
            },
            "timeouts": _object(dict.fromkeys(("connect", "first_token", "stall", "total"), _DURATION)),
            "slo": {
                **_map(promised),
                "description": "limits on this backend, by role, scenario name or node id",
            },
        }
    )
    role = _object(
        {
            "model": _NAME,
            "temperature": {"type": "number", "minimum": 0},
            "max_tokens": {"type": "integer", "minimum": 1},
            "top_p": {"type": "number", "minimum": 0, "maximum": 1},
            "seed": {"type": "integer"},
            "stop": {"anyOf": [_NAME, {"type": "array", "items": _NAME}]},
            "params": {"type": "object", "description": "any other field of the request"},
            "budget": _object(
                {
                    name: {"type": "integer", "minimum": 1}
                    for name in ("input_tokens", "output_tokens", "total_tokens")
                }
            ),
            "slo": promised,
        }
    )
    amount = {"type": "number", "minimum": 0}
    price = _object(
        {
            "input_per_million_usd": amount,
            "output_per_million_usd": amount,
            "cached_input_per_million_usd": amount,
            "gpu_hour_usd": {
                **amount,
                "description": "an hour of all the GPUs together that the model runs on",
            },
        }
    )
    accepted = _object(
        {
            "max_regression": _REGRESSION,
            "until": {**_DATE, "description": "the last day on which it holds"},
            "reason": _NAME,
        },
        required=["max_regression", "until", "reason"],
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "slo.yaml of pytest-llmperf",
        **_object(
            {
                "version": {"const": 1},
                "defaults": promised,
                "backends": _map(backend),
                "roles": _map(role),
                "scenarios": _map(promised),
                "prices": _map(price),
                "max_cost_usd": {**_POSITIVE, "description": "what all requests of a session may cost"},
                "accept": _map(accepted),
                "comparison": _object(
                    {
                        "weights": _object(
                            dict.fromkeys(WEIGHTS, amount),
                            description="how much each quantity counts in the recommendation of a model",
                        ),
                        "keep_small": _object(
                            figures, description="a small model that meets all of these is good enough"
                        ),
                    }
                ),
                "references": {
                    **_map(_object({"source": _NAME, **figures})),
                    "description": "published figures of other models, by name",
                },
                "baseline": _object(
                    {"must_match": {"type": "array", "items": {"enum": [*MUST_MATCH, *SHOWN]}}}
                ),
                "mock": mock,
            }
        ),
        "$defs": definitions,
    }


def text() -> str:
    """The schema as the file that editors read."""
    return json.dumps(build(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")  # noqa: T201 - its purpose

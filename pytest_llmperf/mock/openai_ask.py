"""OpenAI-style requests, checked as vLLM checks them, in terms that every dialect shares."""

# ruff: noqa: S311 - replies and delays, not secrets

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from pytest_llmperf.mock.checks import Problem, Refusal, flag, validation, whole
from pytest_llmperf.mock.conversation import Conversation, after_marker, from_messages, text_of
from pytest_llmperf.mock.demands import Demands
from pytest_llmperf.mock.generation import Ask
from pytest_llmperf.mock.instance import check_schema
from pytest_llmperf.mock.pattern import make_match
from pytest_llmperf.mock.pieces import count_tokens
from pytest_llmperf.mock.sampling import MAX_N, check_sampling

MAX_PROMPTS = 256  #: prompts in one text completion
_SHAPING = frozenset(  # fields that decide what form the answer has
    {
        "include_stop_str_in_output",
        "logprobs",
        "n",
        "response_format",
        "stop",
        "structured_outputs",
        "tool_choice",
        "tools",
        "top_logprobs",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server takes."""

    default_model: str
    models: tuple[str, ...]  #: empty: any
    max_model_len: int
    user_marker: str | None
    lenient: frozenset[str]  #: shapes of Refusal that it does not have
    demands: Demands


def chat_ask(request: Any, limits: Limits, *, role: str | None) -> Ask:
    """What a chat request asks for; Refusal when vLLM would not take it."""
    demands = limits.demands
    checked = demands.chat(request)
    messages = checked["messages"]
    demands.messages(messages)
    model = check_model(checked, limits)
    if "sampling" not in limits.lenient:
        check_sampling(checked, limit=_wanted(checked))
        demands.values(checked, checked.get("top_logprobs"))
    if not messages and "empty" not in limits.lenient:
        raise Refusal(
            status=400,
            message="messages must hold at least one message. (parameter=messages, value=[])",
            param="messages",
            shape="empty",
        )
    said = from_messages(messages, model=model, marker=limits.user_marker, role=role)
    if _SHAPING.isdisjoint(checked):  # most requests only ask
        tokens = sum(map(message_tokens, messages))
        most = room(_wanted(checked), tokens, limits, lambda: _characters(messages))
        return Ask(said=said, prompt_tokens=tokens, max_tokens=most, plain=True)
    tools = _tools(checked)
    choice = _tool_choice(checked, tools)
    prompt_tokens = sum(map(message_tokens, messages))
    if tools and choice != "none":
        prompt_tokens += sum(count_tokens(str(tool)) for tool in tools)
    json_object, schema, options = _format(checked)
    return Ask(
        said=said,
        prompt_tokens=prompt_tokens,
        max_tokens=room(_wanted(checked), prompt_tokens, limits, lambda: _characters(messages)),
        n=max(1, min(whole(checked.get("n"), 1), MAX_N)),
        stop=_stops(checked),
        keep_stop=flag(checked.get("include_stop_str_in_output")),
        json_object=json_object,
        schema=schema,
        options=options,
        tool_choice=choice,
        tools=tools,
        top_logprobs=whole(checked.get("top_logprobs"), 0) if flag(checked.get("logprobs")) else None,
    )


def _characters(messages: list[Any]) -> int:
    return sum(len(text_of(message.get("content"))) for message in messages)


def _wanted(request: dict[str, Any]) -> Any:
    wanted = request.get("max_completion_tokens")
    return request.get("max_tokens") if wanted is None else wanted


def completion_asks(request: Any, limits: Limits, *, role: str | None) -> list[Ask]:
    """One Ask per prompt of a text completion."""
    demands = limits.demands
    checked = demands.completion(request)
    model = check_model(checked, limits)
    if "sampling" not in limits.lenient:
        check_sampling(checked, limit=checked.get("max_tokens"), least=0 if flag(checked.get("echo")) else 1)
        demands.values(checked, checked.get("logprobs"))
    json_object, schema, options = _format(checked)
    asks = []
    for text, tokens in _prompts(checked["prompt"]):
        said = Conversation(
            model=model, user=after_marker(text, limits.user_marker), system="", history=(), role=role
        )
        logprobs = checked.get("logprobs")
        asks.append(
            Ask(
                said=said,
                prompt_tokens=tokens,
                max_tokens=room(
                    16 if checked.get("max_tokens") is None else checked["max_tokens"],
                    tokens,
                    limits,
                    text.__len__,
                ),
                n=max(1, min(whole(checked.get("n"), 1), MAX_N)),
                stop=_stops(checked),
                keep_stop=flag(checked.get("include_stop_str_in_output")),
                json_object=json_object,
                schema=schema,
                options=options,
                top_logprobs=None if logprobs is None else int(logprobs),
                echo=text if flag(checked.get("echo")) else "",
            )
        )
    return asks


def check_model(request: dict[str, Any], limits: Limits) -> str:
    """The model's name; Refusal when it is not served."""
    model = request.get("model")
    if model is None or model == "":
        return limits.default_model
    models = limits.models
    if models and "tag" in limits.lenient and f"{model}:latest" in models:
        return str(model)
    if models and model not in models and "own_model" in limits.lenient:
        return models[0]
    if models and model not in models and "model" not in limits.lenient:
        raise Refusal(
            status=404,
            message=f"The model `{model}` does not exist. Valid aliases: {', '.join(models)}.",
            type="NotFoundError",
            param="model",
            shape="model",
            value=model,
        )
    return str(model)


def room(wanted: Any, prompt_tokens: int, limits: Limits, characters: Callable[[], int]) -> int:
    """How many tokens may be generated; Refusal when the prompt or the wish does not fit."""
    max_model_len = limits.max_model_len
    if prompt_tokens < max_model_len and "max_tokens" in limits.lenient:
        least = max_model_len - prompt_tokens
        return least if wanted is None or int(wanted) < 0 else min(int(wanted), least)
    if wanted is not None and int(wanted) > max_model_len:
        limit = int(wanted)
        raise Refusal(
            status=400,
            message=f"max_tokens={limit} cannot be greater than max_model_len={max_model_len}. Please request fewer output "  # noqa: E501
            f"tokens. (parameter=max_tokens, value={limit})",
            param="max_tokens",
            shape="max_tokens",
            value=(limit, prompt_tokens),
        )
    if prompt_tokens > max_model_len:
        limits.demands.length(characters(), max_model_len)
        least = max_model_len + 1
        raise Refusal(
            status=400,
            message=f"This model's maximum context length is {max_model_len} tokens. However, your prompt contains at least "  # noqa: E501
            f"{least} input tokens, which exceeds this limit even without any output tokens. Please reduce the length of "  # noqa: E501
            f"the input prompt. (parameter=input_tokens, value={least})",
            param="input_tokens",
            shape="context",
            value=(max_model_len, prompt_tokens),
        )
    if wanted is None:
        return max_model_len - prompt_tokens
    if "sum" in limits.lenient:
        return min(int(wanted), max_model_len - prompt_tokens)
    if int(wanted) + prompt_tokens > max_model_len:
        total = int(wanted) + prompt_tokens
        raise Refusal(
            status=400,
            message=f"This model's maximum context length is {max_model_len} tokens. However, you requested {int(wanted)} "  # noqa: E501
            f"output tokens and your prompt contains {prompt_tokens} input tokens, for a total of {total} tokens. Please "  # noqa: E501
            "reduce the length of the input prompt or the number of requested output tokens. "
            f"(parameter=input_tokens, value={prompt_tokens})",
            param="input_tokens",
            shape="max_tokens",
            value=(int(wanted), prompt_tokens),
        )
    return int(wanted)


def message_tokens(message: dict[str, Any]) -> int:
    """The estimate for one message: its text, and the tool calls it carries."""
    content = message.get("content")
    tokens = count_tokens(content if isinstance(content, str) else text_of(content))
    calls = message.get("tool_calls")
    return tokens + count_tokens(str(calls)) if calls else tokens


def _prompts(prompt: Any) -> list[tuple[str, int]]:
    """Texts and token counts of a completion's prompt: text, token ids, or a list of either."""
    if isinstance(prompt, str):
        return [(prompt, count_tokens(prompt))]
    if isinstance(prompt, list) and prompt:
        if all(isinstance(item, int) for item in prompt):
            return [(" ".join(map(str, prompt)), len(prompt))]
        if len(prompt) <= MAX_PROMPTS and all(isinstance(item, str) or _is_ids(item) for item in prompt):
            return [one for item in prompt for one in _prompts(item)]
    raise Refusal(
        status=400, message="Either prompt or prompt_embeds must be provided and non-empty.", shape="prompt"
    )


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, int) for item in value)


def _stops(request: dict[str, Any]) -> tuple[str, ...]:
    stop = request.get("stop")
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _format(request: dict[str, Any]) -> tuple[bool, Any, tuple[str, ...]]:  # noqa: C901, PLR0911
    """(any JSON object, JSON Schema, options) that the answer is constrained to."""
    structured = request.get("structured_outputs")
    if isinstance(structured, dict):
        if structured.get("json") is not None:
            return False, _checked_schema(structured["json"]), ()
        if isinstance(structured.get("choice"), list) and structured["choice"]:
            return False, None, tuple(map(str, structured["choice"]))
        if structured.get("json_object"):
            return True, None, ()
        if isinstance(structured.get("regex"), str):
            return False, None, (make_match(structured["regex"], Random(0)),)
    wanted = request.get("response_format")
    if not isinstance(wanted, dict):
        return False, None, ()
    kind = wanted.get("type")
    if kind == "json_object":
        return True, None, ()
    if kind == "json_schema":
        holder = wanted.get("json_schema")
        if not isinstance(holder, dict):
            raise validation(
                [Problem("missing", "body.response_format.json_schema", "Field required", wanted)]
            )
        schema = holder.get("schema")
        return (True, None, ()) if schema is None else (False, _checked_schema(schema), ())
    if kind in ("text", None):
        return False, None, ()
    text = "Input should be 'text', 'json_object' or 'json_schema'"
    raise validation([Problem("literal_error", "body.response_format.type", text, kind)])


def _checked_schema(schema: Any) -> Any:
    check_schema(schema)
    return schema


def _tools(request: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    functions = []
    for at, tool in enumerate(request.get("tools") or ()):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise validation([Problem("missing", f"body.tools.{at}.function", "Field required", tool)])
        functions.append(function)
    return tuple(functions)


def _tool_choice(request: dict[str, Any], tools: tuple[dict[str, Any], ...]) -> str:
    choice = request.get("tool_choice")
    if not tools or choice == "none":
        return "none"
    if choice is None or choice == "auto":
        return "auto"
    if choice == "required":
        return "required"
    name = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    if name not in [tool["name"] for tool in tools]:
        raise Refusal(
            status=400,
            message="The tool specified in `tool_choice` does not match any of the specified `tools` (parameter=tool_choice)",  # noqa: E501
            param="tool_choice",
            shape="tools",
        )
    return str(name)

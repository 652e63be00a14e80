"""What vLLM refuses before it looks at single fields: combinations that make no sense, in its order."""

from __future__ import annotations

from typing import Any

from pytest_llmperf.mock.checks import Refusal, validation
from pytest_llmperf.mock.demands import Demands, chat_fields, completion_fields
from pytest_llmperf.mock.sampling import check_vllms_own
from pytest_llmperf.mock.vllm_messages import check_parts, message_problems

_RULED = frozenset(
    {
        "continue_final_message",
        "logprobs",
        "prompt_logprobs",
        "response_format",
        "structured_outputs",
        "tool_choice",
        "tools",
        "top_logprobs",
    }
)
_VALUED = frozenset({"logprobs", "n", "response_format", "stop", "top_logprobs"})
_LONGEST_TOKEN = 128  # characters of the longest token in the vocabulary of Qwen2 and its like
_NO_CONSTRAINT = (
    "You must use one kind of structured outputs constraint but none are specified: {'json': None, 'regex': "
    "None, 'choice': None, 'grammar': None, 'json_object': None, 'disable_any_whitespace': False, "
    "'disable_additional_properties': False, 'whitespace_pattern': None, 'structural_tag': None, "
    "'_backend': None, '_backend_was_auto': False}"
)
_CORRECT = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'


def _chat(request: Any) -> dict[str, Any]:
    if isinstance(request, dict):
        _check_chat(request)
    return chat_fields(request)


def _completion(request: Any) -> dict[str, Any]:
    if isinstance(request, dict):
        _check_completion(request)
    return completion_fields(request)


def _check_chat(request: dict[str, Any]) -> None:
    messages = request.get("messages", ())
    if messages is None or isinstance(messages, int | float):
        raise Refusal(status=400, message=f"'{type(messages).__name__}' object is not iterable")
    if _RULED.isdisjoint(request):
        _check_stream_options(request)
        return
    if request.get("continue_final_message") and request.get("add_generation_prompt"):
        both = "`continue_final_message` and `add_generation_prompt`"
        raise Refusal(status=400, message=f"Cannot set both {both} to True.")
    _check_tools(request)
    _check_structured(request)
    _check_logprobs(request, "top_logprobs")
    _check_stream_options(request)
    _check_response_format(request)


def _check_completion(request: dict[str, Any]) -> None:
    prompt = request.get("prompt")
    if prompt is None or prompt == "":
        raise _ruled("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    if prompt == []:
        raise Refusal(status=400, message="You must pass at least one prompt")
    if request.get("suffix"):
        raise Refusal(
            status=400,
            message="suffix is only supported for models with FIM completion rendering",
            param="suffix",
        )
    _check_stream_options(request)
    _check_logprobs(request, "logprobs")
    _check_structured(request)
    _check_response_format(request)


def _check_values(request: dict[str, Any], alternatives: Any) -> None:
    """Raise Refusal for values, of the right types, that only vLLM refuses."""
    if _VALUED.isdisjoint(request):
        return
    check_vllms_own(request, alternatives)
    wanted = request.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return
    holder = wanted["json_schema"]
    if isinstance(holder, dict) and holder.get("schema") is None:
        raise Refusal(status=400, message=_NO_CONSTRAINT, shape="schema")


def _check_messages(messages: list[Any]) -> None:
    if not all(map(_only_says, messages)):  # nearly all do
        problems = message_problems(messages)
        if problems:
            raise validation(problems)
        check_parts(messages)
    if not messages:
        text = "Cannot apply chat template to an empty conversation. Provide at least one message."
        raise Refusal(status=400, message=text, shape="empty")
    for message in messages:
        _check_text(message.get("content"))


def _only_says(message: Any) -> bool:
    """Whether it has a role and a text."""
    return (
        isinstance(message, dict)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("content"), str)
    )


def _check_text(content: Any) -> None:
    """Half of a character, which JSON can write, is none for a tokenizer."""
    try:
        if isinstance(content, str) and not content.isascii():
            content.encode()
    except UnicodeEncodeError:
        text = "TextEncodeInput must be Union[TextInputSequence, Tuple[InputSequence, InputSequence]]"
        raise Refusal(status=400, message=text) from None


def _check_length(characters: int, window: int) -> None:
    most = window * _LONGEST_TOKEN
    if characters > most:
        raise Refusal(
            status=400,
            message=f"This model's maximum context length is {window} tokens. However, your prompt contains "
            f"{characters} characters (more than {most} characters, which is the upper bound for {window} "
            "input tokens). Please reduce the length of the input prompt. "
            f"(parameter=input_text, value={characters})",
            param="input_text",
            shape="context",
            value=(window, characters),
        )


def _ruled(message: str, parameter: str, value: Any = None) -> Refusal:
    shown = f", value={value}" if value is not None else ""
    return Refusal(status=400, message=f"{message} (parameter={parameter}{shown})", param=parameter)


def _check_tools(request: dict[str, Any]) -> None:
    tools, choice = request.get("tools"), request.get("tool_choice")
    if tools == []:
        text = (
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        )
        raise _ruled(text, "tools")
    if choice is None or choice == "none":
        return
    if tools is None:
        raise _ruled("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if not isinstance(choice, dict):
        if choice not in ("auto", "required"):
            text = 'Only named tools, "none", "auto" or "required" are supported.'
            raise _ruled(f"Invalid value for `tool_choice`: {choice}! {text}", "tool_choice")
        return
    function = choice.get("function")
    if not isinstance(function, dict):
        text = f"Invalid value for `function`: `{function}` in `tool_choice`! {_CORRECT}"
        raise _ruled(text, "tool_choice.function")
    if "name" not in function:
        text = f"Expected field `name` in `function` in `tool_choice`! {_CORRECT}"
        raise _ruled(text, "tool_choice.function.name")
    if not isinstance(function["name"], str) or not function["name"]:
        text = f"Invalid `name` in `function`: `{function['name']}` in `tool_choice`! {_CORRECT}"
        raise _ruled(text, "tool_choice.function.name")


def _check_structured(request: dict[str, Any]) -> None:
    wanted = request.get("structured_outputs")
    if not isinstance(wanted, dict):
        return
    if sum(wanted.get(kind) is not None for kind in ("json", "regex", "choice")) > 1:
        kinds = "('json', 'regex' or 'choice')"
        text = f"You can only use one kind of constraints for structured outputs {kinds}."
        raise Refusal(status=400, message=text)


def _check_logprobs(request: dict[str, Any], own: str) -> None:
    for name in ("prompt_logprobs", own):
        value = request.get(name)
        if value is not None and not isinstance(value, int | float):
            raise _ruled(f"`{name}` must be an integer.", name, value)
    for_prompt = request.get("prompt_logprobs")
    if for_prompt is not None:
        if request.get("stream") and (for_prompt > 0 or for_prompt == -1):
            text = "`prompt_logprobs` are not available when `stream=True`."
            raise _ruled(text, "prompt_logprobs")
        if for_prompt < 0 and for_prompt != -1:
            text = "`prompt_logprobs` must be a positive value or -1."
            raise _ruled(text, "prompt_logprobs", for_prompt)
    value = request.get(own)
    if value is None:
        return
    if value < 0 and value != -1:
        raise _ruled(f"`{own}` must be a positive value or -1.", own, value)
    if own == "top_logprobs" and (value > 0 or value == -1) and not request.get("logprobs"):
        raise _ruled("when using `top_logprobs`, `logprobs` must be set to true.", own)


def _check_stream_options(request: dict[str, Any]) -> None:
    if request.get("stream_options") and not request.get("stream"):
        raise _ruled("Stream options can only be defined when `stream=True`.", "stream_options")


def _check_response_format(request: dict[str, Any]) -> None:
    wanted = request.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return
    if wanted.get("json_schema") is None:
        text = "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        raise _ruled(text, "response_format")


VLLM_DEMANDS = Demands(
    chat=_chat,
    completion=_completion,
    messages=_check_messages,
    values=_check_values,
    length=_check_length,
    only_json=True,
)

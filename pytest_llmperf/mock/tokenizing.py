"""/tokenize and /detokenize, in the words of vLLM and of llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Problem, Refusal, flag, parse_body, validation
from pytest_llmperf.mock.conversation import text_of
from pytest_llmperf.mock.dialect import to_bytes
from pytest_llmperf.mock.openai_ask import check_model, message_tokens
from pytest_llmperf.mock.pieces import count_tokens, piece_id, split_pieces
from pytest_llmperf.mock.request_fields import DETOKENIZE, TOKENIZE, check_fields

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock


class Tokenizing:
    """Texts to tokens and back."""

    __slots__ = ("_known", "_server")

    def __init__(self, server: Mock) -> None:
        self._server = server
        self._known: dict[int, str] = {}  # the tokens that /tokenize gave, at most the whole vocabulary

    def tokenize(self, call: Call) -> None:
        """/tokenize."""
        server = self._server
        request = parse_body(call.body)
        body = self._llamacpp_tokens(request) if server.dialect.name == "llamacpp" else self._tokens(request)
        server.send(call, 200, to_bytes(body), content_type=server.dialect.json_type)

    def detokenize(self, call: Call) -> None:
        """/detokenize: the text of ids that /tokenize gave; an id that it never gave is U+FFFD."""
        server = self._server
        request = parse_body(call.body)
        if server.dialect.name == "llamacpp":
            key, ids = "content", _llamacpp_ids(request)
        else:
            key, ids = "prompt", check_fields(request, DETOKENIZE, required=("tokens",))["tokens"]
        text = "".join(self._known.get(int(one), "\N{REPLACEMENT CHARACTER}") for one in ids)
        server.send(call, 200, to_bytes({key: text}), content_type=server.dialect.json_type)

    def _tokens(self, request: Any) -> dict[str, Any]:
        checked = check_fields(request, TOKENIZE, required=())
        if checked.get("prompt") is None and checked.get("messages") is None:
            names = ("prompt", "messages")
            raise validation(
                [Problem("missing", f"body.{name}", "Field required", checked) for name in names]
            )
        check_model(checked, self._server.limits)
        messages = checked.get("messages")
        if messages is not None:
            kept = [message for message in messages if isinstance(message, dict)]
            text = "\n".join(text_of(message.get("content")) for message in kept)
            count = sum(map(message_tokens, kept))
        else:
            text = str(checked.get("prompt") or "")
            count = count_tokens(text)
        pieces = split_pieces(text)
        return {
            "count": count,
            "max_model_len": self._server.config.max_model_len,
            "tokens": [*self._ids(pieces), *([0] * (count - len(pieces)))][:count],
            "token_strs": pieces if flag(checked.get("return_token_strs")) else None,
        }

    def _llamacpp_tokens(self, request: Any) -> dict[str, Any]:
        given = request if isinstance(request, dict) else {}
        pieces = split_pieces(str(given.get("content") or ""))
        tokens: list[Any] = self._ids(pieces)
        if given.get("with_pieces") is True:
            tokens = [{"id": one, "piece": piece} for one, piece in zip(tokens, pieces, strict=True)]
        return {"tokens": tokens}

    def _ids(self, pieces: tuple[str, ...]) -> list[int]:
        """The tokens of *pieces*, remembered for /detokenize."""
        ids = list(map(piece_id, pieces))
        self._known.update(zip(ids, pieces, strict=True))
        return ids


def _llamacpp_ids(request: Any) -> list[int]:
    ids = request.get("tokens") if isinstance(request, dict) else None
    for one in ids if isinstance(ids, list) else ():
        if isinstance(one, bool) or not isinstance(one, int):
            text = "[json.exception.type_error.302] type must be number, but is string"
            raise Refusal(status=500, message=text, shape="own")
    return ids if isinstance(ids, list) else []

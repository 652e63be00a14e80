"""How answers are set on their way: those written before, those due at once, those nobody waits for."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace

import pytest

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal, parse_body
from pytest_llmperf.mock.conversation import Conversation
from pytest_llmperf.mock.delivery import Delivery
from pytest_llmperf.mock.dialects import DIALECTS
from pytest_llmperf.mock.generation import Ask, Generation, generate, make_up
from pytest_llmperf.mock.head import Head
from pytest_llmperf.mock.metrics import Finished, Metrics
from pytest_llmperf.mock.parcel import Outbox, Parcel
from pytest_llmperf.mock.plan import Plan
from pytest_llmperf.mock.reuse import Reuse, Written
from pytest_llmperf.mock.rules import Answer


def asked(text="soru", **more):
    said = Conversation(model="m", user=text, system="", history=())
    return Ask(said=said, prompt_tokens=3, max_tokens=99, **more)


def generation(text="bir iki"):
    ask = asked()
    return Generation(ask=ask, choices=generate(ask, Answer(text=text)), id="chatcmpl-old", created=7)


class Line:
    """A connection that notes what is written to it."""

    def __init__(self):
        self.transport = self
        self.written = []

    def write(self, data):
        self.written.append(data)

    def finished(self, call):
        self.written.append(call.delivery.finished() if call.delivery else None)


class Loop:
    """A loop whose turn ends when the test says so."""

    def __init__(self):
        self.soon = []

    def call_soon(self, callback):
        self.soon.append(callback)


def call_on(line):
    return Call(line, Head(method="POST", target=b"/", headers=[]), b"", 1_000)


def parcel_on(line, data, *, first_ns=2_000, due_ns=5_000):
    call = call_on(line)
    call.delivery = Parcel(call, generation(), data, first_ns=first_ns, due_ns=due_ns)
    return call


def test_answers_due_at_once_leave_in_order_when_the_turn_of_the_loop_ends():
    loop, line = Loop(), Line()
    outbox = Outbox(loop)
    for data in (b"a", b"b"):
        parcel_on(line, data).delivery.start(None, outbox)
    assert line.written == []
    (leave,) = loop.soon
    leave()
    assert [data for data in line.written if isinstance(data, bytes)] == [b"a", b"b"]


def test_an_answer_whose_client_left_in_the_same_turn_is_not_sent():
    loop, line = Loop(), Line()
    call = parcel_on(line, b"a")
    call.delivery.start(None, Outbox(loop))
    call.done = True
    loop.soon[0]()
    assert line.written == []
    assert call.delivery.finished() == Finished("abort", 3, 0, 0, 0, 1_000, 0)


def test_a_whole_answer_is_counted_by_its_due_times():
    line = Line()
    parcel_on(line, b"a").delivery.leave()
    assert line.written[1] == Finished("stop", 3, 3, 0, 0, 1_000, 3_000, max_tokens=99)


def test_a_stream_whose_client_leaves_before_its_first_token_took_no_negative_time():
    call = call_on(Line())
    plan = Plan(head=b"", parts=[b""] * 3, stream=True, ttft_ns=10**15)
    delivery = Delivery(call, plan, timers=SimpleNamespace(at=print), watcher=None, made=generation())
    delivery.start(4_000)
    call.on_gone()
    assert delivery.finished() == Finished("abort", 3, 0, 0, 3_000, 0, 0, max_tokens=99)


def test_what_ended_alike_is_counted_as_often_as_it_ended():
    metrics = Metrics(8192)
    for _ in range(3):
        metrics.add(Finished("stop", 5, 11, 1, 10**6, 2 * 10**6, 30 * 10**6))
    metrics.add(Finished("length", 7, 1, 0, 0, 10**6, 0))
    totals = metrics.totals()
    assert (totals.requests, totals.prompt_tokens, totals.output_tokens) == (4, 22, 34)
    assert (totals.cached_tokens, totals.longest, totals.itl.count) == (3, 16, 30)
    assert totals.e2e.sum == pytest.approx(3 * 0.033 + 0.001)
    assert totals.itl.sum == pytest.approx(3 * 0.03)


PARTS = [b'{"id":"chatcmpl-old","created":7}', b"", b'{"id":"chatcmpl-old"}{"id":"chatcmpl-old"}']
NEW = [b'{"id":"new","created":8}', b"", b'{"id":"new"}{"id":"new"}']


def test_an_answer_that_was_written_before_keeps_its_steps():
    assert Written(generation(), PARTS, stream=True).parts(b"new", 8) == NEW


def test_a_large_answer_is_not_kept():
    reuse = Reuse()
    for size in (128 * 1024, 128 * 1024 + 1):
        reuse.put(b"body", size, generation(), (b"a" * size,), stream=False)
    assert [reuse.get(key) is None for key in (128 * 1024, 128 * 1024 + 1)] == [False, True]


def test_its_head_is_asked_for_once_a_second():
    written = Written(generation(), PARTS, stream=True)
    heads = iter([b"head 8 ", b"head 9 "])
    said = [written.whole(b"new", second, lambda: next(heads)) for second in (8, 8, 9)]
    whole = b"".join(NEW)
    assert said == [b"head 8 " + whole, b"head 8 " + whole, b"head 9 " + whole.replace(b":8", b":9")]


def test_tool_calls_of_the_same_answer_have_ids_of_their_own(mock, chat):
    mock.reply(tool_calls=[{"name": "f", "arguments": {}}])
    answers = [chat(mock).json for _ in range(4)]
    ids = {answer["choices"][0]["message"]["tool_calls"][0]["id"] for answer in answers}
    assert len(ids) == len(answers)


@pytest.mark.parametrize("name", DIALECTS)
def test_ids_are_of_one_length_as_answers_are_used_again_under_another(name):
    assert len({len(DIALECTS[name].new_id(bits)) for bits in (0, 7, 99, 12345, 2**64 - 1)}) == 1


def test_an_answer_is_not_used_again_when_its_model_is_gone(start, chat, ask):
    server = start(dialect="ollama", models=["tiny", "other"])
    assert [chat(server).status for _ in range(3)] == [200] * 3
    assert ask(server, "/api/delete", {"model": "tiny"}, method="DELETE").status == 200
    assert chat(server).status == 404


def test_a_whole_answer_that_nobody_waits_for_is_counted_as_aborted(start, ask):
    server = start(latency={"ttft": "1h", "itl": "0"})
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "a"}]}).encode()
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % len(body)
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head + body)
    aborted = 'vllm:request_success_total{engine="0",finished_reason="abort",model_name="mock"} 1.0'
    assert any(aborted in ask(server, "/metrics").body.decode() for _ in range(1000))


TEXTS = [
    '{"a": 1}',
    ' \n{"a": [1, "ş"]}\t\r\n ',
    "[NaN, Infinity, 1e999]",
    '{"a": 1} x',
    '{"a": 1}{"b": 2}',
    '\ufeff{"a": 1}',
    '{"a": 1,}',
    "\x0b1",
    '"\ud83d\\ud83d"',
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_body_is_read_as_the_json_module_reads_it(text):
    body = text.encode("utf-8", "surrogatepass")
    try:
        expected = repr(json.loads(body))
    except ValueError:
        with pytest.raises(Refusal):
            parse_body(body)
    else:
        assert repr(parse_body(body)) == expected


def test_a_made_up_answer_is_the_same_on_every_python():
    said = "Work back out day way about all well give to can used being same may has all"
    assert [make_up(asked("merhaba"), index).text == said for index in (0, 1)] == [True, False]

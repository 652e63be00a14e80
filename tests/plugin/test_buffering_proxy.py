"""A proxy that buffers streams, on a real socket."""

from __future__ import annotations

import http.server
import threading
import time

import pytest

CHUNKS = [f'{{"choices":[{{"index":0,"delta":{{"content":"kelime{at} "}}}}]}}' for at in range(20)]
END = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
BODY = "".join(f"data: {chunk}\n\n" for chunk in [*CHUNKS, END, "[DONE]"]).encode()


class Buffering(http.server.BaseHTTPRequestHandler):
    """Sends the whole stream at once, when all of it is there."""

    def do_GET(self):
        self._send(b'{"data":[{"id":"m"}]}', "application/json")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(0.03)
        self._send(BODY, "text/event-stream")

    def _send(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Buffering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_proxy_that_buffers_streams_is_a_warning(project, proxy):
    project.test(
        """
        @llm_slo(p95_ms=5000, iterations=3, max_iterations=3, warmup=0)
        def test_chat(llm):
            llm.chat("merhaba")
        """
    )
    session = project.run("--llm-backend=openai", f"--llm-url={proxy}", "--llm-report=r.html")
    assert "a proxy that buffers the stream" in session.line("in the same read as the one before")
    text = session.scenario()["text"]
    assert text["same_read"] == {"successes": 57, "trials": 57}
    assert text["characters"] == 3 * sum(len(f"kelime{at} ") for at in range(20))
    assert "characters per second" in (project.path / "r.html").read_text("utf-8")

"""An OpenAI-compatible server."""

from __future__ import annotations

import httpx

ACTIONS = ("move", "attack", "defend", "wait")
PLAN = {
    "type": "object",
    "properties": {"action": {"enum": ACTIONS}, "to": {"type": "string"}, "target": {"type": "string"}},
    "required": ["action"],
}


class Server:
    """Asks the server at *url*, such as http://127.0.0.1:8000/v1. Raises httpx.HTTPError."""

    def __init__(self, url, timeout_s=10.0):
        base = url.rstrip("/").removesuffix("/v1")
        self._http = httpx.Client(base_url=f"{base}/v1/", timeout=timeout_s)

    def ask(self, prompt, model):
        request = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "plan", "schema": PLAN}},
            "max_tokens": 64,
        }
        answer = self._http.post("chat/completions", json=request)
        return answer.raise_for_status().json()["choices"][0]["message"]["content"]

    def close(self):
        self._http.close()

"""A help desk on the OpenAI SDK, as anybody would write it: nothing in here knows that it is measured.

`python desk.py "I cannot sign in."` sorts one ticket and answers it. The SDK takes OPENAI_BASE_URL and
OPENAI_API_KEY from the environment, the desk takes DESK_MODEL.
"""

from __future__ import annotations

import json
import os
import sys

from openai import OpenAI

TEAMS = ["accounts", "billing", "shipping"]
SORT = f"You sort tickets for {', '.join(TEAMS)}. Answer with JSON: the team, and whether it is urgent."
ANSWER = "You are a friendly help desk. Answer the customer in at most two sentences."
TICKET = {
    "type": "object",
    "properties": {"team": {"enum": TEAMS}, "urgent": {"type": "boolean"}},
    "required": ["team", "urgent"],
    "additionalProperties": False,
}


class Desk:
    """Sorts tickets and answers them."""

    def __init__(self, client, model):
        self._client = client
        self._model = model

    def sort(self, ticket):
        """The team for *ticket*, and whether it is urgent."""
        said = self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": "system", "content": SORT}, {"role": "user", "content": ticket}],
            response_format={"type": "json_schema", "json_schema": {"name": "ticket", "schema": TICKET}},
            temperature=0,
        )
        return json.loads(said.choices[0].message.content)

    def answer(self, ticket):
        """The answer, piece by piece as it comes."""
        stream = self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": "system", "content": ANSWER}, {"role": "user", "content": ticket}],
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=100,
        )
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


def handle(ticket):
    """Sort *ticket* and answer it, with a client of the desk's own."""
    with OpenAI() as client:
        desk = Desk(client, os.environ["DESK_MODEL"])
        return desk.sort(ticket), "".join(desk.answer(ticket))


if __name__ == "__main__":
    sorted_to, answered = handle(sys.argv[1])
    print(f"[{sorted_to['team']}] {answered}")  # noqa: T201 - its purpose

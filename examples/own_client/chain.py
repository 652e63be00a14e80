"""The same help desk as a LangChain chain: it sorts a ticket. Nothing in here knows that it is measured."""

from __future__ import annotations

from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from desk import SORT, TICKET

PROMPT = ChatPromptTemplate.from_messages([("system", "{rules}"), ("user", "{ticket}")]).partial(rules=SORT)
FORMAT = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": TICKET}}


def sorting(model, **options):
    """A chain from a ticket to its team. *options* are those of ChatOpenAI, such as its http_client."""
    asked = ChatOpenAI(model=model, temperature=0, **options).bind(response_format=FORMAT)
    return PROMPT | asked | JsonOutputParser()

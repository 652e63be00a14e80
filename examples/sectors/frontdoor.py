"""The front door: words name the candidates, a model decides among them, and adapters are chosen."""

from __future__ import annotations

from dataclasses import dataclass

from router import GENERAL, SectorRouter

HEAD = """Bir çağrı merkezinin yönlendiricisisin.
Mesajın ait olduğu sektörü seç, hiçbiri değilse "general" seç.
Yalnız JSON ile cevap ver: {"sector": "<sektör>"}
Sektörler:"""


@dataclass(frozen=True)
class Routed:
    """Where a message went."""

    sector: str
    candidates: tuple[str, ...]
    adapters: tuple[str, ...]


class Frontdoor:
    """Threads and tasks may share it."""

    def __init__(self, router=None):
        self.router = router or SectorRouter()

    def prompt(self, candidates):
        """What the model is told: the candidates, or all sectors where the words say nothing."""
        known = self.router.sectors
        lines = [
            f"- {name}: {known[name]['name']}. {known[name]['description']}" for name in candidates or known
        ]
        return "\n".join([HEAD, *lines, f"- {GENERAL}: hiçbiri"])

    def schema(self, candidates):
        """What it may answer."""
        names = [*(candidates or self.router.sectors), GENERAL]
        return {
            "type": "object",
            "properties": {"sector": {"enum": names}},
            "required": ["sector"],
            "additionalProperties": False,
        }

    async def route(self, llm, message):
        """Decide for *message*, asking *llm*."""
        candidates = self.router.candidates(message)
        reply = await llm.chat(message, system=self.prompt(candidates), schema=self.schema(candidates))
        sector = reply.json["sector"]
        chosen = [] if sector == GENERAL else [sector, *(one for one in candidates if one != sector)]
        return Routed(sector, tuple(candidates), tuple(self.router.adapters(chosen)))

"""What the assistant remembers, in few tokens: a rolling summary, the last tools' results, the session."""

from __future__ import annotations

from pii import redact

#: Tokens of each part that goes into a prompt.
BUDGET = {"summary": 500, "tool results": 300, "session": 200}


class Memory:
    """*count* gives the number of tokens of a text."""

    def __init__(self, count):
        self._count = count
        self._turns = []
        self._results = []
        self._session = {}

    def turn(self, said, outcome):
        """Remember one turn. The oldest are forgotten when the summary is full."""
        self._turns.append(redact(f"Kullanıcı “{said}” dedi; {outcome}."))
        self._shorten(self._turns, "summary")

    def tool(self, name, result):
        """Remember what a tool gave. One result that is too long is cut; the oldest go first."""
        self._results.append(self._cut(redact(f"{name}: {result}"), "tool results"))
        self._shorten(self._results, "tool results")

    def learn(self, **facts):
        """Remember facts of this session, such as city="Ankara"; what does not fit is not learnt."""
        facts = {name: redact(str(value)) for name, value in facts.items()}
        learnt = {**self._session, **facts}
        if self._count(_facts(learnt)) <= BUDGET["session"]:
            self._session = learnt

    @property
    def parts(self):
        """Every part by its name in BUDGET."""
        return {
            "summary": " ".join(self._turns),
            "tool results": "\n".join(self._results),
            "session": _facts(self._session),
        }

    @property
    def summary(self):
        """The conversation so far; "-" when nothing was said."""
        return self.parts["summary"] or "-"

    def _shorten(self, texts, part):
        while len(texts) > 1 and self._count(self.parts[part]) > BUDGET[part]:
            del texts[0]
        if texts:
            texts[0] = self._cut(texts[0], part)

    def _cut(self, text, part):
        """*text* up to the last word that fits."""
        words = text.split()
        low, high = 0, len(words)
        while low < high:  # the most words that fit, by bisection: counting costs a request
            middle = (low + high + 1) // 2
            fits = self._count(" ".join(words[:middle])) <= BUDGET[part]
            low, high = (middle, high) if fits else (low, middle - 1)
        return text if low == len(words) else " ".join(words[:low])


def _facts(facts):
    return ", ".join(f"{name}: {value}" for name, value in facts.items())

"""Which sectors a Turkish message may belong to, by its words, and which adapters serve it."""

from __future__ import annotations

import re
import threading
from collections import Counter
from pathlib import Path
from unicodedata import normalize

import yaml

CONFIG = yaml.safe_load(Path(__file__).with_name("sectors.yaml").read_text(encoding="utf-8"))
GENERAL = "general"

#: A final consonant becomes soft before a vowel: ilaç, ilacım. (So does t, in few words: name both.)
SOFT = {"p": "b", "ç": "c", "k": "ğ"}


def fold(text):
    """*text* in small letters as Turkish has them: I goes with ı, İ with i."""
    return normalize("NFC", text).replace("İ", "i").replace("I", "ı").lower()


def stems(keyword):
    """The ways in which *keyword* begins, whatever suffix follows."""
    keyword = fold(keyword)
    return [keyword, keyword[:-1] + SOFT[keyword[-1]]] if keyword[-1] in SOFT else [keyword]


def words(text):
    """The words of *text*; an apostrophe ends one: "Ankara'ya" is "ankara", "ya"."""
    return re.findall(r"[^\W_]+", fold(text))


def pattern(keyword):
    """Matches *keyword* in words with a space before each; only its last word may have a suffix."""
    return re.compile("|".join(" " + re.escape(" ".join(words(stem))) for stem in stems(keyword)))


class SectorRouter:
    """Routes by keywords. Threads may share it."""

    def __init__(self, config=CONFIG):
        self.sectors = config["sectors"]
        self._settings = config["router"]
        self._patterns = {
            name: [(pattern(keyword), len(words(keyword))) for keyword in sector["keywords"]]
            for name, sector in self.sectors.items()
        }
        self._lock = threading.Lock()
        self._statistics = Counter()
        self._turn = 0

    def classify(self, text):
        """Every sector with a keyword in *text* and its share of all keywords there, best first."""
        there = " " + " ".join(words(text))
        found = {
            name: sum(weight for keyword, weight in patterns if keyword.search(there))
            for name, patterns in self._patterns.items()
        }
        total = sum(found.values())
        scores = [(name, weight / total) for name, weight in found.items() if weight]
        return sorted(scores, key=lambda scored: (-scored[1], self.sectors[scored[0]]["priority"]))

    def candidates(self, text):
        """The sectors that *text* may belong to, best first; none when nothing stands out.

        Those that are equal at the last place take turns, so that no adapter gets all of the load.
        """
        likely = [one for one in self.classify(text) if one[1] >= self._settings["fallback_threshold"]]
        room = self._settings["max_experts_per_token"]
        if len(likely) <= room:
            return [name for name, _ in likely]
        last = likely[room - 1][1]
        chosen = [name for name, score in likely if score > last]
        equal = [name for name, score in likely if score == last]
        with self._lock:
            turn, self._turn = self._turn, self._turn + 1
        return chosen + [equal[(turn + place) % len(equal)] for place in range(room - len(chosen))]

    def adapters(self, sectors):
        """The adapters that serve a message of *sectors*, the general one last where there is room."""
        with self._lock:
            self._statistics.update(sectors or [GENERAL])
        paths = [self.sectors[name]["adapter_path"] for name in sectors]
        return [*paths, self._settings["default_adapter"]][: self._settings["max_experts_per_token"]]

    def statistics(self):
        """How many messages each sector was served."""
        with self._lock:
            return dict(self._statistics)

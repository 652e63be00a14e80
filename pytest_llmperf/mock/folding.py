"""Comparing text without regard to case, by Turkish rules and by everybody else's."""

# ruff: noqa: RUF001, RUF002 - Turkish letters are what this is about

from __future__ import annotations

import re
from unicodedata import normalize

_DOT_ABOVE = "\N{COMBINING DOT ABOVE}"


def fold_turkish(text: str) -> str:
    """*text* for comparison by Turkish rules: I goes with dotless ı, İ with i."""
    if text.isascii():
        return text.replace("I", "ı").lower()
    composed = normalize("NFC", text).replace("İ", "i").replace("I", "ı")
    return composed.casefold().replace("i" + _DOT_ABOVE, "i")


def fold_default(text: str) -> str:
    """*text* for comparison by the rules of other languages: I goes with i, and so does İ."""
    if text.isascii():
        return text.lower()
    composed = normalize("NFC", text).replace("İ", "i")
    return composed.casefold().replace("i" + _DOT_ABOVE, "i")


class Folded:
    """A text in both foldings, made once per request.

    Two texts match when either folding matches: "İPTAL" ~ "iptal" and "ILIK" ~ "ılık" by the
    Turkish one, "INVOICE" ~ "invoice" by the other; "sınır" and "sinir" stay different words.
    """

    __slots__ = ("default", "turkish")

    def __init__(self, text: str) -> None:
        self.default = fold_default(text)
        self.turkish = fold_turkish(text) if "I" in text else self.default  # they differ in nothing else

    def contains(self, needle: Folded) -> bool:
        """Whether *needle* occurs anywhere."""
        return needle.turkish in self.turkish or needle.default in self.default

    def equals(self, other: Folded) -> bool:
        """Whether the texts are the same but for case and surrounding space."""
        return self.turkish.strip() == other.turkish.strip() or self.default.strip() == other.default.strip()


class FoldedPattern:
    """A regular expression that ignores case by both foldings."""

    __slots__ = ("default", "turkish")

    def __init__(self, pattern: str) -> None:
        self.turkish = re.compile(_fold_pattern(pattern, turkish=True))
        self.default = re.compile(_fold_pattern(pattern, turkish=False))

    def search(self, text: Folded) -> bool:
        """Whether the pattern is found anywhere in *text*."""
        return bool(self.turkish.search(text.turkish) or self.default.search(text.default))


_VERBATIM = re.compile(
    r"\\[xuU][0-9a-fA-F]+|\\N\{[^}]*\}|\\.|\(\?P[<=>]\w*[>)]?|\(\?[a-zA-Z-]+[:)]", re.DOTALL
)


def _fold_pattern(pattern: str, *, turkish: bool) -> str:
    r"""*pattern* with its literals folded; escapes (``\S`` is not ``\s``) and group syntax stay."""
    fold = fold_turkish if turkish else fold_default
    out: list[str] = []
    at = 0
    for verbatim in _VERBATIM.finditer(pattern):
        out += (fold(pattern[at : verbatim.start()]), verbatim.group())
        at = verbatim.end()
    out.append(fold(pattern[at:]))
    return "".join(out)

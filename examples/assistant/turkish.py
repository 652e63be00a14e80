"""Case as Turkish has it: I goes with ı, İ with i."""

from __future__ import annotations

from unicodedata import normalize


def lower(text):
    """*text* in small letters. str.lower() makes "ilik" of "ILIK", and two letters of "İ"."""
    return normalize("NFC", text).replace("İ", "i").replace("I", "ı").lower()


def upper(text):
    """*text* in capitals."""
    return normalize("NFC", text).replace("i", "İ").replace("ı", "I").upper()

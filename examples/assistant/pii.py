"""What must not be remembered of a person: it is cut out before it is written down.

Numbers are taken for personal where their check digits say so: an order number, a price or a date stays.
"""

from __future__ import annotations

import re

GONE = "[gizli]"


def redact(text):
    """*text* without e-mail and IBAN, phone, card and identity numbers, and passwords."""
    for pattern, is_personal in _KINDS:
        text = pattern.sub(lambda found, sure=is_personal: GONE if sure(found[0]) else found[0], text)
    return text


def _digits(text):
    return [int(character) for character in text if character.isdigit()]


def _always(_):
    return True


def _is_card(text):
    """Luhn's rule: every second digit doubled from the right, digits added, divisible by ten."""
    digits = _digits(text)[::-1]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_identity(text):
    """Turkey's identity number: eleven digits, of which the last two follow from the others."""
    digits = _digits(text)
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    return digits[0] != 0 and digits[9] == tenth and digits[10] == sum(digits[:10]) % 10


def _is_iban(text):
    """ISO 13616: country and check digits moved to the end, letters as numbers, 1 modulo 97."""
    plain = re.sub(r"\s", "", text).upper()
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1


_KINDS = (
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), _always),
    (re.compile(r"(?<=şifre)\w*\s*[:=]?\s*\S+", re.IGNORECASE), _always),
    (re.compile(r"\bTR\d{2}(?:\s?\d){22}\b", re.IGNORECASE), _is_iban),
    (re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"), _is_card),
    (re.compile(r"(?<!\d)[1-9]\d{10}(?!\d)"), _is_identity),
    (re.compile(r"(?<!\d)(?:\+90|0)[ (]*5\d{2}[ )]*\d{3}[ -]?\d{2}[ -]?\d{2}(?!\d)"), _always),
)

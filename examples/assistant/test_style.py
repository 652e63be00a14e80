from __future__ import annotations

import pytest

from style import flaws, is_in_character


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("", "says nothing"),
        ("Sure! How can I help you?", "English"),
        ("- Toplantı\n- Yemek efendim.", "a list, a heading or an emoji"),
        ("Merhaba efendim 😊.", "a list, a heading or an emoji"),
        ("Nasılsınız? İyi misiniz efendim?", "more than one question"),
        ("çok çok çok güzel efendim.", "says a word three times running"),
        ("Efendim toplantınız", "ends in the middle"),
        ("kelime bir " * 25 + "efendim.", "more than forty words"),
    ],
)
def test_what_sounds_wrong_is_named(text, flaw):
    assert flaw in flaws(text)


def test_what_people_say_has_no_flaw():
    assert flaws("İyiyim efendim, teşekkür ederim. Siz nasılsınız?") == []


@pytest.mark.parametrize("text", ["Merhaba!", "Efendim, buyurun efendim."])
def test_too_little_and_too_much_courtesy_are_out_of_character(text):
    assert not is_in_character(text)

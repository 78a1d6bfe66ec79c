# ruff: noqa: RUF001 - texts in many scripts
"""What counts as a goodbye, and what follows after a goodbye that was interrupted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.agent.goodbye_rules import DOUBT_SECONDS, SECONDS, after, says_goodbye


GOODBYES = [
    "Bye!", "good-bye.", "Goodbye", "GOOD BYE", "Take care!", "Farewell.", "Tschüss!", "Tschüß", "tschuess",
    "Tschüs dann", "Auf Wiederhören.", "Auf Wiedersehen!", "Adiós", "adios", "Hasta luego", "Au revoir", "À bientôt !",
    "Arrivederci", "Ciao ciao", "Até logo", "Tot ziens", "Do widzenia", "Hejdå", "Hej då", "Näkemiin", "Görüşürüz",
    "До свидания.",
    "Ну, пока!", "Пока-пока", "さようなら。", "再见", "안녕히 계세요", "مع السلامة", "להתראות", "अलविदा",
]  # fmt: skip


@pytest.mark.parametrize("text", GOODBYES)
def test_a_goodbye_is_one_wherever_it_stands(text: str) -> None:
    assert says_goodbye(text)
    assert says_goodbye(f"Thank you very much.\n{text}")
    assert after(text, "") == ("end", SECONDS)


@pytest.mark.parametrize(
    "text",
    [
        "", "Hello!", "The lobbyer", "Byelorussia", "Farewells", "Servusbrot", "I will take care of that for you.",
        "We take care of everything.",
        "Я пока не знаю.", "Пока заказ не отправлен, его можно изменить.",
        "Kan jeg ha det i posen",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_goodbye_does_not_end_the_call(text: str) -> None:
    """“I will take care of that” ended calls whose end the caller had called off."""
    assert not says_goodbye(text)
    assert after(text, "I need one more thing, which is a bit longer than ten words, you see.")[0] != "end"


TEN = "one two three four five six seven eight nine ten"
LONG = f"{TEN} eleven"


@pytest.mark.parametrize(
    ("agent", "caller", "then"),
    [
        ("Goodbye!", "Bye.", "end"),
        (f"{LONG}. Goodbye!", LONG, "end"),
        ("", "Bye.", "end"),
        ("You are welcome.", "Thanks, bye.", "end"),
        (LONG, "Thanks, bye.", ""),
        ("Goodbye! Or is there anything else?", "Bye.", ""),
        ("Goodbye!", "Bye? No, wait.", ""),
        ("Auf Wiedersehen!", "もしもし？", ""),
        ("مع السلامة", "؟", ""),
        ("Moi moi!", "Hyvästi.", "ask"),
        (TEN, TEN, "ask"),
        (LONG, "Yes.", ""),
        ("Yes.", LONG, ""),
        ("", "", ""),
        ("", "Yes.", ""),
        ("   ", "Yes.", "ask"),
        ("您的订单已经确认并且将在明天下午三点之前送到您的家里请您注意查收", "好的", ""),
        ("ご予約は明日の午後三時に確かに承りましたのでお待ちしております", "はい", ""),
        ("好的", "谢谢", "ask"),
    ],
)
def test_what_follows_the_last_texts(agent: str, caller: str, then: str) -> None:
    found, seconds = after(agent, caller)
    assert found == then
    assert seconds == {"end": SECONDS, "ask": DOUBT_SECONDS, "": 0.0}[then]


@given(st.text(), st.text())
def test_a_question_never_ends_a_call(agent: str, caller: str) -> None:
    assert after(f"{agent}?", caller) == after(agent, f"{caller}?") == ("", 0.0)


@given(st.text(max_size=60), st.text(max_size=60))
def test_whoever_is_in_doubt_waits_longer_than_who_is_sure(agent: str, caller: str) -> None:
    then, seconds = after(agent, caller)
    assert (then == "") == (seconds == 0)
    assert seconds in (0.0, SECONDS, DOUBT_SECONDS)
    assert SECONDS < DOUBT_SECONDS

"""Values of the Realtime interface that settings and adapter share."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from callflow.contracts.realtime_values import PROMPTS_END, VOICES, is_voice, model_at, takes_prompts


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("wss://api.openai.com/v1/realtime?model=gpt-realtime", "gpt-realtime"),
        ("wss://a.example/?x=1&model=a%20b&model=c", "a b"),
        ("wss://a.example/?model=", ""),
        ("wss://a.example/model=x", ""),
        ("wss://a.example/#?model=x", ""),
        ("", ""),
    ],
)
def test_the_model_that_an_address_names(url: str, model: str) -> None:
    assert model_at(url) == model


def test_prompts_are_taken_up_to_their_last_day() -> None:
    assert takes_prompts(PROMPTS_END)
    assert not takes_prompts(PROMPTS_END + timedelta(days=1))
    assert takes_prompts(date.min)


def test_a_voice_is_one_of_the_models_or_of_its_owners() -> None:
    assert all(map(is_voice, VOICES))
    assert is_voice("voice_1234")
    assert not any(map(is_voice, ["", "Marin", "marin ", "my_voice_1", "voices"]))

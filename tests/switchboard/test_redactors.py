"""What removes private data from texts, made from the settings."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from callflow.config.settings import Settings
from callflow.journal.redaction import REMOVED
from callflow.switchboard.redactors import for_the_log, redactor


CARD = "4111 1111 1111 1111"


def test_each_line_of_the_setting_is_a_pattern_and_an_empty_one_is_none() -> None:
    made = redactor(Settings(redact_patterns="\n  \nsecret [a-z]+\n\t\ncode [0-9]+\n"))
    assert made.text("a  secret word and code 12") == f"a  {REMOVED} and {REMOVED}"
    assert redactor(Settings(redact_patterns=" \n")).text("no  thing") == "no  thing"


@pytest.mark.parametrize("cards", [True, False])
def test_numbers_of_cards_are_removed_unless_that_is_switched_off(cards: bool) -> None:
    assert (CARD in redactor(Settings(redact_cards=cards)).text(f"It is {CARD}.")) is not cards


def test_the_log_has_neither_secrets_nor_what_the_patterns_find() -> None:
    settings = Settings(openai_api_key=SecretStr("sk-1234567890abcdef"), redact_patterns="secret [a-z]+")
    told = for_the_log(settings)(f"sk-1234567890abcdef failed\nfor {CARD}, secret word")
    for private in ("sk-1234567890abcdef", "4111", "secret word"):
        assert private not in told
    assert "\nfor " in told, "the rest stands there as it was"

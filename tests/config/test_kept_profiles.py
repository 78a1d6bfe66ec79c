"""Profiles of the database: what settings.toml takes of them comes out as it went in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.config.kept_profiles import KeptProfile, decode, to_toml
from callflow.config.loader import load
from callflow.config.profiles import Profiles
from callflow.config.settings import Settings


SALES, DESK = "+15550100002", "+15550100003"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60)


def read(toml: str) -> dict[str, Any]:
    """The profiles of a settings.toml with this text."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.toml"
        file.write_bytes(toml.encode())
        return {name: dict(table) for name, table in load(toml=file, env_file=None).profiles.items()}


@given(
    name=TEXTS.filter(str.strip),
    values=st.fixed_dictionaries(
        {},
        optional={
            "instructions": TEXTS, "greeting": TEXTS, "transfer_targets": TEXTS, "record": st.booleans(),
            "speed": st.floats(0.25, 1.5), "no_input_asks": st.integers(0, 10**9),
            "max_output_tokens": st.just("inf") | st.integers(1, 4096),
        },
    ),
)  # fmt: skip
def test_an_export_is_read_as_it_was(name: str, values: dict[str, Any]) -> None:
    assert read(to_toml(name, [SALES, "12 34"], values)) == {name: {"numbers": [SALES, "12 34"], **values}}


@pytest.mark.parametrize(
    "text",
    [
        "one line", "two\nlines", "\n", "\r\n", "a\rb", 'quotes " and """ and """"', "back\\slash\\", "\t tab",
        "ends\\\n",
        "\x7f\x1b", "ümläut — “ok”", "\u2028", "😀", "''' and '", '"', "\n\n\nlast\n",
    ],
)  # fmt: skip
def test_odd_texts_come_out_as_they_went_in(text: str) -> None:
    assert read(to_toml("sales", [SALES], {"instructions": text}))["sales"]["instructions"] == text


def test_settings_take_what_is_exported_and_calls_are_the_same() -> None:
    values = {
        "instructions": 'You are "Ada".\nBe brief.', "speed": 1.2, "record": True, "no_input_asks": 3,
        "transfer_targets": "sales = +15550100010, front desk = +15550100011", "truncation": "auto",
    }  # fmt: skip
    one = KeptProfile("front desk", (SALES,), values, 1)
    kept = Profiles(Settings(), [one]).all()["front desk"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.toml"
        file.write_text(to_toml(one.name, one.numbers, one.values), encoding="utf-8")
        assert Profiles(load(toml=file, env_file=None)).all()["front desk"].model_dump() == kept.model_dump()


@pytest.mark.parametrize(
    ("file", "kept", "expected"),
    [
        ({}, {}, {}),
        ({"a": [SALES]}, {}, {SALES: ("a", 0)}),
        ({}, {"a": [SALES]}, {SALES: ("a", 1)}),
        ({"a": [SALES]}, {"a": [DESK]}, {DESK: ("a", 1)}),
        ({"a": [SALES]}, {"b": [SALES]}, {SALES: ("b", 1)}),
        ({"a": [SALES, DESK]}, {"b": [SALES]}, {SALES: ("b", 1), DESK: ("a", 0)}),
        ({"a": [SALES], "b": [DESK]}, {"a": [DESK]}, {DESK: ("a", 1)}),
        ({}, {"a": [SALES], "b": [SALES, DESK]}, {SALES: ("a", 1), DESK: ("b", 1)}),
        ({"a": [SALES]}, {"a": []}, {SALES: ("a", 0)}),
    ],
)
def test_whose_a_number_is(file: dict[str, Any], kept: dict[str, Any], expected: dict[str, tuple[str, int]]) -> None:
    settings = Settings()
    settings._profiles = {name: {"numbers": numbers} for name, numbers in file.items()}
    profiles = Profiles(settings, [KeptProfile(name, tuple(numbers), {}, 1) for name, numbers in kept.items()])
    for number in (SALES, DESK):
        name = profiles.name_for(number)
        version = profiles.kept[name].version if name in profiles.kept else 0
        assert (name, version) == expected.get(number, ("", 0))
        assert (name or "") in profiles.all()


def test_what_has_not_changed_is_taken_over_and_everything_else_is_made_anew() -> None:
    one, two = KeptProfile("one", (SALES,), {"voice": "ash"}, 1), KeptProfile("two", (DESK,), {"speed": 1.1}, 1)
    before = Profiles(Settings(), [one, two])
    after = Profiles(Settings(), [one, KeptProfile("two", (DESK,), {"speed": 1.2}, 2)], before)
    assert after.all()["one"] is before.all()["one"]
    assert after.all()["two"].speed == 1.2
    other = Profiles(Settings(model="gpt-realtime-2"), [one], before).all()["one"]
    assert (other.model, other.voice) == ("gpt-realtime-2", "ash")


def test_rows_that_make_no_sense_are_told() -> None:
    odd = decode("sales", {"numbers": "[" * 5000, "voice": "7", "port": "1", "greeting": "{"}, Settings(), 4)
    assert (odd.numbers, odd.values, odd.version) == ((), {}, 4)
    for part in ("numbers must list", "voice", '"port"', '"greeting"'):
        assert any(part in line for line in odd.problems), part

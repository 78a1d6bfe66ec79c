"""The settings of a call: what their fields bound, and that no other settings are among them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le
from pydantic import ValidationError

from callflow.config.call_settings import CallSettings
from callflow.config.settings import Settings


FIELDS = CallSettings.model_fields


def fits(name: str, value: Any) -> bool:
    try:
        CallSettings.__pydantic_validator__.validate_python({name: value})  # without looking at files and environment
    except ValidationError:
        return False
    return True


def bounds(kind: type) -> list[tuple[str, float]]:
    """The fields with a bound of this kind, and where it is."""
    found = [(name, each) for name, field in FIELDS.items() for each in field.metadata if isinstance(each, kind)]
    return [(name, getattr(each, kind.__name__.lower())) for name, each in found]


@pytest.mark.parametrize(("name", "least"), bounds(Ge))
def test_the_least_value_fits_and_no_smaller_one(name: str, least: float) -> None:
    assert fits(name, least)
    assert not fits(name, least - 1)
    assert not fits(name, math.nextafter(least, -math.inf))


@pytest.mark.parametrize(("name", "below"), bounds(Gt))
def test_a_time_that_cannot_be_switched_off_is_above_its_bound(name: str, below: float) -> None:
    assert not fits(name, below)
    assert fits(name, below + 0.001)


@pytest.mark.parametrize(("name", "most"), bounds(Le))
def test_the_largest_value_fits_and_no_larger_one(name: str, most: float) -> None:
    assert fits(name, most)
    assert not fits(name, most + 1)


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.annotation in (int, float)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "much"])
def test_no_number_is_none(name: str, value: Any) -> None:
    assert not fits(name, value)


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if "Literal" in str(field.annotation)])
def test_a_choice_is_taken_in_capitals_and_another_word_is_not(name: str) -> None:
    default = FIELDS[name].default
    if isinstance(default, str) and default:
        capitals: dict[str, Any] = {name: default.upper()}
        assert getattr(Settings(**capitals), name) == default
    assert not fits(name, "another word")


def test_they_are_a_part_of_all_settings_and_cannot_be_changed() -> None:
    assert set(FIELDS) < set(Settings.model_fields)
    with pytest.raises(ValidationError, match="frozen"):
        Settings().voice = "cedar"

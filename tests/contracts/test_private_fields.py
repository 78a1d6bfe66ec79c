"""Which fields hold words of people."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from callflow.contracts.private_fields import GROWING, PRIVATE, marks_of


@dataclass
class Told:
    reason: str = ""
    text: str = field(default="", metadata=PRIVATE)
    so_far: str = field(default="", metadata=GROWING)
    from_number: str = field(default="", metadata={**PRIVATE, "key": "from"})


def test_a_field_without_a_mark_is_public_and_each_goes_by_the_name_under_which_it_is_written() -> None:
    assert marks_of(Told) == {"reason": "public", "text": "private", "so_far": "growing", "from": "private"}


def test_a_mark_cannot_be_changed_for_all_who_use_it() -> None:
    for mark in (PRIVATE, GROWING):
        with pytest.raises(TypeError):
            mark["mark"] = "public"  # type: ignore[index]


def test_what_is_no_dataclass_has_no_marks() -> None:
    with pytest.raises(TypeError):
        marks_of(str)

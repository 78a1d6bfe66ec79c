"""Which fields hold words of people."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct, field

from callflow.contracts.private_fields import GROWING, PRIVATE, marks_of


class Told(Struct):
    reason: str = ""
    text: Annotated[str, PRIVATE] = ""
    so_far: Annotated[str, GROWING] = ""
    from_number: Annotated[str, PRIVATE] = field(default="", name="from")


def test_a_field_without_a_mark_is_public_and_each_goes_by_the_name_under_which_it_is_written() -> None:
    assert marks_of(Told) == {"reason": "public", "text": "private", "so_far": "growing", "from": "private"}

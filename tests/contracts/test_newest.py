"""What keeps the newest entries keeps those, and no more."""

from __future__ import annotations

from callflow.contracts.newest import Newest


def test_the_oldest_entry_goes_when_there_are_too_many() -> None:
    kept = Newest[str, int](2)
    for number, name in enumerate("abc"):
        kept[name] = number
    assert list(kept.items()) == [("b", 1), ("c", 2)]


def test_an_entry_that_is_set_again_is_the_newest_with_its_new_value() -> None:
    kept = Newest[str, int](2)
    kept["a"], kept["b"] = 1, 2
    kept["a"] = 3
    kept["c"] = 4
    assert list(kept.items()) == [("a", 3), ("c", 4)]

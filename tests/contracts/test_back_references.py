"""What a part calls at its owner keeps nobody alive, and does nothing once the owner is gone."""

from __future__ import annotations

import weakref

import pytest

from callflow.contracts.back_references import to_owner


class Owner:
    def __init__(self) -> None:
        self.told: list[object] = []

    def tell(self, *words: object, loud: bool = False) -> str:
        self.told.append((words, loud))
        if not words:
            raise ValueError("nothing was said")
        return f"{len(words)} words"


def test_while_the_owner_lives_it_is_called_with_all_there_is() -> None:
    owner = Owner()
    call = to_owner(owner.tell)
    assert call("a", 1, loud=True) == "2 words"
    assert owner.told == [(("a", 1), True)]
    with pytest.raises(ValueError, match="nothing was said"):
        call()


def test_the_last_reference_to_the_owner_frees_it_at_once() -> None:
    owner = Owner()
    call, told, seen = to_owner(owner.tell), owner.told, weakref.ref(owner)
    del owner
    assert seen() is None, "no garbage collection is needed"
    assert call("too late") is None
    assert told == []


def test_a_function_that_belongs_to_nobody_cannot_be_called_so() -> None:
    with pytest.raises(TypeError):
        to_owner(lambda: None)

"""Who asks: the holder of a token, and what its role includes."""

from __future__ import annotations

import math

import pytest

from callflow.web.console.identity import (
    ASKING,
    CONFIGURE,
    NOBODY,
    OPERATE,
    VIEW,
    Operator,
    named_tokens,
    own_business,
)


def test_a_role_includes_those_below_it() -> None:
    may = {role: [each for each in (NOBODY, VIEW, OPERATE, CONFIGURE) if Operator(role=role).may(each)]
           for role in (NOBODY, VIEW, OPERATE, CONFIGURE)}  # fmt: skip
    assert may == {
        NOBODY: [NOBODY], VIEW: [NOBODY, VIEW], OPERATE: [NOBODY, VIEW, OPERATE],
        CONFIGURE: [NOBODY, VIEW, OPERATE, CONFIGURE],
    }  # fmt: skip


@pytest.mark.parametrize("role", ["Configure", "configure ", "admin", "view,configure", "\x00"])
def test_a_role_that_nobody_knows_includes_nothing_and_is_included_in_nothing_below(role: str) -> None:
    assert not any(Operator(role=role).may(each) for each in (VIEW, OPERATE, CONFIGURE))
    assert Operator(role=role).may(NOBODY)
    with pytest.raises(ValueError, match="not in"):
        Operator().may(role)


def test_a_holder_is_the_same_whenever_its_login_ends() -> None:
    assert Operator("desk", until=5.0) == Operator("desk") != Operator("desk", "taxis")
    assert Operator().until == math.inf
    assert (Operator().shown, Operator("desk").shown) == ("operator", "desk")


def test_the_tokens_of_the_setting_have_their_holders() -> None:
    assert named_tokens("") == named_tokens(",") == []
    assert named_tokens("eye:view:t1,cab:operate:taxis:t2,") == [
        ("t1", Operator("eye", "", VIEW)), ("t2", Operator("cab", "taxis", OPERATE)),
    ]  # fmt: skip


def test_outside_a_request_there_is_nobody_and_that_is_loud() -> None:
    with pytest.raises(LookupError):
        own_business()
    told = ASKING.set(Operator("cab", "taxis"))
    try:
        assert own_business() == "taxis"
    finally:
        ASKING.reset(told)

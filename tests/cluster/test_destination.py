"""Where a webhook goes, line by line of the table."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from callflow.cluster.destination import AGAIN, MISLED, Here, Known, Missing, Owner, Refused, To, destination


OF_A_CARRIER = Known(me="me")
LED = Known(me="me", is_forwarded=True)
NOBODY, UNKNOWN = Owner(""), Owner(None)
MINE, OTHERS = Owner("me", "c", was_claimed=True), Owner("w2", "c")


@pytest.mark.parametrize(
    ("webhook", "goes"),
    [
        (Known(me="me", is_live=True, named="w2"), Here("me")),
        (Known(me="me", is_live=True, is_forwarded=True), Here("me")),
        (Known(me="me", named="w2", was_let_go=True, is_ours=True), To("w2")),
        (Known(me="me", named="me", is_ours=True), Missing.OWNER),
        (Known(me="me", has_ended=True), Missing.OWNER),  # another node may be finishing it
        (replace(LED, is_ours=True), Here()),
        (replace(LED, has_ended=True, named="me"), Here()),
        (replace(LED, named="w3"), Missing.OWNER),
        (replace(LED, begins=True), Here()),
        (replace(LED, begins=True, named="w3"), Here()),
        (replace(LED, begins=True, named="me"), Missing.OWNER),
        (replace(LED, begins=True, was_let_go=True), Missing.OWNER),
        (replace(LED, is_ours=True, was_let_go=True), Missing.OWNER),
        (replace(LED, has_ended=True, was_let_go=True), Missing.OWNER),
        (OF_A_CARRIER, Missing.OWNER),
        (LED, Missing.OWNER),
    ],
)
def test_some_are_decided_without_a_question(webhook: Known, goes: object) -> None:
    assert destination(webhook) == goes


@pytest.mark.parametrize(
    ("owner", "of_a_carrier", "led"),
    [
        (MINE, Here("me"), Here("me")),
        (Owner("me", "c"), Here("me", coming="c"), Here("me", coming="c")),
        (OTHERS, To("w2"), Refused(MISLED)),
        (NOBODY, Here(""), Here("")),
        (UNKNOWN, Here(None), Here(None)),
    ],
)
def test_the_others_go_to_who_has_the_call(owner: Owner, of_a_carrier: object, led: object) -> None:
    assert destination(OF_A_CARRIER, owner) == of_a_carrier
    assert destination(LED, owner) == led


@pytest.mark.parametrize(
    ("webhook", "owner", "goes"),
    [
        (OF_A_CARRIER, MINE, Here("me")),
        (OF_A_CARRIER, OTHERS, To("w2")),
        (OF_A_CARRIER, NOBODY, Missing.PLACE),
        (OF_A_CARRIER, UNKNOWN, Missing.PLACE),
        (LED, NOBODY, Here("")),  # whoever has sent it has chosen this node
        (replace(OF_A_CARRIER, may_place=False), NOBODY, Here("")),
    ],
)
def test_a_new_call_goes_where_there_is_most_room(webhook: Known, owner: Owner, goes: object) -> None:
    opens = replace(webhook, opens=True)
    assert destination(opens, owner) == goes
    if goes is Missing.PLACE:
        assert destination(opens, owner, "w3") == To("w3")
        assert destination(opens, owner, "me") == Here(owner.node)


@pytest.mark.parametrize("webhook", [OF_A_CARRIER, LED])
def test_a_call_that_was_let_go_is_not_taken_where_it_may_be_anothers(webhook: Known) -> None:
    let_go = replace(webhook, was_let_go=True)
    assert destination(let_go, UNKNOWN) == Refused(AGAIN)
    assert destination(let_go, NOBODY) == Here("")
    opens = replace(let_go, opens=True, begins=True)
    assert destination(opens, UNKNOWN, "me") == Refused(AGAIN)
    if not webhook.is_forwarded:
        assert destination(opens, UNKNOWN, "w2") == To("w2"), "that node may not be cut off"


def test_with_every_answer_it_is_decided_and_nobody_passes_on_what_was_forwarded() -> None:
    flags = ("is_live", "is_ours", "has_ended", "was_let_go", "is_forwarded", "begins", "opens", "may_place")
    for values in product((True, False), repeat=len(flags)):
        for named, owner, place in product(("", "me", "w2"), (MINE, OTHERS, NOBODY, UNKNOWN), ("me", "w3")):
            webhook = Known(me="me", named=named, **dict(zip(flags, values, strict=True)))
            goes = destination(webhook, owner, place)
            assert not isinstance(goes, Missing), webhook
            assert not (webhook.is_forwarded and isinstance(goes, To)), webhook
            assert webhook.is_forwarded or goes != Refused(MISLED), "no carrier gets that"
            assert not isinstance(goes, To) or goes.node != "me", webhook

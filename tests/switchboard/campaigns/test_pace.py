"""How fast lists are dialled, alone and side by side."""

from __future__ import annotations

from itertools import pairwise

import pytest

from callflow.switchboard.campaigns.pace import Pace, moments
from callflow.switchboard.campaigns.plan import Plan


def paces(*plans: Plan) -> tuple[Pace, list[Pace]]:
    account, own = Pace(), [Pace() for _ in plans]
    account.follow(plans)
    for pace, plan in zip(own, plans, strict=True):
        pace.follow([plan])
    return account, own


def test_a_list_alone_keeps_its_own_pace() -> None:
    account, (own,) = paces(Plan(per_second=4, at_once=5))
    assert moments(10.0, 1.0, 9, own, account) == pytest.approx([10.0, 10.25, 10.5, 10.75])
    assert moments(10.0, 1.0, 2, own, account) == pytest.approx([10.0, 10.25])
    assert moments(10.0, 1.0, 0, own, account) == moments(10.0, 1.0, -3, own, account) == []
    own.dialled(10.0)
    assert moments(10.1, 0.3, 9, own, account) == pytest.approx([10.25])


def test_lists_on_one_account_do_not_add_up() -> None:
    account, own = paces(Plan(per_second=2, at_once=5), Plan(per_second=1, at_once=9))
    assert (account.per_second, account.at_once) == (2, 9)
    begun: list[float] = []
    for look in range(400):
        now = look * 0.25
        for pace in own if look % 2 else own[::-1]:
            for at in moments(now, 0.25, 9, pace, account):
                pace.dialled(at)
                account.dialled(at)
                begun.append(at)
    begun.sort()
    assert len(begun) == pytest.approx(200, abs=3), "the account is used"
    assert min(after - before for before, after in pairwise(begun)) >= 0.499


def test_lists_on_two_accounts_know_nothing_of_each_other() -> None:
    (one, (first,)), (two, (second,)) = paces(Plan(per_second=1)), paces(Plan(per_second=1))
    first.dialled(5.0)
    one.dialled(5.0)
    assert moments(5.0, 0.5, 9, second, two) == [5.0]
    assert moments(5.0, 0.5, 9, first, one) == []

"""How fast lists are dialled, alone and side by side."""

from __future__ import annotations

from itertools import pairwise

import pytest

from callflow.switchboard.campaigns.pace import Pace, moments
from callflow.switchboard.campaigns.schedule import Schedule


def paces(*schedules: Schedule) -> tuple[Pace, list[Pace]]:
    account, own = Pace(), [Pace() for _ in schedules]
    account.follow(schedules)
    for pace, schedule in zip(own, schedules, strict=True):
        pace.follow([schedule])
    return account, own


def test_a_list_alone_keeps_its_own_pace() -> None:
    account, (own,) = paces(Schedule(per_second=4, at_once=5))
    assert moments(10.0, 1.0, 9, own, account) == pytest.approx([10.0, 10.25, 10.5, 10.75])
    assert moments(10.0, 1.0, 2, own, account) == pytest.approx([10.0, 10.25])
    assert moments(10.0, 1.0, 0, own, account) == moments(10.0, 1.0, -3, own, account) == []
    own.dialled(10.0)
    assert moments(10.1, 0.3, 9, own, account) == pytest.approx([10.25])


def test_lists_on_one_account_do_not_add_up() -> None:
    account, own = paces(Schedule(per_second=2, at_once=5), Schedule(per_second=1, at_once=9))
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
    (one, (first,)), (two, (second,)) = paces(Schedule(per_second=1)), paces(Schedule(per_second=1))
    first.dialled(5.0)
    one.dialled(5.0)
    assert moments(5.0, 0.5, 9, second, two) == [5.0]
    assert moments(5.0, 0.5, 9, first, one) == []


def test_an_account_that_is_refused_rests_and_calls_fewer_at_once_for_a_while() -> None:
    account, (own,) = paces(Schedule(per_second=10, at_once=8))
    assert account.most(100.0) == 8
    assert not account.refused(100.0, live=3)
    assert account.most(100.0) == 8, "one refusal alone may be about a number"
    assert not account.refused(100.5, live=2)  # dialled before the first was refused
    assert (account.most(100.5), account.most(160.5), account.most(220.5)) == (2, 4, 8)
    assert moments(101.0, 1.0, 9, own, account) == []
    assert moments(104.5, 1.0, 9, own, account)[0] == 105.0
    assert account.refused(110.0, live=0) is False
    assert account.most(110.0) == 1, "nothing would ever be dialled"
    assert account.next_dial == 120.0


def test_nothing_but_refusals_has_an_end() -> None:
    account, _ = paces(Schedule(at_once=2))
    at, ends = 0.0, []
    for _ in range(18):
        ends.append(account.refused(at, live=None))
        at = max(at, account.next_dial)
    assert ends == [*[False] * 8, True, *[False] * 8, True]
    assert account.most(at) == 2
    account.refused(at, live=None)
    account.reached()
    before = account.next_dial
    account.refused(before, live=None)
    assert account.next_dial == before + 5.0

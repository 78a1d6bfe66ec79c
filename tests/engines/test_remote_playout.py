"""What the caller of a call beside ours hears, as the server tells it."""

from __future__ import annotations

from callflow.contracts.engine import PlayoutEnded
from callflow.engines.openai_realtime.remote_playout import RemotePlayout


def spoken(*items: str) -> RemotePlayout:
    playout = RemotePlayout()
    for item in items:
        playout.spoke("resp", item)
    playout.began("resp", 10.0)
    return playout


def test_a_response_that_was_heard_to_its_end() -> None:
    playout = spoken("a")
    assert playout.playing == ["resp"]
    assert playout.ended("resp", 12.5, cut=False) == PlayoutEnded("resp", 2500, ("a",))
    assert playout.playing == []


def test_of_one_that_was_cut_off_the_server_says_how_much_was_heard() -> None:
    playout = spoken("a", "b")
    assert not playout.is_told("resp")
    playout.truncated("b", 700)
    assert playout.is_told("resp")
    assert playout.ended("resp", 12.0, cut=True) == PlayoutEnded("resp", 2000, ("a", "b"), {"b": 700})


def test_without_its_word_the_time_since_it_began_counts() -> None:
    assert spoken("a").ended("resp", 11.0, cut=True) == PlayoutEnded("resp", 1000, ("a",), {"a": 1000})


def test_a_response_of_which_nothing_is_known_was_not_heard() -> None:
    assert RemotePlayout().ended("other", 11.0, cut=True) == PlayoutEnded("other", 0, (), {})


def test_a_server_that_ends_nothing_does_not_fill_the_memory() -> None:
    playout = RemotePlayout()
    for number in range(1000):
        playout.began(f"resp {number}", 0.0)
        playout.truncated(f"item {number}", 1)
    assert len(playout.playing) <= 32

"""Clips in the playout: which of them ends the call, and that none is taken for the engine's speech."""

from __future__ import annotations

from callflow.contracts.media import SpeechSegmentId
from callflow.media.clip_player import ClipPlayer, is_clip
from callflow.media.clips import Clip
from callflow.media.playout import Playout, Send
from tests.configs import make_playout


CLIPS = {name: Clip(name, name, bytes([number]) * 160) for number, name in enumerate(("sorry", "one-moment"), 1)}


def played(playout: Playout) -> bytes:
    return b"".join(each.audio for each in playout.due(0.0) if isinstance(each, Send))


def test_the_first_clip_that_exists_is_chosen() -> None:
    player = ClipPlayer(CLIPS, make_playout())
    assert player.clip("trouble", "sorry", "one-moment") is CLIPS["sorry"]
    assert player.clip("trouble") is None
    assert player.clip() is None


def test_clips_are_played_behind_the_engines_speech_in_order() -> None:
    playout = make_playout()
    player = ClipPlayer(CLIPS, playout)
    playout.add(SpeechSegmentId("item"), "response", bytes([9]) * 160)
    playout.finish(SpeechSegmentId("item"))
    player.put_next("one-moment", CLIPS["one-moment"].audio)
    player.put_last(CLIPS["sorry"], "sorry")
    assert played(playout) == bytes([9]) * 160 + bytes([2]) * 160 + bytes([1]) * 160


def test_a_filler_may_be_played_again_and_never_ends_the_call() -> None:
    playout = make_playout()
    player = ClipPlayer(CLIPS, playout)
    player.put_next("sorry", CLIPS["sorry"].audio)
    player.put_next("sorry", CLIPS["sorry"].audio)
    assert len(played(playout)) == 320
    player.put_last(CLIPS["sorry"], "sorry")
    assert player.ended_by("clip:sorry:1") == ""
    assert player.ended_by("clip:sorry") == "sorry"
    assert player.ended_by("item") == ""


def test_no_clip_ends_the_call_before_it_was_queued() -> None:
    assert ClipPlayer(CLIPS, make_playout()).ended_by("clip:") == ""


def test_clips_are_told_from_items_of_the_engine() -> None:
    assert is_clip("clip:sorry")
    assert not is_clip("item_clip:sorry")

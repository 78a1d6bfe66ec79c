"""What one call keeps in memory while it is talked in: bytes, counted by Python."""

from __future__ import annotations

import binascii
import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from callflow.contracts.engine import SessionLost
from tests.agent.offline import Scene


pytestmark = pytest.mark.exhaustive
_FRAMES = 400
_SEVERAL = 20


@pytest.fixture
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def frame(number: int) -> bytes:
    return number.to_bytes(2, "big") * 80


def payload(number: int) -> str:
    return binascii.b2a_base64(frame(number), newline=False).decode()


def speak(scene: Scene, first: int, last: int) -> None:
    for number in range(first, last):
        scene.turns.caller_payload(payload(number), frame(number))
        scene.turns.caller_frame(frame(number))


@pytest.mark.usefixtures("traced")
async def test_the_callers_last_audio_is_kept_once_and_as_bytes() -> None:
    """Six seconds of it are 48 kB: for a next session. The detector of speech keeps what it has found out of it."""
    scene = Scene()
    scene.ready()
    scene.engine.append = lambda payload: None  # type: ignore[method-assign]
    before = tracemalloc.get_traced_memory()[0]
    speak(scene, 0, _FRAMES)
    assert 48_000 < tracemalloc.get_traced_memory()[0] - before < 70_000


@pytest.mark.parametrize(("missed", "seconds"), [(False, 2), (True, 6)])
async def test_a_next_session_gets_the_last_audio_as_it_was(missed: bool, seconds: int) -> None:
    scene = Scene()
    scene.ready()
    speak(scene, 0, _FRAMES)
    if missed:
        scene.agent.sessions.keep_audio()
    scene.tell(SessionLost("dropped"))
    scene.ready()
    assert appended(scene) == [payload(number) for number in range(_FRAMES - seconds * 50, _FRAMES)]


async def test_a_next_session_gets_all_that_no_session_has_heard() -> None:
    """It got two seconds: what was said longer ago while a session did not come into being was lost."""
    scene = Scene()
    scene.agent.connect()
    speak(scene, 0, 150)
    scene.tell(SessionLost("closed before it was ready"))
    speak(scene, 150, 160)
    scene.ready()
    speak(scene, 160, 260)
    assert appended(scene) == [payload(number) for number in range(260)]
    scene.tell(SessionLost("dropped"))
    speak(scene, 260, 400)
    scene.agent.connect()
    scene.tell(SessionLost("closed before it was ready"))
    scene.agent.connect()
    assert appended(scene) == [payload(number) for number in range(160, 400)]
    speak(scene, 400, 1400)
    scene.tell(SessionLost("caller audio has waited 10 s for it"))
    scene.ready()
    assert appended(scene) == [payload(number) for number in range(900, 1400)], "and no more than is kept for one"


async def test_a_session_that_a_caller_gets_who_is_back_has_all_that_the_one_before_it_did_not_hear() -> None:
    """While a caller talks with a person two seconds are kept; so it stayed, until a session was ready again."""
    scene = Scene()
    scene.ready()
    scene.agent.silence()
    scene.agent.connect()
    speak(scene, 0, 250)
    scene.tell(SessionLost("closed before it was ready"))
    scene.ready()
    assert appended(scene) == [payload(number) for number in range(250)]


def appended(scene: Scene) -> list[str]:
    """The audio that the newest session has got since this was last asked."""
    return [asked[1] for asked in scene.engine.take() if asked[0] == "append"]


@pytest.mark.usefixtures("traced")
async def test_agent_and_relay_of_a_call_are_small() -> None:
    """An empty deque takes 0.7 kB, an empty list 0.06: what mostly is empty is a list."""
    for _ in range(_SEVERAL):
        Scene().ready()  # what all calls share, the interpreter's notes on code that runs often among it
    before = tracemalloc.get_traced_memory()[0]
    scenes = [Scene() for _ in range(_SEVERAL)]
    for scene in scenes:
        scene.ready()
    assert (tracemalloc.get_traced_memory()[0] - before) / _SEVERAL < 23_900

"""A worker is killed at the worst moment of a call: the other one goes on with it, nothing is done twice, nobody is
left in silence, and the history has the whole call. One scene follows the other, with the same two workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from callflow.call.replay import replay
from callflow.history.database import Database, url_of
from callflow.history.store import Store
from callflow.media import clips
from callflow.sandbox import voices
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Script, Turn, sip
from callflow.sandbox.twilio import Twilio
from tests.e2e.campaigns import ALWAYS, NUMBERS, rows
from tests.e2e.cluster_proof.counting import done_twice, owner
from tests.e2e.cluster_proof.stage import both_are_up
from tests.e2e.cluster_proof.test_in_flight import ask, kill
from tests.e2e.outbound import DIALS, OURS, THEIRS, TOKEN
from tests.e2e.product import run, until
from tests.e2e.talk import noise, saying
from tests.e2e.test_transfer import SALES
from tests.e2e.test_workers import GREETING, Office, office


pytestmark = [pytest.mark.process, pytest.mark.proof]
CARRIERS = ("telnyx", "twilio")
SAMPLED = True
TALKS = Script.of(GREETING, otherwise=Turn.say("Yes.", noise(400, 2)))
TOOLS = """
tools = [{
    "type": "function", "name": "approve", "description": "Ask a colleague.", "answered_by": "operator", "seconds": 30,
    "parameters": {"type": "object", "properties": {"percent": {"type": "number"}}}}]
"""
ENV: dict[str, Any] = {
    **{name.upper(): value for name, value in DIALS.items()}, "NO_INPUT_SECONDS": 0, "VAD_SILENCE_MS": 200,
    "DIALS_PER_MINUTE": 1000, "GREETING": "Say hello.", "RECORD": "true",
    "TRANSFER_TARGETS": f"sales = {SALES}", "TRANSFER_RING_SECONDS": 10, "TRANSFER_ACCEPT_SECONDS": 6,
    "OPENAI_WEBHOOK_SECRET": sip.SECRET, "OPENAI_PROJECT_ID": sip.PROJECT,
}  # fmt: skip
Scene = Callable[[Office], Awaitable[None]]


@contextlib.asynccontextmanager
async def workers(**env: Any) -> AsyncIterator[Office]:
    async with office(**ENV, **env) as the:
        if isinstance(the.carrier, Twilio):
            the.carrier.exchange.number(OURS)
        yield the


async def play(the: Office, *scenes: Scene) -> None:
    for scene in scenes:
        the.realtime.script = TALKS
        await both_are_up(the)
        try:
            await scene(the)
            await all_over(the)
        except BaseException as error:
            error.add_note(f"{scene.__name__}\n{the.said()[-3000:]}")
            raise


async def all_over(the: Office) -> None:
    """All hang up. Then no call is live, nothing was done twice, and what is on record can be replayed."""
    for call in [one for one in the.carrier.calls.values() if one.ended_at is None]:
        await call.hang_up()
    for led in the.realtime.sip.calls.values():
        await led.hang_up()
    database = Database(url_of("", str(the.folder / "data")), read_only=True)
    store = Store(database)
    try:
        await until(lambda: not the.rows("SELECT 1 FROM conversations WHERE ended_at IS NULL"), "all ends", 20)
        for row in the.rows("SELECT call_id, state FROM conversations"):
            assert row["state"] == "hangup"
            entries = await store.journal(row["call_id"])
            assert replay(entries).divergences == []
            assert [entry.name for entry in entries].count("ended") == 1
    finally:
        await database.close()
    for _ in range(3):  # each on a connection of its own
        assert (await ask(the, "GET", "/api/calls/live")).json()["live"] == []
    again = {("", f"dials {SALES}"), *(("", f"dials {number}") for number in NUMBERS)}  # by several scenes
    assert {act: n for act, n in done_twice(the.carrier).items() if act not in again} == {}
    assert the.carrier.failures == []
    assert "Traceback" not in the.said()
    assert [session.violations for session in the.realtime.sessions if session.violations] == []


async def talking(the: Office) -> tuple[Any, str]:
    """A caller who has heard the greeting, and our id of the call."""
    (call,) = await the.ring(1)
    (live,) = (await ask(the, "GET", "/api/calls/live")).json()["live"]
    return call, live["id"]


def events(the: Office, call: str, kind: str) -> list[dict[str, Any]]:
    """What is on record of that kind, in order."""
    found = the.rows("SELECT event FROM steps WHERE call = ? ORDER BY id", call)
    return [event for row in found if (event := json.loads(row["event"]))["event"] == kind]


async def hears(call: Any, since: float, seconds: float = 10.0) -> None:
    await call.phone.hears(0.3, since=since, timeout=seconds)


def told(the: Office) -> str:
    """All that any session of the model was told."""
    return json.dumps([event.event for session in the.realtime.sessions for event in session.received])


def legs(the: Office, *numbers: str) -> list[Any]:
    """The newest legs to these numbers."""
    newest = {call.to_number: call for call in the.carrier.calls.values()}
    return [newest[number] for number in numbers if number in newest]


async def act(the: Office, call: str, what: str, **body: Any) -> None:
    answer = await ask(the, "POST", f"/api/calls/{call}/{what}", body)
    assert answer.status_code in (200, 202), answer.text


async def open_socket(the: Office, path: str) -> ClientConnection:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return await connect(f"ws://127.0.0.1:{the.console}{path}", proxy=None, additional_headers=headers)


async def is_closed(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(10):
            while True:
                await socket.recv()


# Calls that came in


async def somebody_types_is_recorded_and_listened_to(the: Office) -> None:
    call, name = await talking(the)
    listener = await open_socket(the, f"/api/calls/{name}/listen")
    await listener.recv()
    for digit in "47":
        await call.press(digit)
    await until(lambda: len(events(the, name, "dtmf")) == 2, "the keys to be on record")
    at = kill(the, owner(call))
    await is_closed(listener)
    await until(lambda: len(events(the, name, "media_started")) == 2, "another stream")
    for digit in "11#":
        await call.press(digit)
    await until(lambda: events(the, name, "digits"), "the entry")
    assert [event["digits"] for event in events(the, name, "digits")] == ["4711"]
    await until(lambda: "4 7 1 1" in told(the), "the model to be told")
    await hears(call, at)
    again = await open_socket(the, f"/api/calls/{name}/listen")
    assert '"rate"' in str(await again.recv())
    await again.close()
    await call.hang_up()
    await until(lambda: the.rows("SELECT 1 FROM conversations WHERE ended_at IS NOT NULL AND call_id = ?", name), "end")
    for part in (1, 2):
        sound = await ask(the, "GET", f"/api/calls/{name}/recording?part={part}")
        assert (sound.status_code, sound.content[:4]) == (200, b"RIFF"), f"part {part}: {sound.text[:200]}"
        assert int.from_bytes(sound.content[4:8], "little") + 8 == len(sound.content), f"part {part}"


async def somebody_has_taken_over_and_does_not_come_back(the: Office) -> None:
    call, name = await talking(the)
    socket = await open_socket(the, f"/api/calls/{name}/takeover")
    await speaks(socket, call)
    kill(the, owner(call))
    await is_closed(socket)
    await until(lambda: "The operator's connection was lost" in told(the), "the agent to have the caller back")
    await hears(call, monotonic())
    states = [event["state"] for event in events(the, name, "take_over")]
    assert (states[0], states[-1]) == ("began", "ended")


async def somebody_has_taken_over_and_comes_back(the: Office) -> None:
    call, name = await talking(the)
    socket = await open_socket(the, f"/api/calls/{name}/takeover")
    await speaks(socket, call)
    kill(the, owner(call))
    await is_closed(socket)
    for _ in range(40):  # as the page does
        socket = await open_socket(the, f"/api/calls/{name}/takeover?again")
        with contextlib.suppress(ConnectionClosed):
            assert "taken_over" in str(await socket.recv())
            break
        await asyncio.sleep(0.1)
    await speaks(socket, call)
    await socket.send(json.dumps({"give_back": True, "line": "The loaf is reserved."}))
    await is_closed(socket)
    await until(lambda: "The loaf is reserved." in told(the), "the agent to have the caller back")


async def speaks(socket: ClientConnection, call: Any) -> None:
    """Until the caller hears the person."""
    since, voice = monotonic(), noise(100, 7)
    async with asyncio.timeout(10):
        while voice[:800] not in call.phone.heard_between(since, monotonic()):
            await socket.send(voice)
            await asyncio.sleep(0.1)


async def a_person_s_telephone_rings(the: Office) -> None:
    the.carrier.exchange.callees[SALES] = Callee(ring_s=60)
    call, name = await talking(the)
    await act(the, name, "transfer", to="sales")
    await until(lambda: legs(the, SALES), "the person's leg")
    kill(the, owner(call))
    await until(lambda: legs(the, SALES)[0].ended_at is not None, "the person's leg to end", 15)
    await hears(call, monotonic())
    assert call.ended_at is None


async def a_person_talks_with_the_caller(the: Office) -> None:
    the.carrier.exchange.callees[SALES] = Callee(ring_s=0.1, presses="1")
    call, name = await talking(the)
    await act(the, name, "transfer", to="sales")
    await until(lambda: the.rows("SELECT 1 FROM conversations WHERE state = 'bridged'"), "the bridge", 15)
    kill(the, owner(call))
    await until(lambda: events(the, name, "call_recovered"), "the call to be taken over")
    await both_are_up(the)
    (person,) = legs(the, SALES)
    assert person.ended_at is None
    await person.hang_up()
    await hears(call, monotonic(), 15)
    assert call.ended_at is None


async def a_caller_is_on_hold(the: Office) -> None:
    music = clips.load("en")[clips.HOLD_MUSIC].audio[4000:8000]
    call, name = await talking(the)
    await act(the, name, "hold")
    await until(lambda: music in call.phone.heard_between(0.0, monotonic()), "the music")
    kill(the, owner(call))
    await until(lambda: len(events(the, name, "media_started")) == 2, "another stream")
    since = monotonic()
    await until(lambda: music in call.phone.heard_between(since, monotonic()), "the music again")
    await act(the, name, "resume")
    await until(lambda: "was on hold" in told(the), "the agent to have the caller back")


async def a_person_is_to_answer_a_tool(the: Office) -> None:
    the.realtime.script = Script.of(
        GREETING, Turn.call("approve", percent=10), otherwise=Turn.say("Yes.", noise(400, 2))
    )
    call, name = await talking(the)
    await call.phone.hears_silence(200)
    call.phone.say(tone(400))
    await until(lambda: events(the, name, "operator_asked"), "a person to be asked")
    at = kill(the, owner(call))
    await hears(call, at)
    (end,) = events(the, name, "tool_finished")
    assert "whether it was done is not known" in end["output"]
    assert (await ask(the, "GET", f"/api/calls/{name}/acts")).json()["waiting"] == []


async def a_goodbye_is_being_said(the: Office) -> None:
    call, name = await talking(the)
    await call.phone.hears_silence(200)
    since = monotonic()
    await act(the, name, "hangup", when="goodbye")
    await hears(call, since)
    kill(the, owner(call))
    await until(lambda: call.ended_at is not None, "the end of the call", 15)
    assert call.ended_by == "product"


async def the_audio_goes_to_the_model_itself(the: Office) -> None:
    the.realtime.sip.webhook_url = f"http://127.0.0.1:{the.port}/openai/webhook"
    call = await the.realtime.sip.ring()
    session = await call.wait_answered()
    await session.wait_sent("output_audio_buffer.stopped")
    (node,) = [node["name"] for node in await the.nodes() if node["calls"]]
    sockets = session.opened
    kill(the, node)
    await until(lambda: session.opened > sockets and session.has_sideband, "the socket beside the call", 15)
    call.phone.say(voices.load("caller/hours"))
    await session.wait_sent("output_audio_buffer.stopped", 2)
    assert call.count("accept") == 1


async def the_page_s_telephone_is_used(the: Office) -> None:
    """The emulated carrier behind it dies with its worker."""
    socket, got = await open_socket(the, "/api/phone"), 0
    async with asyncio.timeout(10):
        while got < 50:
            got += isinstance(await socket.recv(), bytes)
    (node,) = [node["name"] for node in await the.nodes() if node["calls"]]
    kill(the, node)
    await is_closed(socket)
    ended = "SELECT hangup_cause FROM conversations WHERE carrier = 'phone' AND ended_at IS NOT NULL"
    await until(lambda: the.rows(ended) == [{"hangup_cause": "interrupted"}], "the end on record")


def test_calls_that_came_in(tmp_path: Path) -> None:
    tools = tmp_path / "tools.py"
    tools.write_text(TOOLS, encoding="utf-8")
    run(came_in(tools))


async def came_in(tools: Path) -> None:
    async with workers(TOOLS_FILE=tools) as the:
        await play(
            the, somebody_types_is_recorded_and_listened_to, somebody_has_taken_over_and_does_not_come_back,
            somebody_has_taken_over_and_comes_back, a_person_s_telephone_rings, a_person_talks_with_the_caller,
            a_caller_is_on_hold, a_person_is_to_answer_a_tool, a_goodbye_is_being_said,
            the_audio_goes_to_the_model_itself, the_page_s_telephone_is_used,
        )  # fmt: skip


# Calls that were dialled


async def rows_ring(the: Office, numbers: list[str], *, of_leader: bool) -> None:
    """`of_leader`: the worker is killed that works on the campaign; else the other one, which has some of its calls."""
    the.carrier.exchange.callee = Callee("answers", ring_s=60)
    before = len(the.carrier.calls)
    body = {"rows": rows(*numbers), **ALWAYS, "attempts": 1, "at_once": 4}
    assert (await ask(the, "POST", "/api/campaigns", body)).status_code == 201
    await until(lambda: len(the.carrier.calls) == before + len(numbers), "the legs", 15)
    leader = (await ask(the, "GET", "/api/nodes")).json()["leader"]
    (other,) = {node["name"] for node in await the.nodes()} - {leader}
    kill(the, leader if of_leader else other)
    theirs = legs(the, *numbers)
    for leg in theirs:
        leg.pick_up()
    await asyncio.gather(*(leg.phone.hears(0.3, timeout=15) for leg in theirs))
    for leg in theirs:
        await leg.hang_up()
    running = "SELECT 1 FROM campaigns WHERE state != 'finished'"
    await until(lambda: not the.rows(running), "the end of the campaign", 40)
    assert {row["outcome"] for row in the.rows("SELECT outcome FROM campaign_rows")} == {"answered"}
    assert len(the.carrier.calls) == before + len(numbers)


async def the_worker_that_leads_dies(the: Office) -> None:
    await rows_ring(the, NUMBERS[:4], of_leader=True)


async def the_other_worker_dies(the: Office) -> None:
    await rows_ring(the, NUMBERS[4:8], of_leader=False)


async def a_machine_is_left_a_message(the: Office) -> None:
    the.carrier.exchange.callee = Callee(does="voicemail", speaks_s=0.5)
    the.carrier.exchange.timing.ring_s = 0.1
    sessions = len(the.realtime.sessions)
    made = await ask(the, "POST", "/api/calls", {"toNumber": THEIRS})
    assert made.status_code == 201, made.text
    await the.realtime.wait_session(sessions + 1)
    the.realtime.script = Script.of(saying(noise(4000, seed=4)))
    (call,) = legs(the, THEIRS)
    await until(lambda: call.phone.message_at is not None, "the beep", 15)
    await call.phone.hears(0.5, timeout=15)
    kill(the, owner(call))
    await until(lambda: call.ended_at is not None, "the end of the call", 20)
    assert call.ended_by == "product"
    ended = "SELECT hangup_cause FROM conversations WHERE call_id = ? AND ended_at IS NOT NULL"
    await until(lambda: the.rows(ended, made.json()["id"]) == [{"hangup_cause": "machine"}], "the end on record")


def test_calls_that_were_dialled() -> None:
    run(dialled())


async def dialled() -> None:
    async with workers(MACHINE_DETECTION="true", VOICEMAIL_MESSAGE="Please call us back.") as the:
        await play(the, the_worker_that_leads_dies, the_other_worker_dies, a_machine_is_left_a_message)

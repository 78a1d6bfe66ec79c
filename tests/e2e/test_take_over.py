"""A person who speaks with a caller in place of the agent: what others and the model may do meanwhile, and how it ends.

What a single listener or speaker gets is told in test_listen_in.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call as ToolCall
from callflow.sandbox.openai_realtime import Script, Turn
from callflow.web.console.live.rows import warnings
from tests.e2e.product import Product, until
from tests.e2e.talk import greeted, noise, talk
from tests.e2e.test_listen_in import listening, speak
from tests.e2e.test_live import GREETING, port, stage
from tests.e2e.test_survival import Office, model, office


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
OWNER, MIA, BEN, OVEN = (f"the-token-of-{name}-567812345678" for name in ("the-owner", "mia", "ben", "oven"))
TOKENS: dict[str, Any] = {
    "console_token": OWNER,
    "console_tokens": f"mia:operate:{MIA},ben:operate:{BEN},oven:operate:bakery:{OVEN},cab:operate:taxis:{BEN}x",
}


def as_(token: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


async def act(the: Product, what: str, **body: Any) -> tuple[int, str]:
    url = f"http://127.0.0.1:{port(the)}/api/calls/{the.call.id}/{what}"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(url, json=body, headers={"Authorization": f"Bearer {BEN}"})
        return answer.status_code, answer.json().get("error", "")


async def keeps_speaking(socket: Any) -> None:
    """As a microphone that is open all the time."""
    with contextlib.suppress(Exception):
        while True:
            await speak(socket, noise(100, 7))


@contextlib.asynccontextmanager
async def taken_over(the: Product, token: str) -> AsyncIterator[Any]:
    """A person whose microphone is open."""
    async with listening(the, "takeover", **as_(token)) as socket:
        assert json.loads(await socket.recv())["written_down"] is True
        await until(lambda: "agent" in the.call.requests.line.muted, "the agent to be muted")
        speaking = asyncio.create_task(keeps_speaking(socket), name="telnyx sandbox microphone")
        try:
            yield socket
        finally:
            speaking.cancel()


async def test_meanwhile_no_other_speaks_no_tool_acts_and_a_goodbye_ends_it() -> None:
    ends = Turn((ToolCall("end_call", {"reason": "done"}),))
    script = Script.of(Turn.say(GREETING, noise(900, 1)), ends, otherwise=Turn.say("Goodbye.", noise(400, 2)))
    async with stage(**TOKENS) as the:
        the.realtime.script = script
        one = await talk(the)
        await greeted(the, one)
        async with taken_over(the, MIA) as socket:
            async with listening(the, "takeover", **as_(BEN)) as second:
                await second.wait_closed()
                assert (second.close_code, second.close_reason) == (4409, "mia has taken this call over already.")
            taken = "mia speaks with the caller in place of the agent: give the caller back first."
            assert await act(the, "mute", party="agent", on=False) == (409, taken)
            assert await act(the, "say", text="Hello.") == (409, taken)
            assert await act(the, "whisper", text="Hello.", now=True) == (409, taken)
            assert await act(the, "mute", party="caller", on=True) == (202, "")
            assert await act(the, "mute", party="caller", on=False) == (202, "")

            await until(lambda: the.call.requests.line.muted == ["agent"], "the caller to be heard again")
            assert warnings(the.call) == ["mia speaks with the caller in place of the agent."]

            one.phone.say(tone(500))  # upon which the model would end the call
            sessions = the.realtime.sessions
            await until(lambda: any(each.type == "response.created" for each in sessions[0].sent[-40:]), "the model")
            await until(lambda: not the.call.agent.turns.taking.is_responding, "its response to be over")
            assert all(not tool["ok"] for tool in the.happened("tool_finished"))

            assert await act(the, "hold") == (202, "")
            await until(lambda: the.call.requests.line.is_on_hold, "hold")
            await asyncio.sleep(0.3)
            before = len(one.heard())
            await asyncio.sleep(0.3)
            assert noise(100, 7)[:800] not in one.heard()[before:], "the caller on hold hears the operator"
            assert await act(the, "resume") == (202, "")
            await until(lambda: noise(100, 7)[:800] in one.heard()[before:], "the operator to be heard again")

            assert await act(the, "hangup", when="goodbye") == (200, "")
            await socket.wait_closed()
            assert socket.close_code == 1000
        await one.call.wait_ended(10)
        assert [each["state"] for each in the.happened("take_over")] == ["began", "ended"]


async def test_a_caller_who_is_transferred_leaves_the_person_and_who_gives_back_without_words_is_asked_for_them() -> (
    None
):
    async with stage(transfer_targets="ben=+15550100077", **TOKENS) as the:
        one = await talk(the)
        await greeted(the, one)
        async with taken_over(the, MIA) as socket:
            (await the.realtime.wait_session(2)).drop()  # which writes down what she says
            told: dict[str, Any] = {"written_down": True}
            while told.get("written_down"):
                told = json.loads(await socket.recv())
            await socket.send('{"give_back": true}')
            assert "line_needed" in json.loads(await socket.recv())
            assert the.call.take_over.by == "token mia"
            assert await act(the, "transfer", to="ben") == (202, "")
            await socket.wait_closed()
            assert socket.close_reason == "The caller has gone on to another person, or the agent says goodbye."
        assert not the.call.take_over.by
        assert [each["state"] for each in the.happened("take_over")] == ["began", "ended"]
        assert the.happened("transfer_requested")


async def test_who_gives_back_a_caller_on_hold_takes_them_off_it_and_the_agent_goes_on_with_what_was_said() -> None:
    async with stage(**TOKENS) as the:
        one = await talk(the)
        await greeted(the, one)
        async with taken_over(the, MIA) as socket:
            await until(lambda: noise(100, 7)[:800] in one.heard(), "the operator to be heard")
            assert await act(the, "hold") == (202, "")
            await until(lambda: the.call.requests.line.is_on_hold, "hold")
            async with listening(the, "takeover", **as_(BEN)) as second:
                await second.wait_closed()
            await socket.send(json.dumps({"give_back": True, "line": "The loaf is reserved."}))
            await socket.wait_closed()
            assert socket.close_reason == "The agent has the caller back."
        await until(lambda: not the.call.take_over.by, "the agent to have the caller back")
        line = the.call.requests.line
        assert (line.is_on_hold, line.muted) == (False, [])
        before = len(one.heard())
        await until(lambda: noise(400, 2)[:1600] in one.heard()[before - 8000 :], "the agent to go on")
        assert "The loaf is reserved." in " ".join(each["text"] for each in the.happened("told"))


async def test_a_person_goes_on_when_the_model_stays_away_and_gives_back_when_it_is_there_again() -> None:
    """The outage may be why they speak."""
    async with stage(engine_tries=1, engine_seconds=4.0, **TOKENS) as the:
        one = await talk(the)
        await greeted(the, one)
        async with taken_over(the, MIA) as socket:
            await until(lambda: noise(100, 7)[:800] in one.heard(), "the operator to be heard")
            the.realtime.faults.refuse_next, the.realtime.faults.refuse_status = -1, 503
            for session in the.realtime.sessions:
                session.drop()
            await until(lambda: the.call.model.engine == "lost", "the model to be given up", 15)
            before = len(one.heard())
            await until(lambda: noise(100, 7)[:800] in one.heard()[before:], "the operator to be heard on")
            assert the.happened("clip") == []
            the.realtime.faults.refuse_next = 0
            await socket.send(json.dumps({"give_back": True, "line": "The loaf is reserved."}))
            await socket.wait_closed()
        await until(lambda: the.call.model.engine == "ready", "the model to be asked again")
        said = noise(900, 1)  # the first that each session says
        await until(lambda: one.heard().count(said[:1600]) == 2, "the agent to go on")
        await until(lambda: the.happened("heard")[-1]["done"], "the sentence to be over")
        asked = [event.event for event in the.realtime.sessions[-1].received if event.event["type"] == "response.create"]
        assert len(asked) == 1, "the agent was asked to go on, and to say that it is back as well"


async def test_a_token_of_one_business_listens_and_speaks_in_its_own_calls_alone() -> None:
    profiles = {"bread": {"numbers": ["+15550100002"], "business": "bakery"}}
    async with stage(profiles=profiles, **TOKENS) as the:
        await talk(the)
        for what in ("listen", "takeover"):
            with pytest.raises(InvalidStatus, match="404"):
                async with listening(the, what, **as_(f"{BEN}x")):
                    pass
        with pytest.raises(InvalidStatus, match="404"):
            async with connect(f"ws://127.0.0.1:{port(the)}/api/phone", proxy=None, **as_(OVEN)):
                pass
        assert the.happened("listen_in") == the.happened("take_over") == []
        async with listening(the, **as_(OVEN)) as socket:
            assert json.loads(await socket.recv())["call"] == the.call.id
        logs = f"ws://127.0.0.1:{port(the)}/logs"
        async with connect(logs, proxy=None, **as_(OVEN)) as own, connect(logs, proxy=None, **as_(f"{BEN}x")) as other:
            assert json.loads(await own.recv())["callId"] == the.call.id
            await other.send(
                json.dumps({"type": "session.update", "callId": the.call.id, "session": {"voice": "cedar"}})
            )
            assert "no live call" in json.loads(await other.recv())["error"]["message"]


async def test_a_process_that_is_killed_gives_the_caller_back() -> None:
    async with office(model(), STREAM_TRIES=2, ENGINE_TRIES=1, NO_INPUT_SECONDS=0) as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 300, "the agent")
        assert one.process is not None
        (row,) = one.rows("SELECT DISTINCT call FROM steps")
        address = f"ws://127.0.0.1:{await one.process.console_port()}/api/calls/{row['call']}/takeover"
        async with connect(address, proxy=None) as socket:
            assert json.loads(await socket.recv())["taken_over"] is True
            await until(lambda: on_record(one) == ["began"], "the take-over to be on record")
            await until(lambda: one.rows("SELECT 1 FROM steps WHERE event LIKE '%mute_requested%'"), "the mute", 10)
            await one.stop()
        since = asyncio.get_running_loop().time()
        await one.start()
        await until(lambda: on_record(one) == ["began", "ended"], "its end to be on record", 15)
        told = one.rows("SELECT event FROM steps WHERE event LIKE '%so you have the caller back%'")
        assert told, "the model is not told"
        assert await caller.hears_again(since, 15) >= 0
        await caller.call.hang_up()


def on_record(one: Office) -> list[str]:
    notes = one.rows("""SELECT event FROM steps WHERE event LIKE '%"take_over"%' ORDER BY rowid""")
    return [json.loads(note["event"])["state"] for note in notes]

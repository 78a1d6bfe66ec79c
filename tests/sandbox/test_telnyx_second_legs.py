"""The emulated Telnyx's second legs: transfer, bridge, dial with link_to; who hears whom, what ends what."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.phone import tone
from callflow.sandbox.telnyx import CONNECTION_ID, Call, Faults
from tests.sandbox.telnyx_product import FAST, Product, error_of, product


HUMAN = "+15550100077"
SPEECH = tone(400)
STATE = base64.b64encode(b"human").decode()
SPEAK = {"payload": "One moment.", "voice": "AWS.Polly.Joanna"}


async def answered(app: Product, faults: Faults | None = None) -> Call:
    """A call that was answered, without a stream."""
    call = await app.telnyx.ring(faults=faults)
    assert (await app.command(call, "answer")).status_code == 200
    await call.wait_answered()
    return call


async def dialled(app: Product, **more: Any) -> Call:
    """The human's leg, as soon as it has answered."""
    body = {"connection_id": CONNECTION_ID, "from": "+15550100002", "to": HUMAN} | more
    made = await app.http.post("/calls", json=body)
    assert made.status_code == 200, made.text
    leg = app.telnyx.calls[made.json()["data"]["call_control_id"]]
    await leg.wait_answered()
    return leg


async def transferred(app: Product, call: Call, **more: Any) -> Call:
    """The new leg of a transfer, whatever becomes of it."""
    before = len(app.telnyx.calls)
    assert (await app.command(call, "transfer", to=HUMAN, **more)).status_code == 200
    return list(app.telnyx.calls.values())[before]


async def bridged(app: Product, one: Call, two: Call, **more: Any) -> None:
    assert (await app.command(one, "bridge", call_control_id=two.control_id, **more)).status_code == 200
    assert one.peer is two


async def until(app: Product, condition: Callable[[], bool]) -> None:
    """Waits for webhooks."""
    async with asyncio.timeout(5):
        while not condition():
            app.arrived.clear()
            await app.arrived.wait()


def about(app: Product, leg: Call) -> list[str]:
    return [each["event_type"] for each in (one["data"] for one in app.webhooks) if _of(each, leg)]


def _of(event: dict[str, Any], leg: Call) -> bool:
    return bool(event["payload"]["call_leg_id"] == leg.leg_id)


async def test_a_bridge_lets_two_humans_hear_each_other_and_tells_both_legs() -> None:
    async with product() as app:
        call, human = await answered(app), await dialled(app)
        await bridged(app, call, human)
        began = monotonic()
        call.phone.say(SPEECH)
        human.phone.say(SPEECH)
        await human.phone.hears(0.2, since=began, source=call.voice)
        await call.phone.hears(0.2, since=began, source=human.voice)
        await until(app, lambda: all("call.bridged" in about(app, leg) for leg in (call, human)))
        seen = (await app.http.get(f"{app.telnyx.root}/sandbox/calls/{call.control_id}/hears")).json()
        assert seen["heard_by"] == [human.control_id]


@pytest.mark.parametrize("first", [0, 1])
async def test_without_a_word_both_legs_end_together(first: int) -> None:
    async with product() as app:
        legs = await answered(app), await dialled(app)
        await bridged(app, *legs)
        await legs[first].hang_up()
        await legs[1 - first].wait_ended()
        assert (legs[1 - first].hangup_cause, legs[1 - first].ended_by) == ("normal_clearing", "carrier")


async def test_a_parked_leg_stays_and_can_be_bridged_again() -> None:
    async with product() as app:
        call = await answered(app)
        for _ in range(2):
            human = await dialled(app)
            await bridged(app, call, human, park_after_unbridge="self")
            await human.hang_up()
            assert (call.state, call.peer, call.heard_by) == ("answered", None, [])
        assert (await app.command(call, "streaming_start", **app.streaming())).status_code == 200
        await call.wait_streaming()
        human = await dialled(app)
        await bridged(app, call, human)
        await human.hang_up()
        assert call.state == "ended", "parking is for one bridge"


async def test_a_parked_leg_does_not_keep_its_peer() -> None:
    async with product() as app:
        call, human = await answered(app), await dialled(app)
        await bridged(app, call, human, park_after_unbridge="self")
        await call.hang_up()
        await human.wait_ended()


async def test_a_leg_may_be_put_on_hold_when_its_peer_has_gone() -> None:
    async with product() as app:
        call, human = await answered(app), await dialled(app)
        await bridged(app, call, human, hold_after_unbridge=True)
        await human.hang_up()
        await app.told("call.hold")
        await call.phone.hears(0.1, source="hold")
        await bridged(app, call, await dialled(app))
        await app.told("call.unhold")
        await call.phone.hears_silence(100)


async def test_what_cannot_be_bridged() -> None:
    async with product() as app:
        call, human, ended = await answered(app), await dialled(app), await dialled(app)
        ringing = await app.telnyx.ring()
        await ended.hang_up()
        for other, refused in (
            (ended.control_id, (422, "90018", "/call_control_id")),
            (ringing.control_id, (422, "90034", "/call_control_id")),
            ("nonsense", (422, "90015", "/call_control_id")),
            ("v3:unheard-of", (404, "10005", "/call_control_id")),
            (call.control_id, (422, "10015", "/call_control_id")),
        ):
            answer = await app.command(call, "bridge", call_control_id=other, client_state=STATE)
            assert error_of(answer) == refused, other
        assert call.client_state is None
        assert error_of(await app.command(ringing, "bridge", call_control_id=human.control_id))[1] == "90034"
        assert error_of(await app.command(ended, "bridge", call_control_id=human.control_id))[1] == "90018"
        assert error_of(await app.command(call, "bridge", call_control_id=human.control_id, queue="q"))[1] == "10015"


async def test_one_who_is_bridged_already_leaves_the_other_one() -> None:
    async with product() as app:
        first, human, second = await answered(app), await dialled(app), await answered(app)
        await bridged(app, first, human, park_after_unbridge="self")
        again = {"call_control_id": human.control_id, "prevent_double_bridge": True}
        assert error_of(await app.command(second, "bridge", **again))[:2] == (422, "10015")
        await bridged(app, second, human)
        assert (first.state, first.peer, human.heard_by) == ("answered", None, [second])


async def test_a_transfer_tells_the_new_leg_everything_about_it() -> None:
    async with product() as app:
        call = await answered(app)
        leg = await transferred(app, call, target_leg_client_state=STATE, park_after_unbridge="self")
        await app.telnyx.until(lambda: call.peer is leg)
        assert (leg.session_id, leg.from_number) == (call.session_id, call.to_number), "Telnyx's default"
        await leg.hang_up()
        wanted = {"call.initiated", "call.answered", "call.bridged", "call.hangup"}
        await until(app, lambda: set(about(app, leg)) == wanted)
        events = [one["data"] for one in app.webhooks if _of(one["data"], leg)]
        assert {each["payload"]["client_state"] for each in events} == {STATE}
        assert call.state == "answered", "it was parked"


@pytest.mark.parametrize(
    ("does", "cause"),
    [("busy", "user_busy"), ("rejects", "call_rejected"), ("no_answer", "timeout"), ("not_reachable", "not_found")],
)
async def test_a_failed_transfer_leaves_the_call_and_its_stream_up(does: str, cause: str) -> None:
    async with product() as app:
        call, socket = await app.answered()
        app.telnyx.callees[HUMAN] = Callee.of(does)
        leg = await transferred(app, call)
        await leg.wait_ended()
        assert (leg.hangup_cause, call.state, call.peer) == (cause, "answered", None)
        await socket.play(SPEECH)
        await call.phone.hears(0.2)


async def test_it_rings_for_the_caller_unless_early_media_is_off() -> None:
    async with product() as app:
        app.telnyx.callees[HUMAN] = Callee(ring_s=60)
        for early in (True, False):
            call = await answered(app)
            leg = await transferred(app, call, early_media=early)
            if early:
                await call.phone.hears(0.1, source="ringing")
            await leg.hang_up()
            assert ("ringing" in call.phone.lines) is early
            await call.phone.hears_silence(60)


async def test_no_answer_within_timeout_secs() -> None:
    async with product(timing=replace(FAST, second_s=0.02)) as app:
        app.telnyx.callees[HUMAN] = Callee(ring_s=60)
        leg = await transferred(app, await answered(app), timeout_secs=5)
        await leg.wait_ended()
        assert leg.hangup_cause == "timeout"


async def test_the_caller_hangs_up_while_it_rings() -> None:
    async with product() as app:
        app.telnyx.callees[HUMAN] = Callee(ring_s=60)
        call = await answered(app)
        leg = await transferred(app, call)
        await call.hang_up()
        await leg.wait_ended()
        assert (leg.hangup_cause, leg.answered_at) == ("originator_cancel", None)


async def test_a_transfer_detects_machines_and_plays_something_before_the_bridge() -> None:
    async with product(timing=replace(FAST, amd_s=0.05)) as app:
        app.telnyx.callees[HUMAN] = Callee(does="voicemail", speaks_s=0.05)
        call = await answered(app)
        detect = {"answering_machine_detection": "premium", "audio_url": "https://x.example/a.mp3"}
        leg = await transferred(app, call, **detect)
        await leg.phone.hears(0.05, since=0, source="carrier")
        assert call.peer is None
        await app.telnyx.until(lambda: call.peer is leg)
        await app.told("call.machine.premium.detection.ended")
        assert app.payload("call.machine.premium.detection.ended")["call_leg_id"] == leg.leg_id
        both = await app.command(call, "transfer", to=HUMAN, media_name="a", audio_url="https://x.example/a.mp3")
        assert error_of(both)[:2] == (422, "10015")


@pytest.mark.parametrize("fault", [False, True])
async def test_a_stream_outlives_a_bridge_unless_the_fault_says_otherwise(fault: bool) -> None:
    async with product(faults=Faults(bridge_stops_stream=fault)) as app:
        call, socket = await app.answered()
        human = await dialled(app)
        await bridged(app, call, human)
        if fault:
            await socket.closed.wait()
            await app.told("streaming.stopped")
        else:
            await socket.play(SPEECH)
            await call.phone.hears(0.2)
            assert set(human.phone.lines) == {call.voice}, "target_legs is self: the human hears the caller alone"
        assert call.peer is human


async def test_whom_speech_reaches_on_a_bridge() -> None:
    async with product() as app:
        call, human = await answered(app), await dialled(app)
        await bridged(app, call, human)
        for legs, hear in (({}, "c"), ({"target_legs": "opposite"}, "h"), ({"target_legs": "both"}, "ch")):
            for action, body in (("speak", SPEAK), ("playback_start", {"audio_url": "https://x.example/a.mp3"})):
                before = {each: each.phone.line("carrier").played_bytes for each in (call, human)}
                await app.command(call, action, **body, **legs)
                await call.announcer.played()
                heard = {each: each.phone.line("carrier").played_bytes > before[each] for each in (call, human)}
                assert heard == {call: "c" in hear, human: "h" in hear}, (legs, action)


async def test_a_key_is_told_on_a_leg_without_a_stream() -> None:
    async with product() as app:
        app.telnyx.callees[HUMAN] = Callee(presses="1")
        human = await dialled(app)
        await app.told("call.dtmf.received")
        told = app.payload("call.dtmf.received")
        assert (told["digit"], told["call_leg_id"]) == ("1", human.leg_id)
        assert human.streams == []


async def test_a_dial_may_be_linked_and_bridged_when_it_is_answered() -> None:
    async with product() as app:
        call = await answered(app)
        link = {"link_to": call.control_id, "bridge_on_answer": True, "bridge_intent": True}
        human = await dialled(app, **link)
        await app.telnyx.until(lambda: call.peer is human)
        assert (human.session_id, human.from_number) == (call.session_id, call.from_number)
        second = await dialled(app, **link, prevent_double_bridge=True)
        await second.wait_ended()
        assert call.peer is human
        body = {"connection_id": CONNECTION_ID, "from": "+15550100002", "to": HUMAN}
        for wrong in ({"bridge_on_answer": True}, {"bridge_intent": True}, {"park_after_unbridge": "self"}):
            assert error_of(await app.http.post("/calls", json=body | wrong)) == (422, "10004", "/link_to")
        await call.hang_up()
        ended = await app.http.post("/calls", json=body | {"link_to": call.control_id})
        assert error_of(ended) == (422, "90018", "/link_to")


@pytest.mark.parametrize("how", ["bridge", "transfer", "dial"])
async def test_the_other_leg_dies_at_the_moment_of_the_join(how: str) -> None:
    async with product() as app:
        call = await answered(app, Faults(join_loses_leg=True))
        if how == "bridge":
            leg = await dialled(app)
            assert (await app.command(call, "bridge", call_control_id=leg.control_id)).status_code == 200
        elif how == "transfer":
            leg = await transferred(app, call)
        else:
            leg = await dialled(app, link_to=call.control_id, bridge_on_answer=True)
        await leg.wait_ended()
        assert (leg.ended_by, call.state, call.peer) == ("callee", "answered", None)
        assert leg.answered_at is not None


async def test_the_webhooks_of_the_second_leg_alone_are_lost_repeated_and_reordered() -> None:
    async with product() as app:
        app.telnyx.faults_of[HUMAN] = Faults(
            webhook_drop=["call.initiated"],
            webhook_duplicates={"call.hangup": 1},
            webhook_hold={"call.answered": "call.bridged"},
        )
        call = await answered(app)
        leg = await transferred(app, call)
        await app.telnyx.until(lambda: call.peer is leg)
        await leg.hang_up()
        await until(app, lambda: about(app, leg).count("call.hangup") == 2 and "call.answered" in about(app, leg))
        seen = about(app, leg)
        assert "call.initiated" not in seen
        assert seen.index("call.bridged") < seen.index("call.answered")
        assert "call.initiated" in about(app, call)


async def test_a_bridge_records_from_then_on() -> None:
    async with product() as app:
        call, human = await answered(app), await dialled(app)
        await bridged(app, call, human, record="record-from-answer", record_format="wav")
        human.phone.say(SPEECH)
        await call.phone.hears(0.2, source=human.voice)
        await human.hang_up()
        await app.told("call.recording.saved")
        listed: httpx.Response = await app.http.get("/recordings")
        assert listed.json()["data"][0]["call_leg_id"] == call.leg_id


async def test_closing_leaves_nothing_behind() -> None:
    before = len(asyncio.all_tasks())
    async with product() as app:
        call, human = await answered(app), await dialled(app)
        await bridged(app, call, human)
        app.telnyx.callees[HUMAN] = Callee(ring_s=60)
        await transferred(app, call)
    assert len(asyncio.all_tasks()) == before

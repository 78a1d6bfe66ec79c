"""How calls end: the caller is never left in silence, everything is bounded, and nothing stays behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest

from callflow.contracts import events
from callflow.sandbox.openai_realtime import Faults as ModelFaults
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx import ApiFault, Call, Faults, Telnyx
from tests.e2e.product import Product
from tests.e2e.scenes import (
    SHORT,
    SOON,
    cause,
    conversing,
    exchange,
    heard,
    leg,
    no_more_tasks,
    nothing_left,
    over,
    posted,
    stage,
    tasks,
    tell,
)


Act = Callable[[Product, Call], Awaitable[None]]


async def lose_the_stream_in_the_clip(the: Product, call: Call) -> None:
    await the.until(lambda: the.happened("clip"), "the clip")
    call.streams[-1].drop()


@asynccontextmanager
async def one_call(
    *, telnyx: Telnyx | None = None, realtime: Realtime | None = None, **settings: Any
) -> AsyncIterator[tuple[Product, Call]]:
    """Somebody rings; at the end of the block the call must be over, and nothing of it left."""
    async with stage(telnyx=telnyx, realtime=realtime, **settings) as the:
        before = tasks()
        call = await the.telnyx.ring()
        yield the, call
        await nothing_left(the, before, call)
        await the.until(lambda: call.ended_at, "the call's end at the carrier")


def talking(seconds: float = 0.2, **faults: Any) -> Realtime:
    return Realtime(script=Script.tone(seconds), pace=Pace.instant(), faults=ModelFaults(**faults))


# The caller, or somebody of ours, ends it


async def test_the_caller_hangs_up_in_the_middle_of_the_agents_sentence() -> None:
    async with one_call(realtime=talking(5.0)) as (the, call):
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()
        assert cause(the) == "normal_clearing"
        assert posted(the) == ["answer"], "a call that is over was hung up"


async def test_the_caller_gives_up_while_it_rings() -> None:
    async with one_call(telnyx=exchange(answer_s=0.5)) as (the, call):
        await the.until(lambda: the.actions("answer") and the.actions("answer")[0].status, "the answer")
        await call.hang_up()
        await the.quiet()
        assert cause(the) == "originator_cancel"
        assert posted(the) == ["answer"]


async def test_goodbye_is_heard_whole_before_the_hangup() -> None:
    async with one_call(realtime=talking(5.0)) as (the, call):
        await conversing(the, call)
        the.call.post(events.GoodbyeRequested(reason="operator"))
        await over(the, call)
        assert call.ended_by == "product"
        assert heard(call, "goodbye", "Goodbye.") == "clip"
        assert posted(the) == ["answer", "hangup"]
        assert cause(the) == "operator"


async def test_goodbye_twice_is_one_goodbye() -> None:
    async with one_call() as (the, call):
        await conversing(the, call)
        for reason in ("first", "second"):
            the.call.post(events.GoodbyeRequested(reason=reason))
        await over(the, call)
        assert cause(the) == "first"
        assert len(the.happened("clip")) == 1
        assert len(the.actions("hangup")) == 1


async def test_a_requested_hangup_is_at_once() -> None:
    async with one_call(realtime=talking(5.0)) as (the, call):
        await conversing(the, call)
        began = monotonic()
        the.call.post(events.HangupRequested(reason="operator"))
        await over(the, call)
        assert monotonic() - began < 0.5
        assert heard(call, "goodbye", "Goodbye.") == ""
        assert posted(the) == ["answer", "hangup"]


async def test_the_longest_call_ends_with_goodbye() -> None:
    async with one_call(max_call_seconds=0.5, realtime=talking(5.0)) as (the, call):
        await over(the, call)
        assert cause(the) == "too_long"
        assert heard(call, "goodbye", "Goodbye.") == "clip"
        assert call.answered_at is not None
        assert call.ended_at is not None
        assert 0.5 <= call.ended_at - call.answered_at < 0.5 + SHORT["farewell_seconds"]


async def test_the_caller_hangs_up_during_the_goodbye() -> None:
    async with one_call() as (the, call):
        await conversing(the, call)
        await call.phone.hears_silence(50)
        the.call.post(events.GoodbyeRequested(reason="operator"))
        await call.phone.hears(0.05)
        await call.hang_up()
        await the.quiet()
        assert posted(the) == ["answer"]


async def test_the_caller_hangs_up_while_the_carrier_apologises() -> None:
    async with one_call(telnyx=exchange(Faults(connect_fails=True), speak_s_per_char=0.2)) as (the, call):
        await call.phone.hears(0.05)
        await call.hang_up()
        await the.quiet()
        # The carrier may tell first that its sentence is over, and then that the call is.
        assert posted(the) in (["answer", "speak"], ["answer", "speak", "hangup"])


# Something fails


@dataclass
class Failure:
    """What goes wrong, and what the caller must get to hear before the call ends by itself."""

    cause: str
    hears: tuple[str, ...] = ("clip", "carrier")
    telnyx: dict[str, Any] = field(default_factory=dict)
    api: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    engine: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    then: Act | None = None
    """What goes wrong later."""
    seconds: float = 2.5
    """From the ring to the end, at most."""
    hangs_up: bool = True


FAILURES = {
    # The engine
    "engine refuses with 401": Failure("engine_lost", engine={"refuse_next": -1, "refuse_status": 401}, seconds=1.0),
    "engine refuses with 403": Failure("engine_lost", engine={"refuse_next": -1, "refuse_status": 403}, seconds=1.0),
    "engine refuses with 500 for ever": Failure(
        "engine_lost or engine_timeout", engine={"refuse_next": -1, "refuse_status": 500}
    ),
    "engine refuses with 503 for ever": Failure(
        "engine_lost or engine_timeout", engine={"refuse_next": -1, "refuse_status": 503}
    ),
    "engine refuses with 429 for ever": Failure(
        "engine_lost or engine_timeout", engine={"refuse_next": -1, "refuse_status": 429}
    ),
    "engine does not answer the handshake": Failure("engine_lost or engine_timeout", engine={"hang_next": -1}),
    "engine's port is closed": Failure(
        "engine_lost or engine_timeout", settings={"openai_realtime_url": "ws://127.0.0.1:9/v1/realtime"}
    ),
    "engine's name is unknown": Failure(
        "engine_lost or engine_timeout", settings={"openai_realtime_url": "ws://no.such.invalid/v1"}
    ),
    "engine never confirms the session": Failure("engine_timeout", engine={"no_session_updated": True}),
    "engine refuses every session": Failure("engine_lost", engine={"refuse_session_update": 9}),
    "engine breaks off in the middle of a sentence": Failure(
        "engine_lost", hears=("clip",), engine={"drop_after_s": 0.3}
    ),
    "engine closes in the middle of a sentence": Failure(
        "engine_lost", hears=("clip",), engine={"drop_after_s": 0.3, "close_code": 1001}
    ),
    "engine's account has no money": Failure(
        "engine_lost", hears=("clip", "carrier"), engine={"fatal_error": "insufficient_quota"}
    ),
    "engine refused while it rings": Failure(
        "engine_lost", engine={"refuse_next": -1, "refuse_status": 401}, timing={"answer_s": 0.3}
    ),
    "engine refused, and no webhook says that the call was answered": Failure(
        "engine_lost",
        hears=("clip",),
        engine={"refuse_next": -1, "refuse_status": 401},
        telnyx={"webhook_drop": ["call.answered"]},
    ),
    "engine refused, and the stream never comes": Failure(
        "engine_lost",
        hears=("carrier",),
        engine={"refuse_next": -1, "refuse_status": 401},
        telnyx={"never_connect": True},
    ),
    # The stream
    "stream cannot be opened": Failure("stream_failed", hears=("carrier",), telnyx={"connect_fails": True}),
    "stream never comes": Failure("stream_timeout", hears=("carrier",), telnyx={"never_connect": True}),
    "stream never says start": Failure(
        "stream_timeout or stream_lost or stream_failed", hears=("carrier",), telnyx={"no_start": True}
    ),
    "stream cannot be opened, and no webhook says that it is answered": Failure(
        "stream_failed", hears=("carrier",), telnyx={"connect_fails": True, "webhook_drop": ["call.answered"]}
    ),
    "stream cannot be opened, and the engine refuses": Failure(
        "stream_failed or engine_lost",
        hears=("carrier",),
        telnyx={"connect_fails": True},
        engine={"refuse_next": -1, "refuse_status": 401},
    ),
    "stream brings a codec that cannot be read": Failure(
        "codec_refused", hears=("carrier",), telnyx={"media_format": "G722"}
    ),
    "stream is lost in the middle": Failure("stream_lost", hears=("",), telnyx={"drop_socket_after_s": 0.3}),
    # The last sentence
    "end of the carrier's sentence is not told": Failure(
        "stream_failed", hears=("carrier",), telnyx={"connect_fails": True, "webhook_drop": ["call.speak.ended"]}
    ),
    "carrier does not stop speaking": Failure(
        "stream_failed", hears=("carrier",), telnyx={"connect_fails": True}, timing={"speak_s_per_char": 9.0}
    ),
    "carrier refuses to speak": Failure(
        "stream_failed", hears=("",), telnyx={"connect_fails": True}, api=[("speak", {"status": 422, "code": "10015"})]
    ),
    "carrier cannot speak for now": Failure(
        "stream_failed", hears=("carrier",), telnyx={"connect_fails": True}, api=[("speak", {"status": 503})]
    ),
    "carrier hangs when asked to speak": Failure(
        "stream_failed", hears=("",), telnyx={"connect_fails": True}, api=[("speak", {"hang_s": 60, "times": 99})]
    ),
    "marks do not come back during the clip": Failure(
        "engine_lost", hears=("clip",), engine={"drop_after_s": 0.3}, telnyx={"no_marks": True}
    ),
    "stream is lost during the clip": Failure(
        "engine_lost", hears=("carrier",), engine={"drop_after_s": 0.3}, then=lose_the_stream_in_the_clip
    ),
    "everything at once": Failure(
        "engine_timeout or not_answered",
        hears=("",),
        engine={"hang_next": -1},
        telnyx={"never_connect": True, "webhook_drop": ["call.answered", "call.hangup", "call.speak.ended"]},
        settings={"answer_seconds": 1.0},
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_ends_in_a_sentence_and_a_hangup(name: str) -> None:
    case = FAILURES[name]
    telnyx = exchange(
        Faults(**case.telnyx), api=[ApiFault(action, **fault) for action, fault in case.api], **case.timing
    )
    async with one_call(telnyx=telnyx, realtime=talking(3.0, **case.engine), **SOON | case.settings) as (
        the,
        call,
    ):
        began = monotonic()
        if case.then is not None:
            await case.then(the, call)
        await over(the, call, case.seconds + 2)
        took = monotonic() - began
        assert call.ended_by == "product", call.story()
        assert took < case.seconds, f"it took {took:.2f} s; {call.story()}"
        how = heard(call, "sorry", "Sorry.")
        assert how in case.hears, f"the caller heard {how or 'nothing'!r}; {call.story()}"
        await the.until(lambda: the.happened("ended"), "the end on record")
        why = cause(the)
        assert why in case.cause.split(" or "), f"the cause is {why}"
        assert posted(the).count("hangup") == 1
        assert posted(the)[-1] == "hangup"


@pytest.mark.parametrize("faults", [{"connect_fails": True}, {"never_connect": True}, {"no_start": True}], ids=str)
async def test_what_the_agent_said_into_no_stream_was_not_heard(faults: dict[str, Any]) -> None:
    async with one_call(telnyx=exchange(Faults(**faults)), realtime=talking(3.0), **SOON) as (the, call):
        await over(the, call)
        await the.until(lambda: the.happened("ended"), "the end on record")
        said = [turn["item"] for turn in the.happened("turn") if turn["who"] == "agent"]
        cuts = [cut for note in the.happened("interrupted") for cut in note["cuts"]]
        assert said
        unheard = [(cut["item"], cut["heard_ms"], cut["heard_text"]) for cut in cuts]
        assert unheard == [(item, 0, "") for item in said], "words that nobody heard count as heard"


async def test_a_sentence_that_finds_no_call_any_more_is_the_end_without_a_hangup() -> None:
    gone = ApiFault("speak", status=422, code="90018")
    async with one_call(telnyx=exchange(Faults(connect_fails=True), api=[gone])) as (the, call):
        await the.until(lambda: the.happened("ended"), "the end")
        assert posted(the) == ["answer", "speak"]
        await call.hang_up()


async def test_an_engine_that_refused_is_asked_once_and_one_that_was_busy_again() -> None:
    for status, tries in ((401, 1), (503, 2)):
        realtime = talking(refuse_next=1, refuse_status=status)
        async with stage(realtime=realtime, engine_seconds=3.0) as the:
            call = await the.telnyx.ring()
            if status == 503:
                await conversing(the, call)
                await call.hang_up()
            await over(the, call)
            assert realtime.connections_attempted == tries, f"HTTP {status}"


async def test_a_stream_that_comes_back_within_the_grace_goes_on() -> None:
    faults = Faults(drop_socket_after_s=0.2, reconnect_after_s=0.05)
    async with one_call(telnyx=exchange(faults), stream_grace_seconds=1.0) as (the, call):
        await conversing(the, call)
        await the.until(lambda: len(call.streams) == 2 and call.streams[1].started, "the second stream")
        faults.drop_socket_after_s = faults.reconnect_after_s = None
        await the.until(lambda: the.call.relay.has_socket, "the second socket to be taken")
        before = len(the.realtime.sessions[0].audio_in)
        await the.until(lambda: len(the.realtime.sessions[0].audio_in) > before + 800, "the caller to be heard again")
        assert len(the.realtime.sessions) == 1
        await call.hang_up()
        await the.quiet()
        assert "hangup" not in posted(the)


@pytest.mark.parametrize("hint", ["stopped", "failed"])
async def test_a_stream_webhook_during_the_conversation_ends_nothing(hint: str) -> None:
    """The media socket itself is what counts."""
    async with one_call() as (the, call):
        await conversing(the, call)
        ids = {"call_control_id": call.control_id, "call_leg_id": call.leg_id, "call_session_id": call.session_id}
        await tell(the, f"streaming.{hint}", leg(**ids))
        before = len(the.realtime.sessions[0].audio_in)
        await the.until(lambda: len(the.realtime.sessions[0].audio_in) > before + 800, "the caller to be heard")
        assert the.call.model.state == "streaming"
        await call.hang_up()
        await the.quiet()


async def test_no_call_waits_for_an_engine_that_does_not_close_its_socket() -> None:
    """It accepts the connection, and then neither reads nor writes nor closes."""
    held: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)

    async def accept() -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            held.append(connection)

    accepting = asyncio.create_task(accept())
    try:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/realtime"
        async with stage(openai_realtime_url=url) as the:
            call = await the.telnyx.ring()
            await call.wait_streaming()
            assert held, "nobody connected"
            began = monotonic()
            await call.hang_up()
            await the.quiet()
            assert monotonic() - began < 1.0
    finally:
        accepting.cancel()
        listener.close()
        for connection in held:
            connection.close()


async def test_an_engine_that_stops_reading_does_not_hold_up_the_end() -> None:
    async with stage(realtime=talking(stop_reading_after=2)) as the:
        before = tasks()
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet(1.0)
        await no_more_tasks(before)


# One call's fault is no other's


@pytest.mark.parametrize(
    "where", ["make_engine", "engine.run", "engine.append", "carrier.execute", "media_protocol", "record"]
)
async def test_a_fault_of_our_own_in_one_call_ends_that_call_and_no_other(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage() as the:
        other = await the.telnyx.ring()
        await conversing(the, other)
        (name,) = [call.id for call in the.app.switchboard.calls]

        def broken(*_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("a bug")

        async def broken_later(*_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("a bug")

        def broken_in_the_other(call: Any, _: Any) -> None:
            if call.id != name:  # the first one's events come here, too
                raise ZeroDivisionError("a bug")

        carrier = the.app.carriers[0]
        with monkeypatch.context() as patch:
            match where:
                case "make_engine":
                    patch.setattr("callflow.engines.openai_realtime.adapter.OpenAIRealtime", broken)
                case "engine.run":
                    patch.setattr("callflow.engines.openai_realtime.adapter.open_socket", broken_later)
                case "engine.append":
                    # the first call's session has its own already
                    patch.setattr("callflow.engines.openai_realtime.audio_pipeline.AudioPipeline.append", broken)
                case "carrier.execute":
                    patch.setattr(carrier, "execute", broken_later)
                case "media_protocol":
                    patch.setattr(carrier, "media_protocol", broken)
                case "record":
                    patch.setattr("callflow.call.call.Call._note_numbers", broken_in_the_other)
            victim = await the.telnyx.ring()
            await the.until(lambda: len(the.app.journal.calls()) == 2 or where == "record", "the second call")
            await the.until(lambda: the.app.switchboard.counts["calls"] == 2, "the second call")
            await the.until(lambda: len(the.app.switchboard.calls) == 1, "the second call to end", 4)
        assert [call.id for call in the.app.switchboard.calls] == [name]
        if where != "carrier.execute":
            await victim.wait_ended()
            assert victim.ended_by == "product", "somebody was left on the line"
        first = next(one for one in the.telnyx.deliveries if one.payload.get("call_leg_id") == victim.leg_id)
        await the.until(lambda: first.latency is not None, "the webhook's answer")
        assert first.latency is not None
        assert first.latency < 1.0, f"the webhook waited {first.latency:.2f} s for a call that had broken"
        before = len(the.realtime.sessions[0].audio_in)
        await the.until(lambda: len(the.realtime.sessions[0].audio_in) > before + 1600, "the other call to go on")
        assert other.state == "answered"
        await other.hang_up()
        await the.quiet()
        third = await the.telnyx.ring()
        await conversing(the, third)
        await third.hang_up()
        await the.quiet()

"""Who gets in, what becomes of the others, and the way out of a server that is asked to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from time import monotonic, thread_time

import psutil
import pytest

from callflow.media import clips
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx import ApiFault, Call, Faults, Telnyx
from callflow.sandbox.twilio import Timing as TwilioTiming
from callflow.sandbox.twilio import Twilio
from tests.e2e.process import serving
from tests.e2e.product import PUBLIC, product, run, until
from tests.e2e.scenes import cause, conversing, exchange, heard, leg, model, posted, stage, tasks, tell
from tests.e2e.test_survival import office


# A full server


@pytest.mark.one_node("each node has room of its own")
def test_beyond_the_limit_a_call_is_rejected_as_busy_and_on_record() -> None:
    async def main() -> None:
        async with stage(max_concurrent_calls=1) as the:
            first = await the.telnyx.ring()
            await conversing(the, first)
            second = await the.telnyx.ring(from_number="+15550100077")
            await second.wait_ended()
            assert posted(the, second) == ["reject"]
            (reject,) = the.actions("reject")
            assert reject.body["cause"] == "USER_BUSY"
            assert second.hangup_cause == "user_busy"
            await the.until(lambda: len(the.happened("ended")) == 1, "the refused call's end on record")
            (refused,) = the.happened("call_refused")
            assert (refused["reason"], refused["from_number"]) == ("busy", "+15550100077")
            name = the.app.journal.calls()[1]
            assert cause(the, name) == "busy"
            assert first.state == "answered", "the first call suffered"
            await over_after_hanging_up(first)
            await the.quiet()
            third = await the.telnyx.ring()
            await conversing(the, third)
            await third.hang_up()
            await the.quiet()

    async def over_after_hanging_up(call: Call) -> None:
        await call.hang_up()
        await call.wait_ended()

    run(main())


@pytest.mark.alone
async def test_while_the_loop_is_late_new_calls_hear_busy_and_then_they_get_in_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    busy = True

    def work() -> None:
        """Hold up the loop as a tool or a request would: with work."""
        until = thread_time() + 0.06
        while thread_time() < until:
            pass
        if busy:
            asyncio.get_running_loop().call_later(0.01, work)

    async with stage(admission_lag_ms=20, admission_min_calls=0) as the:
        the.app._load._window_seconds = 0.6
        first = await the.telnyx.ring()
        await conversing(the, first)
        work()
        await the.until(lambda: "NEW CALLS HEAR BUSY" in caplog.text, "the loop to be known as late")
        second = await the.telnyx.ring(from_number="+15550100077")
        await second.wait_ended()
        assert second.hangup_cause == "user_busy"
        await the.until(lambda: the.happened("call_refused"), "the refusal to be on record")
        (refused,) = the.happened("call_refused")
        assert refused["reason"] == "busy"
        assert "the event loop is" in refused["why"]
        assert first.state == "answered", "the live call suffered"
        busy = False
        await the.until(lambda: "new calls are taken again" in caplog.text, "the loop to be known as punctual")
        third = await the.telnyx.ring()
        await conversing(the, third)
        for call in (first, third):
            await call.hang_up()
        await the.quiet()


@pytest.mark.one_node("each node has room of its own")
async def test_of_many_at_once_exactly_the_limit_is_taken() -> None:
    async with stage(max_concurrent_calls=3) as the:
        calls = [await the.telnyx.ring() for _ in range(12)]

        def told(action: str) -> int:
            return len({command.path for command in the.actions(action)})  # one may be sent again

        await the.until(lambda: told("answer") + told("reject") == 12, "all to be decided")
        assert told("answer") == 3
        assert the.app.switchboard.counts["refused"] == 9
        for call in calls:
            if call.state != "ended":
                await call.hang_up()
        await the.quiet()
        await the.until(lambda: len(the.happened("ended")) == 12, "twelve ends on record")


@pytest.mark.one_node("each node has room of its own")
async def test_repeats_of_a_refused_calls_webhook_do_not_take_it_after_all() -> None:
    faults = Faults(webhook_new_ids={"call.initiated": 2}, webhook_duplicates={"call.initiated": 2})
    async with stage(max_concurrent_calls=1) as the:
        first = await the.telnyx.ring()
        await conversing(the, first)
        second = await the.telnyx.ring(faults=faults)
        await second.wait_ended()
        await first.hang_up()
        await the.quiet()
        ids = {"call_control_id": second.control_id, "call_leg_id": second.leg_id}
        await tell(the, "call.initiated", leg(**ids))
        await tell(the, "call.answered", leg(**ids))
        assert posted(the, second) == ["reject"]
        assert the.app.switchboard.calls == []


@pytest.mark.one_node("each node has room of its own")
async def test_a_call_found_answered_beyond_the_limit_is_told_so_and_hung_up() -> None:
    async with stage(max_concurrent_calls=1) as the:
        first = await the.telnyx.ring()
        await conversing(the, first)
        second = await the.telnyx.ring(faults=Faults(webhook_drop=["call.initiated"]))
        second.answered()
        await second.wait_ended()
        assert second.ended_by == "product"
        assert heard(second, "busy", "Busy.")
        await first.hang_up()
        await the.quiet()


@pytest.mark.one_node("each node has room of its own")
async def test_a_slot_is_free_again_after_every_way_to_fail() -> None:
    api = [ApiFault("answer", status=422, code="90018"), ApiFault("answer", status=403)]
    async with stage(telnyx=exchange(api=api), max_concurrent_calls=1) as the:
        for number in (1, 2):
            call = await the.telnyx.ring()
            await the.until(lambda number=number: len(the.happened("ended")) == number, "the call's end")  # type: ignore[misc]
            await the.quiet()
            if call.state != "ended":
                await call.hang_up()
        last = await the.telnyx.ring()
        await conversing(the, last)
        await last.hang_up()
        await the.quiet()
        assert the.app.switchboard.counts["refused"] == 0


async def test_webhooks_without_a_call_take_no_slot() -> None:
    async with stage(max_concurrent_calls=1) as the:
        for kind in ("call.hangup", "call.dtmf.received", "streaming.started", "call.of.next.year"):
            await tell(the, kind, leg())
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()


# One caller


@pytest.mark.parametrize("number", ["+15550100077", "sip:1001@pbx.example"])
async def test_a_caller_beyond_their_limit_is_rejected_as_busy_and_others_get_in(number: str) -> None:
    async with stage(max_calls_per_caller=1) as the:
        first = await the.telnyx.ring(from_number=number)
        await conversing(the, first)
        second = await the.telnyx.ring(from_number=number)
        await second.wait_ended()
        assert posted(the, second) == ["reject"]
        assert second.hangup_cause == "user_busy"
        await the.until(lambda: len(the.happened("ended")) == 1, "the refused call's end on record")
        (refused,) = the.happened("call_refused")
        assert (refused["reason"], refused["why"]) == ("caller_busy", "this caller has 1 call already")
        other = await the.telnyx.ring(from_number="+15550100078")
        await conversing(the, other)
        assert first.state == "answered", "the first call suffered"
        assert the.app.switchboard.counts["refused"] == 1
        await first.hang_up()
        await other.hang_up()
        await the.quiet()
        third = await the.telnyx.ring(from_number=number)
        await conversing(the, third)
        await third.hang_up()
        await the.quiet()


async def test_a_number_is_one_caller_however_it_is_written() -> None:
    async with stage(max_calls_per_caller=1) as the:
        first = await the.telnyx.ring(from_number="+15550100077")
        await conversing(the, first)
        for number in ("15550100077", "+1 (555) 010-0077", "sip:+15550100077@trunk.example", "tel:+1-555-010-0077"):
            again = await the.telnyx.ring(from_number=number)
            await again.wait_ended()
            assert posted(the, again) == ["reject"], number
        await first.hang_up()
        await the.quiet()


async def test_of_many_at_once_from_one_number_exactly_the_limit_is_taken() -> None:
    async with stage(max_calls_per_caller=3) as the:
        calls = [await the.telnyx.ring(from_number="+15550100077") for _ in range(9)]
        await the.until(lambda: len(the.actions("answer")) + len(the.actions("reject")) == 9, "all to be decided")
        assert len(the.actions("answer")) == 3
        for call in calls:
            if call.state != "ended":
                await call.hang_up()
        await the.quiet()


async def test_whoever_withholds_their_number_is_not_one_caller_with_the_others() -> None:
    async with stage(max_calls_per_caller=1, max_calls_per_caller_hour=1) as the:
        numbers = ("anonymous", "anonymous", "", "", "Restricted", "Restricted", "+266696687", "+266696687")
        uris = ("sip:anonymous@anonymous.invalid",) * 2
        calls = [await the.telnyx.ring(from_number=number) for number in (*numbers, *uris)]
        for call in calls:
            await call.wait_streaming()
        assert the.actions("reject") == []
        for call in calls:
            await call.hang_up()
        await the.quiet()


async def test_calls_of_an_hour_are_counted_and_repeats_of_a_webhook_are_not() -> None:
    faults = Faults(webhook_new_ids={"call.initiated": 2}, webhook_duplicates={"call.initiated": 2})
    async with stage(max_calls_per_caller=1, max_calls_per_caller_hour=2) as the:
        for _ in range(2):
            call = await the.telnyx.ring(faults=faults)
            await conversing(the, call)
            await call.hang_up()
            await the.quiet()
        third = await the.telnyx.ring()
        await third.wait_ended()
        assert posted(the, third) == ["reject"]
        (refused,) = the.happened("call_refused")
        assert refused["reason"] == "caller_limit"
        assert refused["why"] == "this caller has had 2 calls within an hour already"
        assert cause(the, the.app.journal.calls()[-1]) == "caller_limit"


async def test_a_call_found_answered_beyond_the_callers_limit_is_told_so_and_hung_up() -> None:
    async with stage(max_calls_per_caller=1) as the:
        first = await the.telnyx.ring()
        await conversing(the, first)
        second = await the.telnyx.ring(faults=Faults(webhook_drop=["call.initiated"]))
        second.answered()
        await second.wait_ended()
        assert second.ended_by == "product"
        assert heard(second, "busy", "Busy.")
        assert [one["why"] for one in the.happened("goodbye_requested")] == ["this caller has 1 call already"]
        await first.hang_up()
        await the.quiet()


async def test_twilio_hears_busy_for_a_caller_beyond_their_limit() -> None:
    twilio = Twilio(PUBLIC, timing=TwilioTiming(speak_s_per_char=0.02))
    async with product(carrier=twilio, realtime=model(), max_calls_per_caller=1) as the:
        first = await twilio.ring(from_number="+15550100077")
        await first.wait_streaming()
        second = await twilio.ring(from_number="+15550100077")
        await second.wait_ended()
        assert second.documents[0].endswith('<Response><Reject reason="busy" /></Response>')
        assert (second.status, second.answered_at) == ("busy", None)
        unknown = [await twilio.ring(from_number=number) for number in ("+266696687", "+266696687", "anonymous")]
        for call in unknown:
            await call.wait_streaming()
        for call in (first, *unknown):
            await call.hang_up()
        await the.quiet()
        third = await twilio.ring(from_number="+15550100077")
        await third.wait_streaming()
        await third.hang_up()


async def test_a_call_that_is_recovered_counts() -> None:
    async with office(MAX_CALLS_PER_CALLER=1) as one:
        first = await one.ring(1)
        await until(lambda: first.heard_ms > 200, "the first words", 15)
        await one.stop()
        await one.start()
        await until(lambda: len(one.realtime.sessions) > 1, "the call to be recovered", 15)
        again, other = await one.ring(1), await one.ring(2)
        await until(lambda: not again.is_up, "the caller's second call to be refused", 10)
        await until(lambda: other.heard_ms > 200, "another caller to be served", 15)
        assert first.is_up
        assert again.call.hangup_cause == "user_busy"


# The drain, in this process


async def test_a_drain_lets_calls_end_by_themselves_and_refuses_new_ones() -> None:
    async with stage() as the:
        live = await the.telnyx.ring()
        await conversing(the, live)
        draining = asyncio.create_task(the.app.switchboard.drain(5.0))
        await the.until(lambda: not the.app.switchboard.is_accepting, "the drain")
        refused = await the.telnyx.ring()
        await refused.wait_ended()
        assert refused.hangup_cause == "user_busy"
        assert live.state == "answered", "a live call was ended before its time"
        began = monotonic()
        await live.hang_up()
        await draining
        assert monotonic() - began < 2.0, "the drain waited although nobody was left"
        assert posted(the, live) == ["answer"]


async def test_a_drain_ends_a_call_that_still_rings() -> None:
    async with stage(telnyx=exchange(answer_s=30)) as the:
        call = await the.telnyx.ring()
        await the.until(lambda: the.actions("answer") and the.actions("answer")[0].status, "the answer")
        await the.app.switchboard.drain(0.05)
        assert posted(the) == ["answer", "hangup"]
        assert call.ended_by == "product"


async def test_a_drain_is_bounded_when_nothing_works_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callflow.switchboard.drain._LEFTOVER_SECONDS", 0.3)
    faults = Faults(no_marks=True, webhook_drop=["*"])
    api = [ApiFault("hangup", hang_s=60, times=99)]
    telnyx = exchange(faults=Faults(), api=api)
    async with stage(telnyx=telnyx, farewell_seconds=0.5) as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        call.faults = faults
        faults.api += api
        began = monotonic()
        await the.app.switchboard.drain(0.1)
        assert monotonic() - began < 0.1 + 0.5 + 1.5 + 1.0, "the drain hangs with the carrier's API"
        assert the.app.switchboard.calls == []
        assert "hangup" in posted(the)


# Signals


def _agent() -> Realtime:
    return Realtime(script=Script.tone(30.0), pace=Pace.instant())


async def _talking(telnyx: Telnyx) -> Call:
    call = await telnyx.ring()
    await call.wait_streaming()
    await call.phone.hears(0.1)
    return call


async def test_sigterm_with_a_live_call_drains_says_goodbye_hangs_up_and_exits_0() -> None:
    telnyx = exchange()
    async with serving(telnyx, _agent(), DRAIN_SECONDS=0.5) as server:
        call = await _talking(telnyx)
        began = monotonic()
        await server.stop()
        await server.says("draining")
        refused = await telnyx.ring()
        await refused.wait_ended()
        assert refused.hangup_cause == "user_busy"
        assert call.state == "answered", "the live call was not given its time"
        await call.wait_ended(8)
        assert call.ended_at is not None
        assert call.ended_at - began > 0.5
        assert call.ended_by == "product"
        goodbye = clips.load("en")["goodbye"].audio
        assert goodbye in call.phone.heard_between(0.0, monotonic()), f"goodbye was not heard; {call.story()}"
        assert await server.ended(5) == 0
        assert telnyx.failures == []


async def test_sigterm_with_a_call_that_ends_in_time_says_no_goodbye() -> None:
    telnyx = exchange()
    async with serving(telnyx, _agent(), DRAIN_SECONDS=20) as server:
        call = await _talking(telnyx)
        await server.stop()
        await server.says("draining")
        await call.hang_up()
        assert await server.ended(5) == 0
        assert [one.action for one in telnyx.commands if one.method != "GET"] == ["answer"]


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_without_calls_ends_the_server_at_once_with_0(number: signal.Signals) -> None:
    async with serving(exchange(), model()) as server:
        began = monotonic()
        await server.stop(number)
        assert await server.ended(5) == 0
        assert monotonic() - began < 3.0


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)])
async def test_a_second_signal_ends_every_call_now(numbers: tuple[signal.Signals, signal.Signals]) -> None:
    telnyx = exchange()
    async with serving(telnyx, _agent(), DRAIN_SECONDS=60) as server:
        calls = list(await asyncio.gather(_talking(telnyx), _talking(telnyx)))
        await server.stop(numbers[0])
        await server.says("draining")
        began = monotonic()
        await server.stop(numbers[1])
        for call in calls:
            await call.wait_ended(3)
            assert call.ended_by == "product", call.story()
        assert await server.ended(5) == 0
        assert monotonic() - began < 5.0
        assert [one.action for one in telnyx.commands].count("hangup") == 2


# Leaks


async def _short_calls(telnyx: Telnyx, count: int, at_once: int = 10) -> None:
    async def some(number: int) -> None:
        for _ in range(number):
            call = await telnyx.ring()
            await call.wait_streaming()
            await call.phone.hears(0.02)
            await call.hang_up()
            await call.wait_ended()

    await asyncio.gather(*(some(count // at_once) for _ in range(at_once)))


@pytest.mark.proof
async def test_200_calls_leave_no_descriptor_no_memory_and_no_call_behind() -> None:
    telnyx = exchange(Faults(webhook_drop=["streaming.started", "streaming.stopped"]))
    async with serving(telnyx, model(0.05), LOG_LEVEL="warning") as server:
        watched = psutil.Process(server.process.pid)

        async def settled() -> tuple[int, float, int]:
            await server.live(0)
            # The sandbox keeps its HTTP connections; the server's own to it are a pool of at most 50.
            return watched.num_fds(), watched.memory_info().rss / 2**20, watched.num_threads()

        await _short_calls(telnyx, 50)
        early = await settled()
        await _short_calls(telnyx, 150)
        late = await settled()
        assert late[0] <= early[0] + 15, f"descriptors: {early[0]} after 50 calls, {late[0]} after 200"
        assert late[1] <= early[1] + 15, f"memory: {early[1]:.0f} MiB after 50 calls, {late[1]:.0f} after 200"
        assert late[2] <= early[2] + 2, f"threads: {early[2]} after 50 calls, {late[2]} after 200"
        health = await server.health()
        assert (health["calls"], health["counts"]["calls"]) == (0, 200)
        assert health["counts"].get("refused", 0) == 0
        await server.stop()
        assert await server.ended() == 0


def _of_calls() -> dict[int, str]:
    """The objects of calls that are alive in this process, and where they are from."""
    gc.collect()
    alive = [one for one in gc.get_objects() if type(one).__name__ in ("Call", "Relay", "OpenAIRealtime")]
    modules = {id(one): type(one).__module__ for one in alive}
    return {
        one: module for one, module in modules.items() if module.startswith("callflow.") and "sandbox" not in module
    }


async def test_30_calls_leave_no_task_and_no_call_object_behind() -> None:
    # A test that failed before in this process keeps its own: its traceback is still to be told.
    others = set(_of_calls())
    async with stage(realtime=model(0.05)) as the:
        await _short_calls(the.telnyx, 10)
        await the.quiet()
        await the.until(lambda: all(one.closed for one in the.realtime.sessions), "the engines to close")
        before = list(tasks().values())
        await _short_calls(the.telnyx, 20)
        await the.quiet()
        await the.until(lambda: len(tasks()) <= len(before), f"no more tasks than {before}", 2)
        board = the.app.switchboard
        assert (board.calls, board._legs) == ([], {})
        await the.until(lambda: not board._drain._tasks | board._drain._after_call, "the drain to let go of them")

        # On a busy machine their last tasks may still be letting go of them. To look takes long, and they need the
        # loop meanwhile.
        async with asyncio.timeout(10):
            while left := set(_of_calls()) - others:  # noqa: ASYNC110 - garbage has no event
                await asyncio.sleep(0.1)
        assert not left


def test_the_descriptor_count_of_this_process_comes_back(tmp_path: os.PathLike[str]) -> None:
    async def main() -> None:
        async with stage() as the:
            call = await the.telnyx.ring()
            await over_soon(call)
            await the.quiet()

    async def over_soon(call: Call) -> None:
        await call.wait_streaming()
        await call.hang_up()
        await call.wait_ended()

    run(main())
    gc.collect()
    before = psutil.Process().num_fds()
    for _ in range(3):
        run(main())
    gc.collect()
    assert psutil.Process().num_fds() <= before, "a product that was closed has left descriptors open"

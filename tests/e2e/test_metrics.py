"""`/metrics` of a running server: what has happened to calls is what it tells, in a bounded number of series."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx import Faults
from callflow.telemetry.metrics import CAUSES, NAMED, PROCESS, RESULTS
from tests.e2e.product import Product, product
from tests.e2e.scenes import conversing, exchange, stage
from tests.e2e.several_nodes import cluster
from tests.e2e.talk import FAST, noise, saying, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
PARTS: Final = ("detection", "engine", "own", "carrier")
_FRAMES: Final = "callflow_frames_in_total"
Series = tuple[str, frozenset[tuple[str, str]]]


class Scrape:
    """Every series of one answer."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: dict[Series, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.values[sample.name, frozenset(sample.labels.items())] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series of that name with these labels, and maybe others."""
        found = [value for (one, has), value in self.values.items() if one == name and labels.items() <= has]
        assert found, f"there is no {name} {labels}"
        return sum(found)

    def since(self, earlier: Scrape, name: str, **labels: str) -> float:
        return self.value(name, **labels) - earlier.value(name, **labels)

    def names(self) -> set[Series]:
        """The series that are not about the process; those of several nodes without their names."""
        return {
            (name, frozenset(label for label in labels if label[0] != "node"))
            for name, labels in self.values
            if not name.startswith("process_")
        }


async def ask(the: Product, port: int | None = None, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20, verify=False) as client:
        return await client.get(f"http://127.0.0.1:{port or the.app.console_at[1]}/metrics", headers=headers)


async def scrape(the: Product) -> Scrape:
    answer = await ask(the)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Scrape(answer.text)


@pytest.mark.one_node("metrics and events are those of all nodes")
@pytest.mark.carrier("telnyx")
async def test_a_call_that_the_caller_ends_and_one_that_is_refused_are_told_apart() -> None:
    async with stage(max_concurrent_calls=1, telnyx=exchange(Faults(media_shuffle=3))) as the:
        before = await scrape(the)
        first = await the.telnyx.ring(from_number="+15550100001")
        await conversing(the, first)
        second = await the.telnyx.ring(from_number="+15550100077")
        await second.wait_ended()
        await the.until(lambda: len(the.happened("ended")) == 1, "the refused call's end on record")
        await the.until(lambda: the.call.relay.frames_in >= 10, "frames of the caller")

        during = await scrape(the)
        assert during.value("callflow_calls_live", state="streaming") == 1
        assert during.value("callflow_calls_live") == 1
        assert during.value("callflow_calls_capacity") == 1
        assert during.since(before, _FRAMES) >= 10, "a live call's frames are counted while it lives"
        assert during.since(before, "callflow_calls_ended_total") == 1
        assert during.since(before, "callflow_calls_ended_total", result="ours", cause="busy") == 1

        name = the.call.id
        await first.hang_up()
        await the.quiet()
        await the.until(lambda: the.happened("ended", name), "the end on record")
        after = await scrape(the)
        (ended,) = the.happened("ended", name)
        told = {
            "offered": after.since(before, "callflow_calls_offered_total"),
            "answered": after.since(before, "callflow_calls_answered_total"),
            "rejected": after.since(before, "callflow_calls_rejected_total"),
            "busy": after.since(before, "callflow_calls_rejected_total", reason="busy"),
            "ended": after.since(before, "callflow_calls_ended_total"),
            "success": after.since(before, "callflow_calls_ended_total", result="success", cause="normal_clearing"),
            "live": after.value("callflow_calls_live"),
            "frames": after.since(before, _FRAMES),
            "reordered": after.since(before, "callflow_frames_reordered_total"),
            "rings": after.since(before, "callflow_stage_seconds_count", stage="ring_to_answer"),
            "first words": after.since(before, "callflow_stage_seconds_count", stage="answer_to_first_word"),
            "overdue": after.value("callflow_calls_overdue"),
            "failed ends": after.since(before, "callflow_termination_failures_total"),
            "lost": after.value("callflow_journal_entries_total", outcome="lost"),
        }
        assert told == {
            "offered": 2, "answered": 1, "rejected": 1, "busy": 1, "ended": 2, "success": 1, "live": 0,
            "frames": ended["frames_in"], "reordered": ended["reordered_frames"], "rings": 1, "first words": 1,
            "overdue": 0, "failed ends": 0, "lost": 0,
        }  # fmt: skip
        assert ended["reordered_frames"] > 0, "the carrier has sent its frames in order"
        assert after.value("callflow_frames_out_total") == ended["bytes_out"] // 160
        assert after.value("callflow_breaker_state", vendor="engine", state="closed") == 1
        assert after.value("callflow_journal_entries_total", outcome="written") > 0
        assert after.value("callflow_loop_lag_seconds_count") > 0


async def test_an_interruption_and_its_answer_are_timed() -> None:
    greeting, answer = saying(noise(4000, 1)), saying(noise(400, 2))
    realtime = Realtime(script=Script.of(greeting, otherwise=answer), pace=Pace.instant())
    async with product(realtime=realtime, **{**FAST, "no_input_seconds": 0}) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        one.phone.say(tone(400))
        await the.until(lambda: the.happened("latency"), "the answer to be heard")
        found = await scrape(the)
        (interrupted,) = the.happened("interrupted")
        assert found.value("callflow_interruptions_total", kind="caller") == 1
        assert found.value("callflow_barge_in_stop_seconds_count") == 1
        unheard = sum(cut["received_ms"] - cut["heard_ms"] for cut in interrupted["cuts"])
        assert unheard > 1000
        assert found.value("callflow_truncation_seconds_sum") == pytest.approx(unheard / 1000)
        (wait,) = the.happened("latency")
        assert found.value("callflow_stage_seconds_sum", stage="last_word_to_heard") == wait["total_ms"] / 1000
        assert found.value("callflow_stage_seconds_count", stage="turn_to_reply") == 1
        parts = sum(found.value("callflow_stage_seconds_sum", stage=each) for each in PARTS)
        assert parts == pytest.approx(wait["total_ms"] / 1000, abs=0.005)
        name = the.call.id
        await one.call.hang_up()
        await the.quiet()
        await the.until(lambda: the.happened("ended", name), "the end on record")
        assert (await scrape(the)).value("callflow_calls_ended_total", result="success") == 1


@pytest.mark.proof
@pytest.mark.carrier("telnyx")
async def test_a_flood_of_odd_causes_adds_no_series_and_tells_nobody_anything() -> None:
    names = ("answer_seconds", "stream_seconds", "start_frame_seconds", "stream_grace_seconds", "engine_seconds")
    patient: dict[str, Any] = dict.fromkeys(names, 20.0)
    async with stage(**patient) as the:
        before = await scrape(the)
        calls = []
        for wave in range(6):
            new = [await the.telnyx.ring(from_number=f"+1555010{wave:02}{number:02}") for number in range(10)]
            await asyncio.gather(*(call.wait_streaming() for call in new))
            for number, call in enumerate(new):
                odd = f'odd"}} {wave} {number}\n{call.leg_id} {call.from_number}'
                await call.hang_up(cause=odd, source=f"source {wave} {number}")
            calls += new
        await the.until(lambda: len(the.happened("ended")) == len(calls), "all ends on record", 20)
        await the.quiet()
        after = await scrape(the)
        assert after.since(before, "callflow_calls_ended_total", cause="other") == len(calls)
        assert after.names() == before.names(), "what callers and carriers say makes no series"
        for name, labels in after.names():
            metric = NAMED[re.sub("_(bucket|sum|count)$", "", name)] if name not in NAMED else NAMED[name]
            assert {label for label, _ in labels} <= {"le", *metric.labels}
            assert all(value in metric.labels[label] for label, value in labels if label != "le")
        assert not any(call.leg_id in after.text or call.control_id in after.text for call in calls)
        assert "1555010" not in after.text
        assert "odd" not in after.text.replace("callflow_odd_media", "")
        assert len(before.names()) < 500
        assert {labels for name, labels in after.names() if name == "callflow_calls_ended_total"} <= {
            frozenset({("result", result), ("cause", cause)}) for result in RESULTS for cause in CAUSES
        }


@pytest.mark.carrier("telnyx")
async def test_only_operators_are_told() -> None:
    token = "a-token-of-24-characters"
    async with stage(console_token=token) as the:
        assert (await ask(the)).status_code == 401
        assert (await ask(the, Authorization=f"Bearer {token}x")).status_code == 401
        answer = await ask(the, Authorization=f"Bearer {token}")
        assert answer.status_code == 200
        names = {line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")}
        assert names - {*PROCESS} == {*NAMED}
        assert (await ask(the, Authorization=f"Bearer {token}", Origin="http://evil.example")).status_code == 403
        public = await ask(the, the.app.public_at[1], Authorization=f"Bearer {token}")
        assert public.status_code == 404
    async with stage() as the:
        assert (await ask(the, Host="evil.example")).status_code == 421


@pytest.mark.one_node("it begins one itself")
async def test_the_figures_of_the_only_node_of_a_cluster_have_its_name_too() -> None:
    """Without it the series of a cluster were others whenever only one of its nodes answered."""
    async with cluster() as the, httpx.AsyncClient(trust_env=False, verify=False) as client:
        node = await the.begin()
        text = (await client.get(f"http://127.0.0.1:{node.console_at[1]}/metrics")).text
    assert 'callflow_accepting{node="w1"} 1.0' in text
    assert "\ncallflow_accepting " not in text

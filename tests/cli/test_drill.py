"""The drill: as a process of its own over each carrier, and its verdicts."""

from __future__ import annotations

import json

import pytest

from callflow.cli.drill.drill import _is_well
from callflow.cli.drill.hearing import AGENT, PERSON, RINGS, Sound, longest_silence
from callflow.cli.drill.stage import Outcome, stage
from tests.e2e.process import SERVER, python
from tests.sample import sampled


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "carrier" in metafunc.fixturenames:  # 13 s of a core for each
        metafunc.parametrize("carrier", sampled(metafunc, ["telnyx", "twilio"]))


@pytest.mark.proof
@pytest.mark.process
async def test_no_caller_is_left_in_silence(carrier: str) -> None:
    async with python(SERVER, "drill", "--carrier", carrier, "--json", anew=True) as process:
        assert await process.ended(150) == 0, process.said()
        cases = json.loads("".join(process.out))
        assert [case["ok"] for case in cases] == [True] * 8, process.said()
        served = {(case["broken"], case["when"]): case["served_by"] for case in cases}
        assert served["the model", "before the call"] == served["the model", "during the call"] == PERSON
        assert served["the server, without a second one", "before the call"] == PERSON
        assert served["the database", "during the call"] == AGENT
        said = {sound["what"] for case in cases if case["broken"] == "the model" for sound in case["heard"]}
        assert any("One moment, please." in what for what in said)


@pytest.mark.process
async def test_a_carrier_that_was_told_nothing_leaves_the_caller_alone() -> None:
    async with stage("twilio") as the:
        await the.ring()
        outcome = await the.outcome(the.hears_person, 15)
        assert outcome.problem == "the call has ended"
        assert "An application error has occurred" in outcome.served
        assert not _is_well(outcome)


def test_silence_is_what_nobody_fills() -> None:
    sounds = [Sound(0.0, 1.0, RINGS), Sound(4.0, 6.0, AGENT), Sound(5.0, 5.5, PERSON)]
    assert longest_silence(sounds, 7.0) == 3.0
    assert longest_silence(sounds, 12.5) == 6.5
    assert longest_silence([], 8.0) == 8.0


def test_a_caller_who_waits_too_long_or_is_not_served_is_not_well() -> None:
    agent = [Sound(1.0, 2.0, AGENT)]
    assert _is_well(Outcome(agent, 1.0, AGENT))
    assert not _is_well(Outcome(agent, 12.1, AGENT))
    assert not _is_well(Outcome([], 0.0, ""))
    assert not _is_well(Outcome(agent, 1.0, AGENT, "the call has ended"))

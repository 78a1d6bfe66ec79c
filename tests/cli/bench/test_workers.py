"""`bench workers`: processes that are held to a share of a core, and what they carry."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from callflow.cli.bench import workers
from callflow.cli.terminal import Screen
from callflow.contracts.errors import BenchError
from tests.e2e.product import run


BURNS = "while True: pass"


@pytest.mark.process
def test_a_process_that_would_take_a_whole_core_gets_its_share_and_goes_on_when_it_is_let_go() -> None:
    with subprocess.Popen([sys.executable, "-c", BURNS]) as burning:
        clock = (~burning.pid << 3) | 2
        words = ("-m", "callflow.cli.bench.share", "0.2", str(burning.pid))
        try:
            with subprocess.Popen([sys.executable, *words]) as holder:
                time.sleep(0.5)
                began, used = time.monotonic(), time.clock_gettime(clock)
                time.sleep(1.5)
                share = (time.clock_gettime(clock) - used) / (time.monotonic() - began)
                holder.terminate()
            used, deadline = time.clock_gettime(clock), time.monotonic() + 5
            while time.clock_gettime(clock) - used < 0.05:
                assert time.monotonic() < deadline, "it was left stopped"
                time.sleep(0.01)
        finally:
            burning.kill()
    # Other tests run beside this one, so it may get less; more than a look too late and it has been let run.
    assert 0 < share < 0.26, share


@pytest.mark.proof
@pytest.mark.process
@pytest.mark.alone
@pytest.mark.timeout(400)
def test_two_workers_held_to_a_share_carry_more_calls_than_one_process_held_to_it(
    request: pytest.FixtureRequest,
) -> None:
    """A sample: with so small a share what a process does without calls weighs more, so the ratio is lower."""
    if not request.config.getoption("--long"):
        pytest.skip("it takes minutes, and runs with --long")
    try:
        figures = run(workers.measure(1.0, Screen(highlight=False), share=0.1, step=4, rounds=1))
    except BenchError as error:  # not within its share: no figure of the product's
        pytest.skip(str(error))
    assert figures["ratio"] > 1.2, figures

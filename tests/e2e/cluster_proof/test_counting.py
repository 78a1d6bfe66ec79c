"""What the proofs count as done twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from callflow.sandbox.telnyx import Telnyx
from tests.e2e.cluster_proof.counting import done_twice


def telnyx(*actions: str) -> Telnyx:
    """It has executed these commands of one call, in this order."""
    carrier = Telnyx(webhook_url="http://127.0.0.1:9/webhooks")
    commands = cast("list[Any]", carrier.commands)
    for number, action in enumerate(actions):
        body = {"command_id": str(number), "client_state": str(number)}
        commands.append(SimpleNamespace(action=action, status=200, duplicate=False, call_control_id="c1", body=body))
    return carrier


def test_each_process_that_takes_a_call_over_may_stop_the_stream_that_it_finds() -> None:
    taken_over = ("streaming_stop", "streaming_start")
    assert done_twice(telnyx("answer", *taken_over, *taken_over)) == {}


def test_one_stream_that_is_stopped_twice_is_counted() -> None:
    assert list(done_twice(telnyx("answer", "streaming_start", "streaming_stop", "streaming_stop")).values()) == [2]


def test_another_command_that_takes_effect_twice_is_counted() -> None:
    assert list(done_twice(telnyx("answer", "hangup", "hangup")).values()) == [2]

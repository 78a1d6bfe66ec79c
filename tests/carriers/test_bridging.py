"""Joining the caller with a person at Telnyx: what is stopped before, in which order, and what a refusal means."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, cast

import pytest

from callflow.contracts import commands
from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import HUMAN, LegIds
from carriers.common.http_client import Api
from carriers.telnyx.amd import listening
from carriers.telnyx.bridging import actions_of, join, without_stream


CALL = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"


class Telnyx:
    """Takes commands; `refuses`: by the last part of their path."""

    def __init__(self, **refuses: CarrierError) -> None:
        self.refuses = refuses
        self.got: list[tuple[str, dict[str, Any]]] = []

    async def post(self, path: str, body: dict[str, Any], *, retries: int | None = None) -> Any:
        self.got.append((path, body))
        if (error := self.refuses.get(path.rpartition("/")[2])) is not None:
            raise error

    @property
    def actions(self) -> list[str]:
        return [path.rpartition("/")[2] for path, _ in self.got]


def request(leg: str = "", other: str = "v3:person") -> CarrierRequest:
    command = commands.Join(leg=leg) if leg else commands.Join()
    return CarrierRequest(command, "id-1", CALL, LegIds("v3:caller/1"), LegIds(other))


def joined(telnyx: Telnyx, asked: CarrierRequest | None = None) -> Telnyx:
    asyncio.run(join(cast(Api, telnyx), asked or request()))
    return telnyx


def refusal(code: str = "", **more: Any) -> CarrierError:
    return CarrierError("no", code=code, **more)


def test_stream_and_briefing_are_stopped_before_both_are_bridged() -> None:
    telnyx = joined(Telnyx())
    assert [path for path, _ in telnyx.got] == [
        "/calls/v3%3Acaller%2F1/actions/streaming_stop", "/calls/v3%3Aperson/actions/playback_stop",
        "/calls/v3%3Acaller%2F1/actions/bridge",
    ]  # fmt: skip
    bridge = telnyx.got[-1][1]
    assert (bridge["command_id"], bridge["call_control_id"]) == ("id-1", "v3:person")
    assert bridge["park_after_unbridge"] == "self"
    told = [base64.b64decode(body["client_state"]).decode() for _, body in telnyx.got]
    assert told == [CALL, f"{CALL}:{HUMAN}", CALL]
    assert len({body["command_id"] for _, body in telnyx.got}) == 2, "that of the bridge is its own"
    assert [body["command_id"] for _, body in joined(Telnyx()).got] == [body["command_id"] for _, body in telnyx.got]


def test_one_request_bridges_both_legs() -> None:
    assert joined(Telnyx(), request(HUMAN)).got == []


def test_without_the_persons_leg_nothing_is_stopped() -> None:
    telnyx = Telnyx()
    with pytest.raises(CarrierError, match="person's call_control_id"):
        joined(telnyx, request(other=""))
    assert telnyx.got == []


def test_what_is_over_already_is_no_reason_not_to_join() -> None:
    telnyx = joined(Telnyx(streaming_stop=refusal("90048"), playback_stop=refusal("90018", gone=True)))
    assert telnyx.actions == ["streaming_stop", "playback_stop", "bridge"]


def test_only_stopping_the_stream_can_tell_that_the_caller_is_gone() -> None:
    for action, gone in (("streaming_stop", True), ("bridge", False)):
        with pytest.raises(CarrierError) as refused:
            joined(Telnyx(**{action: refusal("90018", gone=True)}))
        assert refused.value.gone is gone, action


def test_a_stream_that_is_still_counted_is_stopped_and_the_command_sent_anew() -> None:
    telnyx = Telnyx(streaming_stop=refusal("90048"))
    body = {"command_id": "id-1", "client_state": "s", "payload": "Hello."}
    asyncio.run(without_stream(cast(Api, telnyx), actions_of("c"), "speak", body))
    assert telnyx.actions == ["streaming_stop", "speak"]
    stop, again = (sent for _, sent in telnyx.got)
    assert (again["payload"], again["client_state"], set(stop)) == ("Hello.", "s", {"command_id", "client_state"})
    assert len({"id-1", stop["command_id"], again["command_id"]}) == 3, "Telnyx ignores one that it has seen"
    with pytest.raises(CarrierError):
        asyncio.run(without_stream(cast(Api, Telnyx(streaming_stop=refusal("1"))), "/x", "speak", body))


@pytest.mark.parametrize(
    ("way", "machines", "asked"),
    [("premium", "hang_up", "premium"), ("premium", "message", "premium"), ("standard", "hang_up", "detect"),
     ("standard", "message", "detect_beep")],
)  # fmt: skip
def test_machines_are_listened_for_as_the_call_needs_it(way: Any, machines: Any, asked: str) -> None:
    assert listening(way, machines) == asked

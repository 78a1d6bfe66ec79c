"""The route that dials: what it reads of a request, and what it answers for what became of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.contracts.errors import CarrierError, DialRefused, SessionRefused
from callflow.switchboard.dialer import Dialled, DialRequest
from callflow.web.console.dial import add_dial
from callflow.web.console.identity import Operator
from tests.web.asgi import Answer
from tests.web.console.bare import bare_app, request


TO = "+15550100001"
DIALLED = Dialled("call_1", "fake", "CA1", "queued", is_new=True)


class FakeDialer:
    """Dials nothing, and says that this became of it."""

    def __init__(self, outcome: Dialled | Exception) -> None:
        self.outcome = outcome
        self.asked: list[DialRequest] = []

    async def dial(self, asked: DialRequest) -> Dialled:
        self.asked.append(asked)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def dial(
    body: Any, outcome: Dialled | Exception = DIALLED, *, refuses: str = "", **headers: str
) -> tuple[Answer, list[DialRequest]]:
    """Ask. `refuses`: why the session of the body cannot be. Returns what the dialler was asked, too."""
    dialer, app = FakeDialer(outcome), bare_app()

    def checked(session: Any) -> tuple[dict[str, Any], list[str]]:
        if refuses:
            raise SessionRefused([refuses])
        return dict(session), []

    add_dial(app, lambda: cast(Any, dialer), checked, has_token=True, client_keys=False)
    return await request(app, "POST", "/api/calls", body, by=Operator("desk"), **headers), dialer.asked


async def test_a_request_is_read_and_its_call_told() -> None:
    body = {
        "to": TO, "from": "+15550100002", "profile": "sales", "greeting": "Hi.", "machineDetection": True,
        "variables": {"name": "Ann"}, "record": True,
    }  # fmt: skip
    answer, (asked,) = await dial(body, Idempotency_Key="k1")
    assert answer.status == 201
    assert answer.json() == {
        "id": "call_1", "callSid": "CA1", "carrier": "fake", "url": "/api/calls/call_1", "state": "queued", "new": True,
    }  # fmt: skip
    assert (asked.to_number, asked.from_number, asked.profile) == (TO, "+15550100002", "sales")
    assert (asked.key, asked.by, asked.record) == ("k1", "token desk", True)
    assert asked.session == {"greeting": "Hi.", "machine_detection": True}
    assert asked.variables == {"name": "Ann"}


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Dialled("call_1", "fake", "", "queued", is_new=True), 202),
        (Dialled("call_1", "fake", "CA1", "ringing", is_new=False), 200),
    ],
    ids=["the carrier has not named it yet", "the same request again"],
)
async def test_the_status_says_what_became_of_the_request(outcome: Dialled, status: int) -> None:
    answer, _ = await dial({"toNumber": TO}, outcome)
    assert (answer.status, answer.json()["callSid"]) == (status, outcome.carrier_id or "call_1")


async def test_variables_that_are_nowhere_are_told() -> None:
    answer, _ = await dial({"toNumber": TO}, Dialled("c", "fake", "CA1", "queued", is_new=True, left_out=("city",)))
    assert answer.json()["warnings"] == ["{{city}} is left out: there is no such variable"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "toNumber is missing"),
        ({"toNumber": 7}, "toNumber must be a text"),
        ({"toNumber": TO, "to": TO}, "give it once"),
        ({"toNumber": TO, "record": "yes"}, "record must be true or false"),
        ({"toNumber": TO, "tonumber": TO}, "tonumber"),
        ({"toNumber": TO, "variables": [1]}, "ariables"),
    ],
)
async def test_a_body_that_makes_no_sense_dials_nothing(body: Any, said: str) -> None:
    answer, asked = await dial(body)
    assert (answer.status, asked) == (400, [])
    assert said in answer.body.decode()


async def test_a_session_that_cannot_be_dials_nothing() -> None:
    answer, asked = await dial({"toNumber": TO, "greeting": "Hi."}, refuses="voice is unknown.")
    assert (answer.status, asked, answer.json()["error"]) == (400, [], "voice is unknown.")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (DialRefused(429, "There is no room.", wait=7), 429, "There is no room."),
        (CarrierError("no such number", status=422), 422, "no such number"),
        (CarrierError("wrong key", status=401), 502, "wrong key"),
        (CarrierError("no answer"), 502, "no answer"),
    ],
    ids=["refused here", "refused by the carrier", "our keys are wrong, not those of who asks", "no answer came"],
)
async def test_why_nothing_was_dialled_is_told(error: Exception, status: int, said: str) -> None:
    answer, _ = await dial({"toNumber": TO}, error)
    assert answer.status == status
    assert said in answer.json()["error"]
    assert answer.headers.get("retry-after", "") == ("7" if isinstance(error, DialRefused) else "")


async def test_a_check_says_why_not_and_dials_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = bare_app()
    found = SimpleNamespace(
        why="Not at this hour.", carrier="fake", from_number="", config=SimpleNamespace(left_out=())
    )

    async def preview(asked: DialRequest) -> Any:
        return found

    dialer = cast(Any, SimpleNamespace(preview=preview))
    monkeypatch.setattr("callflow.web.console.dial.SettingService.of_call", lambda config: {"usd_per_minute": None})
    add_dial(app, lambda: dialer, lambda body: ({}, []), has_token=True, client_keys=False)
    answer = await request(app, "POST", "/api/calls/check", {"toNumber": TO})
    assert (answer.status, answer.json()["may"], answer.json()["why"]) == (200, False, "Not at this hour.")

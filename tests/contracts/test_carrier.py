"""What passes between a call and its carrier shows no secret; and each thing that a carrier can is asked for."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from callflow.contracts import commands as do
from callflow.contracts.carrier import (
    ActiveCall,
    Carrier,
    CarrierAccount,
    CarrierCan,
    CarrierRequest,
    Request,
    TakesAccounts,
    WebhookReply,
    WebhookRoute,
)
from callflow.contracts.events import CALLER, LegIds
from carriers.openai_sip.carrier import OpenAISip
from carriers.telnyx.carrier import Telnyx
from carriers.twilio.carrier import Twilio


CARRIERS: list[Any] = [Telnyx, Twilio, OpenAISip]
CAN = set(get_args(CarrierCan))
SECRET = "hunter2-hunter2"
ROOT = Path(__file__).parents[2]


def request(**changes: Any) -> CarrierRequest:
    return CarrierRequest(do.Answer(), "id", "call", LegIds("control", "leg"), **changes)


@pytest.mark.parametrize("name", ["text", "stream_url", "stream_secret", "offer"])
def test_what_a_command_carries_that_is_secret_or_said_is_not_shown(name: str) -> None:
    assert SECRET not in repr(request(**{name: SECRET}))


def test_a_token_is_not_shown() -> None:
    shown = repr(CarrierAccount("AC1", SECRET))
    assert ("AC1" in shown, SECRET in shown) == (True, False)


def test_a_command_is_the_same_whatever_session_it_offers_and_another_with_another_id() -> None:
    offers: list[Any] = [object(), object()]
    assert request(offer=offers[0]) == request(offer=offers[1]) == request()
    assert dataclasses.replace(request(), id="other") != request()
    assert request().other == LegIds()


@pytest.mark.parametrize(
    "made",
    [Request("POST", "/", {}, b""), request(), ActiveCall(LegIds("c")), WebhookReply(b""), CarrierAccount("a", "b")],
    ids=lambda made: type(made).__name__,
)
def test_nothing_of_it_can_be_changed_afterwards(made: Any) -> None:
    for field in dataclasses.fields(made):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, None)


def test_a_webhook_without_commands_is_answered_in_json_and_is_small() -> None:
    assert WebhookReply(b"{}") == WebhookReply(b"{}", "application/json", 200, ())
    assert WebhookRoute("/x") == ("/x", ("POST",), "", 65536, 403)
    assert ActiveCall(LegIds("c")).leg == CALLER


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.__name__)
def test_a_carrier_has_all_that_is_asked_of_one_and_can_only_what_has_a_name(carrier: Any) -> None:
    asked = {name for name in vars(Carrier) if not name.startswith("_")}
    given = set(dir(carrier)) | set(vars(carrier).get("__annotations__", {}))
    made_later = {"name", "routes", "from_number", "numbers", "failover", "preamble_seconds"}
    assert asked - given <= made_later
    assert carrier.can <= CAN
    assert ("tells_price" in carrier.can) == hasattr(carrier, "call_costs")
    assert hasattr(carrier, "use_account") == (carrier is Twilio)
    assert issubclass(Twilio, TakesAccounts)


def test_each_ability_is_one_of_a_carrier_and_is_asked_for() -> None:
    assert set().union(*(carrier.can for carrier in CARRIERS)) == CAN
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "callflow").glob("**/*.py")]
    code = "\n".join(text for text in sources if "CarrierCan = Literal" not in text)
    assert [each for each in sorted(CAN) if not re.search(f'"{each}"', code)] == []

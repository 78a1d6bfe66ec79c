"""What a transfer to a SIP address says of who calls."""

from __future__ import annotations

import pytest

from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.commands import LeadToSip
from callflow.contracts.events import CALLER, CallInitiated, LegIds, WebhookEvent
from carriers.telnyx.ids import call_of, caller_of
from carriers.telnyx.sip import led_to, sender


CALL = "5f0c0d5e-8f0b-5c4e-9a57-2f3f8a1d7c61"
IDS = LegIds("v3:control", "leg", "session")


def state_of(address: str, called: str = "+4930123457") -> object:
    request = CarrierRequest(LeadToSip(address=address), "id", CALL, IDS, from_number="+4930123456", to_number=called)
    return led_to("sip:p@example.org", 20, request)["target_leg_client_state"]


def test_who_is_led_away_is_known_to_any_process_by_the_state_of_the_leg_that_rings() -> None:
    state = state_of("sip:p@example.org")
    assert call_of(state) == (CALL, "sip")
    arrival = CallInitiated(direction="incoming", from_number="+4930123456", to_number="+4930123457")
    assert caller_of(state, "telnyx") == WebhookEvent("telnyx", "", IDS, arrival)


@pytest.mark.parametrize("state", [None, "x", "", state_of(""), state_of("sip:p@example.org", "9" * 2000)])
def test_a_state_that_names_nobody_names_nobody(state: object) -> None:
    """A call that was dialled is a call here; a state beyond all bounds is not sent."""
    assert caller_of(state, "telnyx") is None
    assert call_of(state)[1] in (CALLER, "sip")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("+4930123456", {"from": "+4930123456"}),
        ("sip:mia@pbx.example", {"from": "sip:mia@pbx.example"}),
        ("anonymous", {}),
        ("", {}),
        ("0301234", {}),
        ("+49 30 1", {}),
    ],
)
def test_only_a_number_is_told(number: str, told: dict[str, str]) -> None:
    """What is none is refused, and the caller would not reach the address."""
    assert sender(number) == told

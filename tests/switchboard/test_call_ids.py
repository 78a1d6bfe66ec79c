"""Our id of a call follows from the carrier's, so that whoever computes it again finds the same call."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.event import LegIds
from callflow.switchboard.call_ids import call_id


def test_an_id_is_the_same_in_every_process_and_every_version() -> None:
    """Journals of before have it: another one would be another call."""
    assert call_id("telnyx", LegIds("v3:abc", "")) == "81324573-b73f-5fc6-953c-b4e821589f79"
    assert call_id("twilio", LegIds("CA1", "")) == "140e4f4a-a070-5f3f-a81d-329590aedf8b"


def test_the_id_of_a_leg_is_stronger_than_that_which_commands_are_sent_to() -> None:
    assert call_id("telnyx", LegIds("control-1", "leg")) == call_id("telnyx", LegIds("control-2", "leg", "s"))
    assert call_id("telnyx", LegIds("control-1", "")) != call_id("telnyx", LegIds("control-2", ""))


@given(st.text(st.sampled_from("ab:/é"), max_size=5), st.text(st.sampled_from("ab:/é"), max_size=5))
def test_two_legs_of_a_carrier_are_two_calls_and_every_id_is_a_uuid(one: str, other: str) -> None:
    made = [call_id("telnyx", LegIds(each, "")) for each in (one, other)]
    assert (made[0] == made[1]) == (one == other)
    assert [str(uuid.UUID(each)) for each in made] == made
    assert made[0] != call_id("twilio", LegIds(one, ""))

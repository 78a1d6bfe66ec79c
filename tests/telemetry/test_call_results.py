"""Every cause belongs to one side, and what carriers send beside them has one name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.hangup_causes import KNOWN
from callflow.switchboard.admission import Admission
from callflow.telemetry.call_results import known_cause, result_of
from callflow.telemetry.metrics import CAUSES, COMMAND_FAILED, OTHER, RESULTS


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_a_result(cause: str) -> None:
    assert {result_of(cause, heard_agent=heard) for heard in (True, False)} <= set(RESULTS)


@pytest.mark.parametrize(
    ("cause", "heard", "result"),
    [
        ("normal_clearing", True, "success"), ("normal_clearing", False, "caller"), ("completed", True, "success"),
        ("already_ended", True, "success"), ("agent", False, "success"), ("too_long", True, "success"),
        ("originator_cancel", True, "caller"), ("canceled", False, "caller"), ("caller_busy", False, "caller"),
        ("user_busy", False, "caller"), ("call_rejected", False, "caller"), ("carrier_limit", False, "carrier"),
        ("stream_lost", True, "carrier"), ("stream_failed", False, "carrier"), ("other", True, "carrier"),
        ("command_failed", False, "carrier"), ("engine_lost", True, "engine"), ("engine_timeout", False, "engine"),
        ("busy", False, "ours"), ("our_fault", True, "ours"), ("interrupted", True, "ours"),
    ],
)  # fmt: skip
def test_a_call_ends_through_one_side(cause: str, heard: bool, result: str) -> None:
    assert result_of(cause, heard_agent=heard) == result


def test_failed_commands_share_one_cause_and_a_failed_stream_has_its_own() -> None:
    assert {known_cause(f"{name}_failed") for name in ("answer", "reject", "hangup", "speak")} == {COMMAND_FAILED}
    assert known_cause("stream_failed") == "stream_failed"
    assert known_cause("+15550100001_failed") == OTHER
    assert known_cause("") == OTHER


@given(st.text() | st.sampled_from(sorted(KNOWN)))
def test_whatever_a_carrier_says_is_one_of_the_known_causes(cause: str) -> None:
    assert known_cause(cause) in CAUSES
    assert (known_cause(cause) == cause) == (cause in KNOWN or cause == OTHER)


def test_admission_is_what_refuses() -> None:
    """The reasons of refusals are words of `Admission` and of `CallerLimits`: they must have values of their own."""
    import inspect

    from callflow.switchboard import caller_limits
    from callflow.switchboard.budget import budget
    from callflow.telemetry.metrics import REFUSALS

    text = inspect.getsource(Admission) + inspect.getsource(caller_limits) + inspect.getsource(budget)
    assert [name for name in REFUSALS if name != OTHER and f'"{name}"' not in text] == []

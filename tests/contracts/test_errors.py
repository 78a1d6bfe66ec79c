"""Our exceptions: each says whose fault it is, and keeps what it was made with."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from callflow.contracts import errors
from callflow.contracts.errors import (
    AccessRefused,
    BadRequest,
    CallflowError,
    CarrierError,
    DialRefused,
    HandshakeError,
    NumberRefused,
    SessionRefused,
    SettingsError,
)


ALL = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, CallflowError) and kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_says_whose_fault_it_is(kind: type[CallflowError]) -> None:
    assert kind.whose
    assert kind.__doc__
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "") or kind is CallflowError, "the tree is not whole"


def test_the_first_of_several_reasons_is_the_message_and_none_is_lost() -> None:
    bad, dial = BadRequest(400, "No number.", "No profile."), DialRefused(409, "Busy.", "Late.", wait=7)
    assert (str(bad), bad.status, bad.problems) == ("No number.", 400, ("No number.", "No profile."))
    assert (str(dial), dial.reasons, dial.wait) == ("Busy.", ("Busy.", "Late."), 7)
    assert str(NumberRefused(409, "One.", "Two.")) == "One. Two."
    assert str(SessionRefused(["a", "b"])) == "a\nb"
    settings = SettingsError(["a", "b"])
    assert (str(settings), settings.problems, settings.warnings) == ("a\nb", ["a", "b"], [])


def test_what_the_log_says_may_be_something_else_than_what_the_sender_is_told() -> None:
    refused = AccessRefused(403, "You may not.", {"a": "b"}, logged="ada may not")
    assert (str(refused), refused.sentence, refused.headers) == ("ada may not", "You may not.", {"a": "b"})
    plain = AccessRefused(403, "You may not.")
    assert (str(plain), plain.headers) == ("You may not.", {})


def test_a_command_that_failed_for_no_known_reason_may_not_be_sent_again() -> None:
    error = CarrierError("no")
    assert (error.status, error.gone, error.retry, error.unknown, error.wait, error.refuses) == (
        0, False, False, False, 0.0, "",
    )  # fmt: skip


def test_a_refused_connection_says_what_it_means_for_the_account_and_whether_to_try_again() -> None:
    error = HandshakeError("HTTP 429: slow down", "HTTP 429", counts="one", retry=True, wait=3.0, status=429)
    assert (error.counts, error.why, error.status, error.retry, error.wait) == ("one", "HTTP 429", 429, True, 3.0)


def test_a_command_error_can_be_shown_without_what_the_carrier_has_quoted() -> None:
    assert "secret" not in repr(CarrierError("refused", said="secret"))
    assert "secret" not in str(pickle.dumps(str(CarrierError("refused", said="secret"))))

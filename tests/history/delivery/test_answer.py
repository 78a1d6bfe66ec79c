"""Which answers of a receiver are worth another try."""

from __future__ import annotations

import pytest

from callflow.history.delivery.answer import judged


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_success(status: int) -> None:
    assert judged(status) == ("delivered", "", 0.0)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 408, 409, 425, 429, 500, 502, 503, 504])
def test_what_may_be_about_the_receiver_is_tried_again(status: int) -> None:
    assert judged(status).verdict == "again"
    assert judged(status).error.startswith(f"HTTP {status}")


@pytest.mark.parametrize("status", [400, 405, 410, 411, 413, 415, 422])
def test_what_is_about_the_event_is_not(status: int) -> None:
    assert judged(status).verdict == "refused"


@pytest.mark.parametrize(
    ("asked", "wait"),
    [("", 0), ("7", 7), ("86400", 3600), ("-5", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("9" * 99, 0)],
)
def test_a_receiver_may_ask_for_a_pause_of_an_hour_at_most(asked: str, wait: float) -> None:
    assert judged(503, asked).wait == wait

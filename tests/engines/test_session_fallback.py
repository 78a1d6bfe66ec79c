"""A session that is refused is asked for with less, each time less than before, and never for ever."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.contracts.engine import SessionContext
from callflow.engines.common.account import Account
from callflow.engines.openai_realtime import session_fallback
from callflow.engines.openai_realtime.session_config import minimal_session, session
from callflow.engines.openai_realtime.session_fallback import MOST_TRIES, AcceptOffer, SessionFallback
from tests.configs import realtime_config
from tests.in_loop import in_loop


HANG_UP = {"type": "function", "name": "hang_up", "description": "End it.", "parameters": {"type": "object"}}
SHOP = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example", "require_approval": "never"}
CONFIG = realtime_config(
    model="gpt-realtime-2.1", transcription_model="gpt-transcribe", noise_reduction="near_field",
    reasoning_effort="low", tracing="auto", truncation=0.8, speed=1.2,
)  # fmt: skip


def context(*tools: dict[str, Any]) -> SessionContext:
    return SessionContext("call", tools=tools)


@in_loop
async def test_at_first_everything_is_asked_for() -> None:
    assert SessionFallback(Account()).first(CONFIG, context(HANG_UP, SHOP)) == session(CONFIG, context(HANG_UP, SHOP))


@in_loop
async def test_a_field_that_is_named_is_left_out_and_the_rest_stays() -> None:
    fallback, whole = SessionFallback(Account()), session(CONFIG, context(HANG_UP))
    fallback.first(CONFIG, context(HANG_UP))
    less = fallback.reduced(CONFIG, context(HANG_UP), "Unknown parameter.", "session.tracing")
    assert less is not None
    assert (less.stage, less.number, less.left_out) == ("full", 1, "session.tracing")
    assert less.session == {name: value for name, value in whole.items() if name != "tracing"}
    assert fallback.session == less.session
    more = fallback.reduced(CONFIG, context(HANG_UP), "Unknown parameter.", "session.reasoning")
    assert more is not None
    assert (more.number, set(whole) - set(more.session)) == (2, {"tracing", "reasoning"})


@pytest.mark.parametrize(("tools", "stages"), [((HANG_UP, SHOP), ["minimal", "bare"]), ((HANG_UP,), ["minimal"])])
@in_loop
async def test_without_a_name_it_goes_down_to_what_a_call_cannot_do_without(
    tools: tuple[dict[str, Any], ...], stages: list[str]
) -> None:
    fallback = SessionFallback(Account())
    fallback.first(CONFIG, context(*tools))
    found = []
    while (less := fallback.reduced(CONFIG, context(*tools), "No.", None)) is not None:
        assert (less.number, less.left_out) == (0, "")
        found.append(less)
    assert [less.stage for less in found] == stages
    assert found[0].session == minimal_session(CONFIG, context(*tools))
    assert found[-1].session["tools"] == [HANG_UP] if len(found) > 1 else True
    assert fallback.reduced(CONFIG, context(*tools), "No.", None) is None


@in_loop
async def test_a_field_that_is_named_again_though_it_was_left_out_is_no_way_down() -> None:
    fallback = SessionFallback(Account())
    fallback.first(CONFIG, context(HANG_UP))
    fallback.reduced(CONFIG, context(HANG_UP), "No.", "session.tracing")
    less = fallback.reduced(CONFIG, context(HANG_UP), "No.", "session.tracing")
    assert less is not None
    assert (less.stage, less.left_out) == ("minimal", "")


@in_loop
async def test_however_the_server_refuses_it_is_given_up_after_a_few_times() -> None:
    whole = session(CONFIG, context(HANG_UP, SHOP))
    names = [f"session.{name}" for name in whole] * 5
    fallback, asked = SessionFallback(Account()), []
    fallback.first(CONFIG, context(HANG_UP, SHOP))
    for name in names:
        less = fallback.reduced(CONFIG, context(HANG_UP, SHOP), "No.", name)
        if less is None:
            break
        asked.append(less)
    else:
        pytest.fail("it asks for ever")
    assert len(asked) <= MOST_TRIES + 2
    sessions = [less.session for less in asked]
    assert all(one not in sessions[:at] for at, one in enumerate(sessions)), "each asks for something else"


@in_loop
async def test_after_some_refusals_no_more_single_fields_are_left_out() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_fallback, "MOST_TRIES", 2)
        fallback = SessionFallback(Account())
        fallback.first(CONFIG, context(HANG_UP))
        found = [
            fallback.reduced(CONFIG, context(HANG_UP), "No.", f"session.{name}") for name in ("tracing", "reasoning")
        ]
    assert [less.stage for less in found if less is not None] == ["full", "minimal"]


@pytest.mark.parametrize(
    "param", [None, "", 5, [], {"a": 1}, "session", "session.", "x" * 10_000, "session.no.such[9]"]
)
@in_loop
async def test_an_odd_name_names_nothing(param: Any) -> None:
    fallback = SessionFallback(Account())
    fallback.first(CONFIG, context(HANG_UP))
    less = fallback.reduced(CONFIG, context(HANG_UP), "No.", param)
    assert less is not None
    assert less.session != session(CONFIG, context(HANG_UP))


@in_loop
async def test_what_was_left_out_of_a_session_that_was_taken_is_not_asked_for_again_and_only_there() -> None:
    account = Account()
    fallback = SessionFallback(account)
    fallback.first(CONFIG, context(HANG_UP))
    fallback.reduced(CONFIG, context(HANG_UP), "No.", "session.tracing")
    assert "tracing" in SessionFallback(account).first(CONFIG, context(HANG_UP)), "it is not known to be enough"
    fallback.taken()
    assert "tracing" not in SessionFallback(account).first(CONFIG, context(HANG_UP))
    other = realtime_config(model="gpt-realtime-mini", tracing="auto")
    assert "tracing" in SessionFallback(account).first(other, context(HANG_UP)), "another model may take it"
    assert "tracing" in SessionFallback(Account()).first(CONFIG, context(HANG_UP))


@in_loop
async def test_an_offer_names_its_model_at_each_step_and_warns_of_what_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    offer = AcceptOffer(CONFIG, context(HANG_UP), Account())
    assert offer.first() == {**session(CONFIG, context(HANG_UP)), "model": CONFIG.model}
    less = offer.reduced("No.", "session.tracing")
    assert less is not None
    assert (less["model"], "tracing" in less) == (CONFIG.model, False)
    assert "tracing" in caplog.text
    while less is not None:
        assert less["model"] == CONFIG.model
        less = offer.reduced("No.", "")


@in_loop
async def test_an_offer_of_a_vendor_that_refuses_all_is_not_made() -> None:
    account = Account()
    offer = AcceptOffer(CONFIG, context(), account)
    assert offer.vendor_refuses == ""
    for _ in range(50):
        offer.failed(401, 0.0)
    assert account.is_open
    assert offer.vendor_refuses
    await account.close()

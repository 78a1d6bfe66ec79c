"""Which calls of the history a request is about: what its parameters say, and how odd ones are refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.contracts.errors import BadQuery
from callflow.contracts.events import CallHangup
from callflow.history.query import MOST, Ending, Query
from callflow.telemetry.call_results import KNOWN_CAUSES, ORDINARY
from callflow.telemetry.metrics import RESULTS
from callflow.web.console.history_query import MOST_ROW, PAGE, TEXTS, read_query
from callflow.web.console.identity import ASKING, Operator
from carriers.telnyx.webhooks import READERS
from carriers.twilio.webhooks import STATUS, read_event
from tests.web.console.bare import bare_app


APP = bare_app()


def read(query: str, *, business: str = "", **fixed: Any) -> Query:
    async def main() -> Query:
        ASKING.set(Operator("x", business))
        async with APP.test_request_context(f"/x?{query}"):
            return read_query(100, **fixed)

    return asyncio.run(main())


def refusal(query: str) -> str:
    with pytest.raises(BadQuery) as refused:
        read(query)
    return str(refused.value)


def test_without_parameters_all_calls_are_meant() -> None:
    assert read("") == read("number=&live=&limit=&result=%20") == Query()


@pytest.mark.parametrize(("field", "name"), [(field, name) for field, names in TEXTS.items() for name in names])
def test_each_text_has_its_parameters(field: str, name: str) -> None:
    assert read(f"{name}=%20a%20b%20") == replace(Query(), **{field: "a b"})  # type: ignore[arg-type]
    assert "must be given once" in refusal(f"{name}=a&{TEXTS[field][0]}=b")


def test_every_parameter_of_a_text_is_one_of_a_page() -> None:
    assert len(PAGE) == len(set(PAGE))
    assert {name for names in TEXTS.values() for name in names} < set(PAGE)


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("live=TRUE", "live", True), ("live=false", "live", False), ("direction=Outbound", "direction", "outbound"),
        ("limit=1", "limit", 1), (f"limit={MOST}", "limit", MOST), ("limit=007", "limit", 7),
        ("before=0", "before", 0), (f"before={MOST_ROW}", "before", MOST_ROW), ("offset=3", "offset", 3),
    ],
)  # fmt: skip
def test_words_and_whole_numbers(query: str, field: str, value: object) -> None:
    assert getattr(read(query), field) == value


@pytest.mark.parametrize(
    "query",
    [
        "live=1", "live=yes", "direction=both", "limit=0", f"limit={MOST + 1}", "limit=-1", "limit=1.0", "limit=1e2",
        "limit=%2B1", "limit=1_0", "limit=\u0661", "limit=" + "9" * 5000, f"before={MOST_ROW + 1}", "offset=-0",
        "result=nothing", "result=no-answer", "result=_failed", "result=" + "a" * 99 + "_failed", "result=a%00_failed",
        "result=No_answer", "result=x'--_failed", "limit=1&limit=1",
    ],
)  # fmt: skip
def test_what_is_neither_is_refused_in_a_short_sentence(query: str) -> None:
    assert len(refusal(quote(query, safe="=&%_-'.", encoding="utf-8"))) < 250


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_means_the_causes_that_are_counted_under_it(result: str) -> None:
    """Each known cause that is not ordinary belongs to one result alone."""
    found = read(f"result={result}").ending
    assert found is not None
    meant = {cause for cause in KNOWN_CAUSES if (cause in found.causes) != found.but}
    assert not meant & ORDINARY, "of these it matters who heard whom"
    others = [read(f"result={each}").ending for each in RESULTS if each != result]
    for other in others:
        assert other is not None
        assert not meant & {cause for cause in KNOWN_CAUSES if (cause in other.causes) != other.but}
    assert (set(found.ordinary) == ORDINARY) == (result in ("success", "caller"))
    assert found.heard == (result == "success")


def test_a_cause_means_itself_also_one_of_a_command_that_nobody_knows() -> None:
    assert read("result=no_input").ending == Ending(("no_input",))
    assert read("result=frobnicate_failed").ending == Ending(("frobnicate_failed",))
    assert read("result=carrier").ending != read("result=dial_failed").ending


@pytest.mark.parametrize(
    ("word", "twilio", "telnyx"),
    [
        ("busy", "busy", {"hangup_cause": "user_busy"}),
        ("no_answer", "no-answer", {"hangup_cause": "timeout"}),
        ("no_answer", "no-answer", {"hangup_cause": "no_answer"}),
        ("timeout", "no-answer", {"hangup_cause": "timeout"}),
        ("canceled", "canceled", {"hangup_cause": "originator_cancel"}),
        ("originator_cancel", "canceled", {"hangup_cause": "originator_cancel"}),
        ("completed", "completed", {"hangup_cause": "normal_clearing"}),
        ("normal_clearing", "completed", {"hangup_cause": "normal_clearing"}),
        ("failed", "failed", {"hangup_cause": "not_found"}),
        ("failed", "failed", {"hangup_cause": "call_rejected", "sip_hangup_cause": "403"}),
    ],
)
def test_a_cause_means_what_each_carrier_says_for_it(word: str, twilio: str, telnyx: dict[str, str]) -> None:
    ending = read(f"result={word}").ending
    assert ending is not None
    hung_up, _ = read_event(STATUS, {"CallStatus": twilio})
    for event in (hung_up, READERS["call.hangup"](telnyx)):
        assert isinstance(event, CallHangup)
        assert event.cause in ending.causes


def test_a_rejected_call_is_found_by_the_word_of_any_carrier() -> None:
    assert read("result=rejected").ending == read("result=call_rejected").ending


def test_what_the_path_says_and_whose_token_it_is_cannot_be_changed_by_the_query() -> None:
    assert read("called=a", called="b").called == "b"
    assert read("business=bakery", business="taxis").business == "taxis"


@settings(max_examples=15)
@given(st.dictionaries(st.sampled_from(PAGE), st.text(st.characters(codec="utf-8"), max_size=12), max_size=4))
def test_whatever_is_asked_is_a_query_or_a_bad_one(asked: dict[str, str]) -> None:
    try:
        found = read(urlencode(asked))
    except BadQuery as refused:
        assert len(str(refused)) < 300  # noqa: PT017 - either is right
    else:
        assert 1 <= found.limit <= MOST
        assert 0 <= found.before <= MOST_ROW

"""A live call is ended by an operator: over HTTP and from the command line, after a goodbye or at once, in every state,
with both carriers, and with who asked for it on record."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest

from callflow.media.clips import Clip
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx import Telnyx
from tests.e2e import product as products
from tests.e2e.operators_port import JSON, TOKEN, Answer, Port, faults_of
from tests.e2e.process import SERVER, python
from tests.e2e.product import Product, product, until
from tests.e2e.scenes import exchange
from tests.e2e.talk import FAST, talk
from tests.e2e.test_survival import office


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
GOODBYE_MS = 400
CLIPS = {name: Clip(name, f"The {name} clip.", tone(GOODBYE_MS, 900.0)) for name in ("sorry", "goodbye", "busy")}
CLIPS["one-moment"] = Clip("one-moment", "One moment.", tone(100, 1100.0))


@asynccontextmanager
async def line(**settings: Any) -> AsyncIterator[tuple[Product, Port]]:
    """A server whose model speaks for long, and its operators' port."""
    chosen: dict[str, Any] = {
        **FAST,
        "no_input_seconds": 0,
        "farewell_seconds": 3.0,
        "goodbye_text": "Bye.",
        **settings,
    }
    realtime = chosen.pop("realtime", None) or Realtime(script=Script.tone(20.0), pace=Pace.instant())
    with mock.patch("callflow.switchboard.call_configs.clips.load", return_value=CLIPS):
        async with product(realtime=realtime, **chosen) as the:
            yield the, Port(the.app.console_at[1], token=str(settings.get("console_token", "")))


async def hang_up(it: Port, call: str, body: Any = None, **how: Any) -> Answer:
    """`body`: None for none at all."""
    given = {"headers": [JSON], "body": json.dumps(body).encode()} if body is not None else {}
    answer = await it.ask("POST", f"/api/calls/{call}/hangup", **{**given, **how})
    assert faults_of("POST", "", answer) == []
    return answer


async def over(the: Product, call: Any) -> None:
    await call.wait_ended(6)
    await the.quiet()


def asked(the: Product) -> list[tuple[str, str]]:
    """Every wish to end a call on record, and who had it."""
    kinds = ("goodbye_requested", "hangup_requested", "end_requested")
    return [(kind, event["by"]) for kind in kinds for event in the.happened(kind)]


def cause(the: Product) -> str:
    (ended,) = the.happened("ended")
    return str(ended["cause"])


@pytest.mark.parametrize("body", [None, {}, {"when": "goodbye"}], ids=["no body", "empty", "goodbye"])
async def test_the_caller_hears_a_goodbye_first(body: Any) -> None:
    async with line() as (the, it):
        one = await talk(the)
        await one.phone.hears(0.1)
        name = the.call.id
        answer = await hang_up(it, name, body)
        assert (answer.status, answer.json()) == (200, {"call": name, "when": "goodbye", "by": "operator"})
        await over(the, one.call)
        assert CLIPS["goodbye"].audio in one.phone.heard_between(0.0, monotonic()), "not heard to its end"
        assert (cause(the), asked(the)) == ("operator", [("goodbye_requested", "operator")])
        assert len(the.actions("hangup")) == 1
        answer = await hang_up(it, name, body)
        assert (answer.status, answer.json()["error"]) == (409, "This call is over already.")
        told = (await it.ask("GET", f"/api/calls/{name}")).json()["entries"]
        assert [each["event"]["by"] for each in told if each["event"]["event"] == "goodbye_requested"] == ["operator"]


@pytest.mark.parametrize(("when", "kind"), [("goodbye", "goodbye_requested"), ("now", "hangup_requested")])
async def test_whoever_clicks_often_asks_once(when: Any, kind: str) -> None:
    async with line() as (the, _):
        one = await talk(the)
        await one.phone.hears(0.1)
        call = the.call
        assert [call.hang_up(when, "operator") for _ in range(5)] == [True] * 5
        await over(the, one.call)
        assert asked(the) == [(kind, "operator")]
        assert not call.hang_up(when, "operator")


async def test_now_is_at_once_and_a_token_has_a_name() -> None:
    async with line(console_token=TOKEN) as (the, it):
        one = await talk(the)
        await one.phone.hears(0.1)
        name = the.call.id
        assert (await hang_up(it, name, {"when": "now"}, tokens=())).status == 401
        began = monotonic()
        answer = await hang_up(it, name, {"when": "now"})
        assert (answer.status, answer.json()["by"]) == (200, "console")
        await over(the, one.call)
        assert monotonic() - began < GOODBYE_MS / 1000 + 0.5
        assert the.happened("clip") == []
        assert (cause(the), asked(the)) == ("operator", [("hangup_requested", "console")])


async def test_while_a_goodbye_is_under_way_another_changes_nothing_and_now_is_at_once() -> None:
    long = {**CLIPS, "goodbye": Clip("goodbye", "A long goodbye.", tone(6000, 900.0))}
    with mock.patch(f"{__name__}.CLIPS", long):
        async with line(farewell_seconds=20.0) as (the, it):
            one = await talk(the)
            await one.phone.hears(0.1)
            name = the.call.id
            for _ in range(3):
                assert (await hang_up(it, name)).status == 200
            await until(lambda: the.happened("clip"), "the goodbye to begin")
            assert (await hang_up(it, name)).status == 200
            await until(lambda: len(the.happened("goodbye_requested")) > 1, "another one on record")
            assert len(the.happened("clip")) == 1
            assert the.app.switchboard.live(name) is not None
            assert (await hang_up(it, name, {"when": "now"})).status == 200
            await over(the, one.call)
            assert len(the.actions("hangup")) == 1
            assert asked(the)[-1] == ("hangup_requested", "operator")


async def test_while_the_agent_says_its_own_goodbye_another_changes_nothing() -> None:
    async with line(realtime=Realtime(script=Script.tone(1.5), pace=Pace.instant())) as (the, it):
        one = await talk(the)
        await one.phone.hears(0.1)
        the.call.requests._end_by_agent("all is said")
        await until(lambda: the.happened("end_requested"), "the agent's wish")
        assert (await hang_up(it, the.call.id)).status == 200
        await over(the, one.call)
        assert (cause(the), the.happened("clip")) == ("agent", [])
        assert sum(each.ms for each in one.phone.heard) >= 1400, "its goodbye was cut off"
        assert asked(the) == [("goodbye_requested", "operator"), ("end_requested", "agent")]


@pytest.mark.parametrize("when", ["goodbye", "now"])
@pytest.mark.parametrize("state", ["answered", "recovering", "streaming"])
async def test_a_call_is_ended_in_whatever_state_it_is(state: str, when: str) -> None:
    async with line(engine_tries=2, engine_retry_seconds=30.0, engine_seconds=30.0, stream_seconds=30.0) as (
        the,
        it,
    ):
        if state == "answered":
            the.carrier.faults.never_connect = True
            call: Any = await the.carrier.ring()
        else:
            one = await talk(the)
            await one.phone.hears(0.1)
            call = one.call
            if state == "recovering":
                the.realtime.faults.refuse_next = 9
                one.session.drop()
        await until(lambda: the.app.switchboard.calls and the.call.model.state == state, state)
        assert (await hang_up(it, the.call.id, {"when": when})).status == 200
        await over(the, call)
        spoken = bool(the.happened("clip")) or "Bye." in call.spoken
        assert (cause(the), spoken) == ("operator", when == "goodbye")


@pytest.mark.carrier("telnyx")
@pytest.mark.parametrize("when", ["goodbye", "now"])
async def test_a_call_that_rings_is_ended_at_once(when: str) -> None:
    async with line(carrier=exchange(answer_s=5.0)) as (the, it):
        call = await the.telnyx.ring()
        await until(lambda: the.app.switchboard.calls and the.call.model.answer_sent, "the call to ring")
        assert (await hang_up(it, the.call.id, {"when": when})).status == 200
        await over(the, call)
        assert (cause(the), the.happened("clip")) == ("operator", [])


async def test_a_goodbye_that_was_under_way_when_the_server_died_is_said_by_the_next_one() -> None:
    async with office(FAREWELL_SECONDS=20) as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 500, "the agent")
        assert one.process is not None
        it = Port(await one.process.console_port(), token="")
        (live,) = (await it.ask("GET", "/api/calls/live")).json()["live"]
        assert (await hang_up(it, live["id"])).status == 200
        asked = "SELECT * FROM steps WHERE event LIKE '%goodbye_requested%'"
        await until(lambda: one.rows(asked), "the wish to be on record")
        await one.stop()
        assert caller.is_up
        await one.start()
        await until(lambda: not caller.is_up, "the call to end", 15)
        await until(lambda: one.rows("SELECT * FROM conversations WHERE ended_at IS NOT NULL"), "the end on record")
        (row,) = one.rows("SELECT * FROM conversations")
        assert row["hangup_cause"] == "operator"
        assert json.loads(one.rows(asked)[0]["event"])["by"] == "operator"


async def test_what_cannot_be_understood_ends_no_call() -> None:
    async with line() as (the, it):
        one = await talk(the)
        name = the.call.id
        for body, status, says in (
            (b'{"when": "soon"}', 400, 'when must be "goodbye" or "now", not "soon"'),
            (b'{"when": "NOW"}', 400, '"goodbye" or "now"'), (b'{"when": null}', 400, '"goodbye" or "now"'),
            (b'{"when": 1}', 400, '"goodbye" or "now"'), (b'{"when": ["now"]}', 400, '"goodbye" or "now"'),
            (b'{"wen": "now"}', 400, "did you mean when?"), (b'{"when": "now", "why": 1}', 400, '"why"'),
            (b'{"when": "now", "when": "goodbye"}', 400, '"when" stands in the body twice'),
            (b'["now"]', 400, "not a list"), (b"null", 400, "not null"), (b'"now"', 400, "not a text"),
            (b"now", 400, "cannot be read as JSON"), (b'{"when": "now"', 400, "cannot be read as JSON"),
            (b'{"when": "\\ud800"}', 400, "surrogate"), (b'{"when": NaN}', 400, "cannot be read as JSON"),
        ):  # fmt: skip
            answer = await it.ask("POST", f"/api/calls/{name}/hangup", headers=[JSON], body=body)
            assert (answer.status, faults_of("POST", "", answer)) == (status, []), body
            assert says in answer.json()["error"], f"{body!r}: {answer.body!r}"
        for headers in ([], [(b"Content-Type", b"text/plain")]):
            answer = await it.ask("POST", f"/api/calls/{name}/hangup", headers=headers, body=b'{"when": "now"}')
            assert (answer.status, "application/json" in answer.json()["error"]) == (415, True)
        answer = await it.ask("POST", f"/api/calls/{name}/hangup?when=now")
        assert (answer.status, '"when"' in answer.json()["error"]) == (400, True)
        answer = await it.ask("GET", f"/api/calls/{name}/hangup")
        assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, POST")
        for unknown in ("x", name[:8], name.upper(), "9" * 4000):
            assert (await hang_up(it, unknown)).status == 404, unknown
        assert asked(the) == [], "something was taken for a wish to end the call"
        await one.call.hang_up()
        await the.quiet()
        assert (await hang_up(it, name)).status == 409
        await the.app.journal.flushed()
        the.app.journal.forget(name)
        assert (await hang_up(it, name)).status == 409, "of a call that is on record only"


@pytest.mark.carrier("telnyx")
async def test_the_agent_and_the_drain_are_named_on_record() -> None:
    async with line() as (the, _):
        await talk(the)
        the.call.requests._end_by_agent("done")
        await until(lambda: the.happened("end_requested"), "the agent's wish")
        await the.app.switchboard.drain(0.01)
        assert {by for kind, by in asked(the) if kind == "end_requested"} == {"agent"}
        assert {by for kind, by in asked(the) if kind != "end_requested"} == {"drain"}


# From the command line


async def command(port: int, words: Sequence[str], folder: str = "", **env: object) -> tuple[int, str, str]:
    """`python server.py calls …` as it is typed beside a server on that port: exit code, what it says, and what it
    complains of."""
    given = {"CONSOLE_PORT": port, "DATA_DIR": folder or "data", **env}
    async with python(SERVER, "calls", *words, env=given) as process:
        code = await process.ended()
        return code, "".join(process.out), "".join(process.err)


async def test_the_command_line_ends_a_call() -> None:
    async with line(console_token=TOKEN) as (the, it):
        folder = the.app.settings.data_dir
        for words, kind in (((), "goodbye_requested"), (("now",), "hangup_requested")):
            one = await talk(the)
            await one.phone.hears(0.1)
            name = the.call.id
            await the.app.journal.flushed()
            row = await the.app.history.store.conversation(name)
            assert row is not None
            given = row["stream_sid"] if words else name[:8]
            code, out, err = await command(it.port, [given, "--hangup", *words], folder, CONSOLE_TOKEN=TOKEN)
            assert (code, err, name in out, out.count("\n")) == (0, "", True, 1)
            await over(the, one.call)
            assert [event["by"] for event in the.happened(kind, name)] == ["command line"]
            await the.app.journal.flushed()
        code, out, err = await command(it.port, [name[:8], "--hangup"], folder, CONSOLE_TOKEN=TOKEN)
        assert (code, out, "over already" in err, err.count("\n")) == (1, "", True, 1)
        code, out, err = await command(it.port, ["0000", "--hangup"], folder, CONSOLE_TOKEN=TOKEN)
        assert (code, out, "0000" in err, err.count("\n")) == (1, "", True, 1)
        code, out, err = await command(it.port, [name, "--hangup"], folder)
        assert (code, out, "CONSOLE_TOKEN" in err, err.count("\n")) == (2, "", True, 1)


@pytest.mark.carrier("telnyx")
async def test_the_command_line_says_in_a_line_why_it_cannot() -> None:
    async with products.exchange() as not_ours:
        assert isinstance(not_ours, Telnyx)
        carrier = urlsplit(not_ours.base_url).port or 0
        for port, words, says in (
            (1, ["abc", "--hangup"], "No server is running at http://127.0.0.1:1"),
            (1, ["--hangup", "abc"], "No server is running"), (0, ["abc", "--hangup"], "CONSOLE_PORT is 0"),
            (carrier, ["abc", "--hangup"], "is not Callflow"), (1, ["--hangup"], "say which"),
            (1, ["--hangup", "now"], "say which"), (1, ["", "--hangup"], "say which"),
            (1, ["abc", "--hangup", "soon"], 'not by "soon"'), (1, ["abc", "--hangup", "--text", "x"], "--text"),
            (1, ["abc", "--hangup", "now", "--picture", "x.svg"], "--picture"), (1, ["abc", "--hangup="], "not by"),
        ):  # fmt: skip
            code, out, err = await command(port, words)
            assert (code, out, err.count("\n")) == (2, "", 1), f"{words}: {err}"
            assert says in err, f"{words}: {err}"

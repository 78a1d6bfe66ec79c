"""`python server.py dial` beside a running server: what it shows, what it says of the end, and Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from callflow.sandbox import voices
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx.exchange import CONNECTION_ID
from tests.e2e import product as products
from tests.e2e import tcp_front
from tests.e2e.outbound import OURS, THEIRS, TOKEN, ask, callee, dialled, dialling, dials
from tests.e2e.process import SERVER, Process, environment, python
from tests.e2e.product import Product, until
from tests.e2e.scenes import exchange
from tests.ports import free_port


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
LINE: Final = re.compile(r" *\d+\.\d\d s  (.*)\n")


@asynccontextmanager
async def command(the: Product | None, *words: str, **env: object) -> AsyncIterator[Process]:
    """`python server.py dial …`, typed beside that server."""
    port = the.app.console_at[1] if the is not None else free_port()
    given = {"CONSOLE_PORT": port, "CONSOLE_TOKEN": TOKEN, **env}
    async with python(SERVER, "dial", *words, env=given) as process:
        yield process


async def said(the: Product | None, *words: str, **env: object) -> tuple[int, str, str]:
    """Exit code, what it says, and what it complains of."""
    async with command(the, *words, **env) as process:
        code = await process.ended(20)
        return code, "".join(process.out), "".join(process.err)


def story(out: str) -> list[str]:
    return [found[1] for found in map(LINE.fullmatch, out.splitlines(keepends=True)) if found]


async def test_a_call_is_shown_while_it_goes_on() -> None:
    realtime = Realtime(script=Script.tone(0.4), pace=Pace.instant())
    async with dialling(realtime=realtime) as the, command(the, THEIRS, "--say", "Hello from us.") as process:
        await process.says("answered")
        call = the.carrier_call()
        await call.phone.hears(0.3, since=0.0)
        assert "Hello from us." in json.dumps([one.event for one in (await realtime.wait_session(1)).received])
        await process.says("agent: A tone.")
        call.phone.say(voices.load("caller/hours"))
        await process.says("caller: I have a question.")
        assert process.exit_code is None
        await call.hang_up()
        assert await process.ended() == 0
        out = "".join(process.out)
        lines = story(out)
        assert lines[0].startswith(f"dials {THEIRS} from {OURS}, with {products.usual.capitalize()}")
        order = ["dialled: the carrier has taken it", "ringing", "answered", "caller: I have a question."]
        assert [lines.index(line) for line in order] == sorted(lines.index(line) for line in order)
        assert "the call is over" in lines
        assert "It was answered, and took " in out
        assert "it was hung up in the ordinary way" in out
        assert process.err == []
        (asked,) = the.happened("dial_requested")
        assert asked["by"] == "command line"


@pytest.mark.parametrize(
    ("what", "told"), [("busy", "the line was busy"), ("no_answer", "nobody answered"), ("rejects", "")]
)
async def test_nobody_answers_and_it_says_why(what: str, told: str) -> None:
    async with dialling() as the:
        the.carrier.exchange.timing.no_answer_s = 0.2
        callee(the, what)
        code, out, err = await said(the, THEIRS)
        assert (code, err) == (1, "")
        assert "answered" not in story(out)
        told = told or ("the line was busy" if products.usual == "twilio" else "it was rejected")
        assert re.search(rf"\nIt was not answered, after \d+ s: {told}", out), out


async def test_the_first_ctrl_c_ends_the_call_with_a_goodbye_and_goes_on_showing() -> None:
    async with dialling(farewell_seconds=3.0) as the, command(the, THEIRS) as process:
        await process.says("answered")
        await the.carrier_call().phone.hears(0.2, since=0.0)
        process.process.send_signal(signal.SIGINT)
        assert await process.ended(15) == 0
        assert [event["by"] for event in the.happened("goodbye_requested")] == ["command line"]
        out = "".join(process.out)
        assert "a goodbye is asked for (command line)" in story(out)
        assert "an operator ended it" in out
        assert "after a goodbye" in "".join(process.err)


async def test_the_second_ctrl_c_ends_it_at_once() -> None:
    realtime = Realtime(script=Script.tone(20.0), pace=Pace.instant())
    async with dialling(realtime=realtime, farewell_seconds=30.0) as the, command(the, THEIRS) as process:
        await process.says("answered")
        await the.carrier_call().phone.hears(0.2, since=0.0)
        process.process.send_signal(signal.SIGINT)
        await until(lambda: the.happened("goodbye_requested"), "the first one to arrive")
        process.process.send_signal(signal.SIGINT)
        assert await process.ended(15) == 0
        assert [event["by"] for event in the.happened("hangup_requested")] == ["command line"]


async def test_ctrl_c_while_it_rings_cancels_the_call() -> None:
    async with dialling() as the, command(the, THEIRS) as process:
        the.carrier.exchange.timing.ring_s = 60
        await process.says("ringing")
        process.process.send_signal(signal.SIGINT)
        assert await process.ended(15) == 1
        call = the.carrier_call()
        await call.wait_ended()
        assert (call.ended_by, call.answered_at) == ("product", None)


@pytest.mark.carrier("telnyx")
async def test_the_third_ctrl_c_leaves_a_server_that_does_not_answer() -> None:
    asked: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: asked.append(writer), "127.0.0.1", 0) as mute:
        async with command(None, THEIRS, CONSOLE_PORT=mute.sockets[0].getsockname()[1]) as process:
            await until(lambda: asked, "the request")
            for words in ("after a goodbye", "once more leaves it alone"):
                process.process.send_signal(signal.SIGINT)
                await process.says(words)
            process.process.send_signal(signal.SIGINT)
            assert await process.ended() == 130
        asked[0].close()


async def test_one_key_makes_one_call() -> None:
    async with dialling() as the:
        callee(the, "busy")
        first = await said(the, THEIRS, "--key", "order-7")
        second = await said(the, THEIRS, "--key", "order-7")
        assert (first[0], second[0]) == (1, 1)
        assert "This key has made a call before" not in first[1]
        assert "This key has made a call before" in second[1]
        assert story(second[1]) == story(first[1])
        assert len(dials(the)) == 1
        code, _, err = await said(the, "+15550100008", "--key", "order-7")
        assert (code, "another call" in err) == (2, True)


async def test_an_answer_that_is_lost_is_asked_for_again_and_nobody_is_dialled_twice() -> None:
    """The way to the server breaks off while the carrier is dialling."""
    async with dialling() as the:
        callee(the, "busy")
        carried = 0

        async def break_first_answer_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal carried
            carried += 1
            if carried == 2:  # the answers of the first connection
                await until(lambda: dials(the), "the dial")
                writer.transport.abort()
                return
            while some := await reader.read(65536):
                writer.write(some)
            writer.close()

        async with tcp_front.front(lambda: f"http://127.0.0.1:{the.app.console_at[1]}", break_first_answer_off) as port:
            code, out, err = await said(the, THEIRS, CONSOLE_PORT=port)
        assert (code, "the line was busy" in out) == (1, True), err
        assert "nobody is dialled twice" in err
        assert "has made a call before" not in out
        assert len(dials(the)) == 1


async def test_what_the_server_refuses_is_told_in_its_words() -> None:
    async with dialling() as the:
        for words, told in (
            ((OURS,), "our own number"), ((THEIRS, "--profile", "nobody"), "no profile"),
        ):  # fmt: skip
            code, out, err = await said(the, *words)
            assert (code, out) == (2, ""), words
            assert told in err
        code, out, err = await said(the, THEIRS, CONSOLE_TOKEN="another-token-1234567890")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "CONSOLE_TOKEN" in err
        assert dials(the) == []


@pytest.mark.carrier("telnyx")
async def test_words_that_cannot_be_used_dial_nobody() -> None:
    for words, env, told in (
        ((THEIRS,), {}, "No server is running"),
        ((THEIRS,), {"CONSOLE_PORT": 0}, "CONSOLE_PORT is 0"),
        (("+1 555 010 0001",), {}, "If you mean +15550100001, write it so."),
        (("+1", "555", "010-0001"), {}, "If you mean +15550100001, write it so."),
        (("0015550100001",), {}, "If you mean +15550100001"),
        (("(555) 010-0001",), {"DEFAULT_COUNTRY": "US"}, "In US (default_country) it is +15550100001"),
        (("030 1234567",), {"DEFAULT_COUNTRY": "DE"}, "it is +49301234567"),
        (("(555) 010-0001",), {}, "Without a country code"),
        (("Bob\x1b[31m",), {}, "E.164"),
        ((THEIRS, "--from", "555 010 0002"), {}, "Without a country code"),
        ((THEIRS, "--say", " "), {}, "--say must be a text, and is empty"),
        ((THEIRS, "--carrier", "vonage"), {}, "vonage"),
    ):  # fmt: skip
        given: dict[str, Any] = env
        code, out, err = await said(None, *words, **given)
        assert (code, out, err.count("\n")) == (2, "", 1), f"{words}: {err}"
        assert told in err, f"{words}: {err}"
        assert "\x1b" not in err


@pytest.mark.alone
@pytest.mark.carrier("telnyx")
async def test_a_server_that_dies_meanwhile_is_waited_for(tmp_path: Path) -> None:
    telnyx, realtime = exchange(), Realtime(script=Script.tone(3.0), pace=Pace.instant())
    async with telnyx, realtime:
        env = environment(telnyx, realtime) | {
            "PORT": free_port(), "CONSOLE_PORT": free_port(), "CONSOLE_TOKEN": TOKEN, "DATA_DIR": tmp_path,
            "TELNYX_CONNECTION_ID": CONNECTION_ID, "TELNYX_FROM_NUMBER": OURS,
        }  # fmt: skip
        telnyx.webhook_url = f"http://127.0.0.1:{env['PORT']}/webhooks"
        async with python(SERVER, env=env) as server:
            await server.public_port()
            async with python(SERVER, "dial", THEIRS, env=env) as process:
                await process.says("agent: A tone.")
                (call,) = telnyx.calls.values()
                server.process.kill()
                await server.ended(noisy=True)
                await process.says("No server is running")
                async with python(SERVER, env=env):
                    await process.says("the server was away, and takes the call back")
                    await call.hang_up()
                    assert await process.ended(20) == 0
                out = "".join(process.out)
                assert story(out).count("answered") == 1
                assert "the call is over" in story(out)
                assert len(telnyx.calls) == 1


async def test_the_journal_of_a_live_call_can_be_followed() -> None:
    async with dialling() as the:
        name = (await dialled(the))["id"]
        await the.carrier_call().wait_streaming()
        path = f"/api/calls/{name}"
        whole = (await ask(the, "GET", path)).json()
        assert whole["conversation"] is not None
        rest = (await ask(the, "GET", f"{path}?after=3")).json()
        assert rest["entries"][: len(whole["entries"]) - 3] == whole["entries"][3:]
        assert rest["conversation"] is None
        assert (await ask(the, "GET", f"{path}?after=100000")).json()["entries"] == []
        for odd in ("-1", "x", "1.5"):
            assert (await ask(the, "GET", f"{path}?after={odd}")).status_code == 400
        assert (await ask(the, "GET", "/api/calls/nobody?after=3")).status_code == 404
        await the.carrier_call().hang_up()
        await the.quiet()


async def test_a_call_that_cannot_be_shown_is_not_taken_for_one_that_was_not_dialled(tmp_path: Path) -> None:
    """Whoever dials again on 2 would call the person a second time."""
    async with dialling(realtime=Realtime(script=Script.tone(0.4), pace=Pace.instant())) as the:
        given = {"CONSOLE_PORT": str(the.app.console_at[1]), "CONSOLE_TOKEN": TOKEN, "PATH": os.environ["PATH"]}
        for file in (".env", "settings.toml"):
            (tmp_path / file).touch()
        full = os.open("/dev/full", os.O_WRONLY)
        process = await asyncio.create_subprocess_exec(
            sys.executable, SERVER, "dial", THEIRS,
            cwd=tmp_path, env=given, stdout=full, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        os.close(full)
        _, said = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 1, said
        assert b"cannot be written: No space left" in said
        assert b"`python server.py calls" in said
        call = the.carrier_call()
        await call.hang_up()

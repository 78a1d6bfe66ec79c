"""What an operator reads in the log: one line with the reason for whatever ends, replaces or refuses something, each
with the call's id in the same place; at the level debug all that comes and goes, but for what nobody is to read."""

from __future__ import annotations

import logging
import re
from typing import Any
from unittest import mock

import httpx
import pytest

import carriers.twilio.carrier
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Faults as ModelFaults
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from callflow.web.public import media_endpoint
from carriers.twilio.media import TwilioMediaProtocol
from tests.e2e.media_socket import media_socket, refusal, ring_by_hand
from tests.e2e.product import PUBLIC, product, run
from tests.e2e.talk import FAST, noise, saying, talk


ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
CALLER = "15550100001"


def telnyx() -> Telnyx:
    return Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_sandbox")


def model(**faults: Any) -> Realtime:
    script = Script.of(saying(noise(400, 1)), otherwise=saying(noise(300, 2)))
    return Realtime(script=script, pace=Pace.instant(), faults=ModelFaults(**faults))


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    ours = ("callflow.sandbox", "callflow.switchboard.recovery")
    return [
        each.getMessage()
        for each in caplog.records
        if each.levelno >= level and each.name.startswith(("callflow", "carriers")) and not each.name.startswith(ours)
    ]


def of_call(said: list[str], name: str, *words: str) -> list[str]:
    """The lines about a call that hold all these words."""
    return [line for line in said if line.startswith(f"call {name}: ") and all(word in line for word in words)]


def test_a_refused_engine_says_so_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callflow")

    async def main(status: int) -> str:
        async with product(carrier=telnyx(), realtime=model(refuse_next=-1, refuse_status=status), **FAST) as the:
            call = await the.carrier.ring()
            await call.wait_ended(8)
            await the.quiet()
            return the.app.journal.calls()[0]

    for status in (401, 403, 404):
        caplog.clear()
        name = run(main(status))
        said = lines(caplog)
        assert len(of_call(said, name, "engine_lost", f"HTTP {status}")) == 1, said
        assert of_call(said, name, "-> hangup", "cause engine_lost"), said


def test_a_deadline_says_which_one_has_passed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callflow")

    async def main() -> str:
        settings = {**FAST, "engine_seconds": 0.3}
        async with product(carrier=telnyx(), realtime=model(hang_next=-1), **settings) as the:
            call = await the.carrier.ring()
            await call.wait_ended(8)
            await the.quiet()
            return the.app.journal.calls()[0]

    name = run(main())
    assert of_call(lines(caplog), name, "deadline_passed: deadline engine", "cause engine_timeout")


def test_a_session_that_is_replaced_and_one_that_follows_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callflow")

    async def main() -> str:
        async with product(carrier=telnyx(), realtime=model(), **{**FAST, "engine_tries": 3}) as the:
            one = await talk(the)
            await one.phone.hears(0.2)
            one.session.drop()
            await the.until(lambda: "recovering>streaming" in the.timeline(), "the next session")
            await one.call.hang_up()
            await the.quiet()
            return the.app.journal.calls()[0]

    name = run(main())
    said = lines(caplog)
    assert of_call(said, name, "streaming -> recovering", "engine_lost: reason "), said
    assert of_call(said, name, "recovering -> streaming", "engine_ready"), said


def test_a_media_socket_that_is_refused_or_closed_here_is_told_with_the_reason(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "callflow")

    async def main() -> list[str]:
        monkeypatch.setattr(media_endpoint, "refusals", RepeatedWarnings(logging.getLogger("callflow.web")))
        names = []
        settings = {**FAST, "start_frame_seconds": 0.2}
        async with product(carrier=telnyx(), realtime=model(), **settings) as the:
            for do in ("another call", "no start", "odd codec"):
                call, url = await ring_by_hand(the)
                async with media_socket(url, call.control_id if do != "another call" else "v3:another") as socket:
                    if do != "no start":
                        await socket.start(encoding="OPUS" if do == "odd codec" else "PCMU")
                    await socket.closed()
                names.append(the.app.journal.calls()[-1])
                await call.hang_up()
                await the.quiet()
            assert await refusal(url) == 403
            assert await refusal(url.rsplit("/", 1)[0] + "/nonsense") == 403
        return names

    another, silent, odd = run(main())
    said = lines(caplog, logging.WARNING)
    assert of_call(said, another, "socket is closed here", "belongs to another call", "v3:another"), said
    assert of_call(said, silent, "socket is closed here", "no start frame within 0.2 s"), said
    assert of_call(said, odd, "socket is closed here", "OPUS"), said
    assert [line for line in said if "media socket refused" in line], said


def test_a_media_stream_of_another_account_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callflow")

    async def main() -> str:
        with mock.patch.object(
            carriers.twilio.carrier, "TwilioMediaProtocol", return_value=TwilioMediaProtocol("AC-another")
        ):
            async with product(carrier=Twilio(PUBLIC), realtime=model(), **FAST) as the:
                call = await the.carrier.ring()
                await the.until(lambda: the.happened("media_lost"), "the end of the stream")
                await call.hang_up()
                await the.quiet()
                return the.app.journal.calls()[0]

    name = run(main())
    assert of_call(lines(caplog, logging.WARNING), name, "socket is closed here", "one of the account AC"), lines(
        caplog
    )


def test_a_refused_request_to_the_operators_port_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callflow")

    async def main() -> None:
        async with product(carrier=telnyx(), realtime=model(), console_token="right-token-of-the-console") as the:
            base = f"http://127.0.0.1:{the.app.console_at[1]}"
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{base}/health")).status_code == 401
                wrong = {"Authorization": "Bearer wrong-token-of-somebody"}
                for _ in range(5):
                    assert (await client.get(f"{base}/health", headers=wrong)).status_code == 401
                right = {"Authorization": "Bearer right-token-of-the-console"}
                large = await client.post(f"{base}/api/none", content=b"x" * 100_000, headers=right)
                assert large.status_code == 413

    run(main())
    said = [line for line in lines(caplog) if line.startswith("operators' port")]
    assert len([line for line in said if "HTTP 401" in line]) == 1, "each of them would fill the log"
    assert len([line for line in said if "HTTP 413" in line]) == 1, said
    assert "token-of" not in "".join(said)


@pytest.mark.parametrize("carrier", ["telnyx", "twilio"])
def test_debug_shows_what_comes_and_goes_and_info_does_not(carrier: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> tuple[str, str]:
        exchange = Twilio(PUBLIC) if carrier == "twilio" else telnyx()
        async with product(carrier=exchange, realtime=model(), **FAST) as the:
            one = await talk(the)
            await one.phone.hears(0.2)
            one.phone.say(tone(300))
            await one.call.press("7")
            await one.session.wait_sent("response.done", 2)
            token = the.call._streams.url.rsplit("/", 1)[1]
            await one.call.hang_up()
            await the.quiet()
            return the.app.journal.calls()[0], token

    for level in (logging.DEBUG, logging.INFO):
        caplog.clear()
        caplog.set_level(level, "callflow")
        caplog.set_level(level, "carriers")
        name, token = run(main())
        said = lines(caplog, logging.DEBUG)
        everything = "\n".join(said)
        shown = ("webhook", "to do: answer", "media in: start", "media out: mark", "media in: mark", "to engine 1: ",
                 "engine 1: session.updated", "engine 1: response.output_audio.delta", "media in: stop")  # fmt: skip
        for what in shown:
            assert bool(of_call(said, name, what)) == (level == logging.DEBUG), (what, said)
        assert level == logging.INFO or any("dtmf" in line for line in of_call(said, name))
        assert token not in everything
        assert CALLER not in everything
        assert not re.search(r"[A-Za-z0-9+/]{200}", everything), "audio"
        assert all(re.match(f"call {ID}: ", line) for line in said if re.search(ID, line) and "delivery" not in line)
        frames = [line for line in said if "media" in line and "mark" not in line]
        assert len(frames) < 40, "not every frame of audio is told"

"""A call with the key of whoever asked for it. Over real processes, whose files and words are searched for the key."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.outbound import THEIRS, TOKEN
from tests.e2e.planted import Evidence
from tests.e2e.product import until
from tests.e2e.test_outbound_survival import dialling_office, leg


CARRIERS = ("telnyx",)
JSON = {"Content-Type": "application/json"}
SERVERS = "sk-of-the-server-which-the-engine-refuses"


@pytest.mark.process
async def test_a_key_from_a_request_is_used_for_its_call_alone_and_is_written_nowhere() -> None:
    evidence = Evidence()
    async with dialling_office(ALLOW_CLIENT_CREDS="true", OPENAI_API_KEY=SERVERS, LOG_LEVEL="debug") as one:
        one.realtime.api_key = key = "sk-Zq7-of-whoever-asks-for-the-call"
        one.carrier.exchange.timing.ring_s = 0.1

        async def dial(**body: str) -> httpx.Response:
            assert one.process is not None
            url = f"http://127.0.0.1:{await one.process.console_port()}/api/calls"
            return await evidence.ask(
                url, method="POST", token=TOKEN, body={"toNumber": THEIRS, **body}, **JSON, **{"Idempotency-Key": "k"}
            )

        answer = await dial(openaiApiKey=key)
        assert answer.status_code == 201, answer.text
        assert "warnings" not in answer.json()
        await until(lambda: one.realtime.sessions, "a session with that key")
        await leg(one).wait_streaming(15)
        assert (await dial()).json()["new"] is False, "the key counts as part of the request"
        # The next process does not know it, and has the server's own, with which no session is opened.
        await one.stop()
        await one.start()
        await until(lambda: leg(one).ended_at is not None, "the end of a call that has no model", 40)
        assert len(one.realtime.sessions) == 1
        evidence.add_files(one.folder)
        for process in one.lives:
            evidence.add_process(process, "a process")
        assert evidence.holds("POST")
        evidence.holds_none_of({"the key": key})


async def test_without_the_setting_the_key_is_left_out_with_a_word_about_it() -> None:
    async with dialling_office() as one:
        assert one.process is not None
        url = f"http://127.0.0.1:{await one.process.console_port()}/api/calls"
        body = {"toNumber": THEIRS, "openaiApiKey": "sk-of-somebody", "twilioAuthToken": "t"}
        answer = await Evidence().ask(url, method="POST", token=TOKEN, body=body, **JSON)
        assert answer.status_code == 201, answer.text
        assert [line.partition(" ")[0] for line in answer.json()["warnings"]] == ["openaiApiKey", "twilioAuthToken"]
        await until(lambda: one.realtime.sessions, "a session with the server's key")

"""A call with the key of whoever asked for it. Over real processes, whose files and words are searched for the key."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest

from callflow.sandbox.twilio import Timing, Twilio
from callflow.sandbox.twilio.webhooks import Signer
from tests.e2e import outbound
from tests.e2e.outbound import OURS, THEIRS, TOKEN, dialling
from tests.e2e.planted import Evidence
from tests.e2e.product import PUBLIC, until
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


SID, OTHERS = f"AC{'0b' * 16}", "tok-8Kp-of-whoever-asks"


async def test_an_account_from_a_request_dials_its_call_and_ends_it_and_its_webhooks_are_believed() -> None:
    exchange = Twilio(PUBLIC, timing=replace(Timing(), ring_s=0.05), other_accounts={SID: OTHERS})
    async with dialling(carrier=exchange, allow_client_creds=True, twilio_media_signature="require") as the:
        exchange.exchange.number(OURS)
        told = await outbound.dialled(the, twilioAccountSid=SID, twilioAuthToken=OTHERS)
        call = exchange.calls[told["callSid"]]
        assert call.account_sid == SID
        await call.wait_streaming(10)
        await until(lambda: call.phone.heard, "the agent")
        second = await outbound.dialled(the)
        assert exchange.calls[second["callSid"]].account_sid == exchange.account_sid
        for one in (told, second):
            answer = await outbound.ask(the, "POST", f"/api/calls/{one['id']}/hangup", {"when": "now"})
            assert answer.status_code < 300, answer.text
        await the.quiet(15)
        ends = [one for one in exchange.commands if one.value("Status") == "completed"]
        assert [(one.account, one.status) for one in ends] == [(SID, 200), (exchange.account_sid, 200)]
        await until(lambda: all(one.latency is not None for one in exchange.deliveries), "the last webhook")
        # None: the carrier asked what to do with a call that was just being hung up
        assert {one.status for one in exchange.deliveries} <= {200, 204, None}
        journal = json.dumps([entry.event for name in the.app.journal.calls() for entry in the.app.journal.read(name)])
        assert OTHERS not in journal
        assert SID not in journal


async def test_an_account_of_a_request_that_is_refused_or_does_not_fit_is_told_without_its_token() -> None:
    exchange = Twilio(PUBLIC)
    async with dialling(carrier=exchange, allow_client_creds=True) as the:
        exchange.exchange.number(OURS)
        answer = await outbound.dial(the, twilioAccountSid=SID, twilioAuthToken=OTHERS)
        assert answer.status_code == 502, answer.text
        assert OTHERS not in answer.text
        answer = await outbound.dial(the, twilioAccountSid=SID, twilioAuthToken=OTHERS, carrier="telnyx")
        assert answer.status_code == 400, answer.text
        await the.quiet(15)


async def test_nobody_elses_token_is_believed() -> None:
    exchange = Twilio(PUBLIC, other_accounts={SID: OTHERS})
    async with dialling(carrier=exchange) as the:
        url = f"http://127.0.0.1:{the.app.public_at[1]}/twilio/status"
        params = {"AccountSid": SID, "CallSid": f"CA{'0' * 32}", "CallStatus": "completed"}
        signed = Signer(OTHERS).sign(f"{PUBLIC}/twilio/status", params)
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.post(url, data=params, headers=signed)).status_code == 403

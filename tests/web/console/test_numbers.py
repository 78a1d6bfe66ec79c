"""The numbers over HTTP, at both emulated carriers: listed, pointed here, put back, given back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from callflow.app import Application
from callflow.config.settings import Settings
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from tests.history.new_database import put_into
from tests.web.asgi import Answer, ask


CARRIERS = ("telnyx", "twilio")
HERE = "https://phone.test"
NUMBER = "+15550100002"
TOKEN = "a-token-of-the-tests-1234"
OTHER = "+15550100003"
PATH = f"/api/numbers/{NUMBER}"


class Stage:
    token = TOKEN

    def __init__(self, app: Quart, telnyx: Telnyx, twilio: Twilio) -> None:
        self.app, self.telnyx, self.twilio = app, telnyx, twilio

    async def send(self, method: str, path: str, **body: Any) -> Answer:
        text = json.dumps(body).encode() if body else b""
        headers = {"content_type": "application/json", "authorization": f"Bearer {self.token}"}
        return await ask(self.app, method, path, body=text, **headers)

    def webhook(self, carrier: str) -> str:
        return self.twilio.number().voice_url if carrier == "twilio" else self.telnyx.webhook_url


@asynccontextmanager
async def stage(folder: Path, *carriers: str, **changes: Any) -> AsyncIterator[Stage]:
    """The operators' app of a server with these carriers, whose numbers lead elsewhere."""
    await put_into(folder)
    telnyx = Telnyx(webhook_url="https://old.test/webhooks")
    async with telnyx, Twilio("https://old.test", voice="/voice", status="") as twilio:
        twilio.number()
        keys: dict[str, Any] = {"openai_api_key": "sk-of-this-test", "data_dir": str(folder), "public_base_url": HERE}
        keys |= {"console_token": TOKEN}
        for name in carriers:
            keys |= {**(telnyx if name == "telnyx" else twilio).settings(), "public_base_url": HERE}
        application = Application(Settings(**{**keys, "command_retries": 0, "reconcile_seconds": 0, **changes}))
        application.open()
        await application.recovery.is_open(5)
        try:
            yield Stage(application.console(), telnyx, twilio)
        finally:
            await application.close()


async def test_all_numbers_are_listed(tmp_path: Path) -> None:
    async with stage(tmp_path, *CARRIERS) as the:
        for place in range(25):
            the.telnyx.number(f"+1555020{place:04d}")
            the.twilio.number(f"+1555030{place:04d}")
        the.twilio.number().trunk_sid = "TK1"
        told = (await the.send("GET", "/api/numbers")).json()
        assert (told["address"], told["problems"], len(told["numbers"])) == (HERE, [], 52)
        first, second = (one for one in told["numbers"] if one["number"] == NUMBER)
        assert (first["carrier"], first["leadsTo"], first["here"]) == ("telnyx", "https://old.test/webhooks", False)
        assert (second["leadsTo"], second["undo"]) == ("trunk TK1", None)
        assert second["overrides"] == ["its trunk TK1 overrides its webhook"]


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_number_is_pointed_here_and_put_back(tmp_path: Path, carrier: str) -> None:
    async with stage(tmp_path, carrier) as the:
        before = the.webhook(carrier)
        told = (await the.send("POST", f"{PATH}/point")).json()
        assert (told["number"], told["carrier"], told["address"]) == (NUMBER, carrier, HERE)
        assert before in told["previous"].values()
        assert the.webhook(carrier) in told["changed"].values()
        (listed,) = (await the.send("GET", "/api/numbers")).json()["numbers"]
        assert (listed["here"], listed["undo"]["previous"]) == (True, told["previous"])
        assert (await the.send("POST", f"{PATH}/undo")).status == 200
        assert the.webhook(carrier) == before
        assert (await the.send("POST", f"{PATH}/undo")).status == 404


async def test_a_token_of_one_business_has_its_own_numbers_only(tmp_path: Path) -> None:
    token = "the-token-of-the-taxis-5678"
    named = {"console_tokens": f"desk:configure:taxis:{token},oven:operate:bakery:the-token-of-the-bakery"}
    async with stage(tmp_path, "telnyx", **named) as the:
        the.telnyx.number(OTHER)
        for name, number in (("cabs", NUMBER), ("bread", OTHER)):
            business = "taxis" if name == "cabs" else "bakery"
            made = await the.send("PUT", f"/api/profiles/{name}", numbers=[number], business=business)
            assert made.status == 200, made.json()
        assert len((await the.send("GET", "/api/numbers")).json()["numbers"]) == 2
        the.token = token
        (one,) = (await the.send("GET", "/api/numbers")).json()["numbers"]
        assert (one["number"], one["business"]) == (NUMBER, "taxis")
        shared = await the.send("POST", f"{PATH}/point", yes=True)
        assert (shared.status, OTHER in str(shared.json())) == (409, False)
        for method, path in (
            ("POST", f"/api/numbers/{OTHER}/point"), ("POST", f"/api/numbers/{OTHER[1:]}/point"),
            ("POST", f"{PATH}/undo"), ("DELETE", PATH), ("DELETE", f"/api/numbers/{OTHER}"),
        ):  # fmt: skip
            assert (await the.send(method, path, confirm=NUMBER)).status == 404, path
        assert the.telnyx.webhook_url == "https://old.test/webhooks"


async def test_what_it_does_besides_needs_a_yes(tmp_path: Path) -> None:
    async with stage(tmp_path, "telnyx") as the:
        the.telnyx.number("+15550100003")
        refused = await the.send("POST", f"{PATH}/point")
        assert refused.status == 409
        assert "1 other number (+15550100003)" in refused.json()["problems"][0]
        assert the.telnyx.webhook_url == "https://old.test/webhooks"
        assert (await the.send("POST", f"{PATH}/point", yes=True)).status == 200
        the.telnyx.webhook_url = "https://third.test"
        assert (await the.send("POST", f"{PATH}/undo")).status == 409
        assert the.telnyx.webhook_url == "https://third.test"
        assert (await the.send("POST", f"{PATH}/undo", yes=True)).status == 200


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_release_needs_the_number_once_more_and_the_setting(tmp_path: Path, carrier: str) -> None:
    def held(the: Stage) -> bool:
        numbers: Any = the.twilio.exchange.numbers if carrier == "twilio" else the.telnyx.exchange.account.numbers
        return NUMBER in numbers

    async with stage(tmp_path, carrier) as the:
        for body in ({}, {"confirm": ""}, {"confirm": "+15550100003"}, {"confirm": True}, {"confirmed": NUMBER}):
            assert (await the.send("DELETE", PATH, **body)).status == 400
        assert (await the.send("DELETE", PATH, confirm=NUMBER)).status == 403
        assert held(the)
    async with stage(tmp_path, carrier, allow_number_release=True) as the:
        assert (await the.send("DELETE", PATH)).status == 400
        assert held(the)
        assert (await the.send("DELETE", PATH, confirm=NUMBER)).json() == {"number": NUMBER, "released": True}
        assert not held(the)
        assert (await the.send("DELETE", PATH, confirm=NUMBER)).status == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/numbers/sales/point", {}, 400),
        ("/api/numbers/+15550199999/point", {}, 404),
        (f"{PATH}/point", {"carrier": "twilio"}, 400),
        (f"{PATH}/point", {"yes": "true"}, 400),
        (f"{PATH}/point", {"webhook": "https://x.test"}, 400),
        (f"{PATH}/undo", {"confirm": NUMBER}, 400),
        (f"{PATH}/undo", {}, 404),
    ],
)
async def test_a_request_that_cannot_be_used_changes_nothing(
    tmp_path: Path, path: str, body: dict[str, Any], status: int
) -> None:
    async with stage(tmp_path, "telnyx") as the:
        answer = await the.send("POST", path, **body)
        assert (answer.status, "error" in answer.json()) == (status, True)
        assert not [one for one in the.telnyx.commands if one.method != "GET"]


async def test_without_a_token_nothing_is_changed(tmp_path: Path) -> None:
    async with stage(tmp_path, "telnyx", console_token="") as the:
        for method, path in (("POST", f"{PATH}/point"), ("POST", f"{PATH}/undo"), ("DELETE", PATH)):
            assert (await ask(the.app, method, path, body=b"")).status == 401
        assert not the.telnyx.commands


async def test_without_a_public_address_nothing_is_pointed(tmp_path: Path) -> None:
    async with stage(tmp_path, "telnyx", public_base_url="") as the:
        answer = await the.send("POST", f"{PATH}/point")
        assert (answer.status, "PUBLIC_BASE_URL" in answer.json()["error"]) == (409, True)
        assert not (await the.send("GET", "/api/numbers")).json()["numbers"][0]["here"]


async def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    async with stage(tmp_path, "twilio") as the:
        the.twilio.number().voice_url = "https://user:Zq9secret@old.test/voice"
        shown = [await the.send("GET", "/api/numbers"), await the.send("POST", f"{PATH}/point")]
        shown += [await the.send("GET", "/api/numbers"), await the.send("POST", f"{PATH}/undo")]
        assert [answer.status for answer in shown] == [200] * 4
        assert not any(b"Zq9" in answer.body for answer in shown)
        assert the.twilio.number().voice_url == "https://user:Zq9secret@old.test/voice"

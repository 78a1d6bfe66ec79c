"""The doors of the public listener that are nobody's webhooks, and those that two of us share; and docs/operations.md,
which names every door of both listeners."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from quart import Quart
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from tests.e2e.product import PUBLIC, Product, product


CARRIERS = ("twilio",)
PAGE: Final = Path(__file__).parents[2] / "docs" / "operations.md"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def at(the: Product) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{the.app.public_at[1]}", trust_env=False)


async def test_signs_of_life() -> None:
    async with product() as the, at(the) as client:
        index = await client.get("/")
        assert index.json() == {"message": "Media Stream Server is running!"}
        assert (await client.get("/health")).text == "OK"
        assert (await client.get("/health?nonce=abc_DEF-1")).text == "OK abc_DEF-1"
        assert (await client.get("/health", params={"nonce": "<script>"})).text == "OK"
        page = await client.get("/status")
        assert page.headers["content-type"].startswith("text/html")
        assert "Callflow is running!" in page.text
        assert (await client.get("/public-url")).json() == {"publicUrl": PUBLIC}
        about = (await client.get("/api/version")).json()
        assert about["ok"] is True
        assert about["commit"]
        assert {"/incoming-call", "/twilio/status", "/health"} <= set(about["routes"])


async def test_the_root_is_shared_with_twilio_by_what_the_request_says() -> None:
    async with product() as the, at(the) as client:
        query = urlencode({"CallSid": "CA" + "1" * 32, "CallStatus": "ringing", "From": "+15550100001"})
        unsigned = await client.get(f"/?{query}")
        assert unsigned.status_code == 403
        signed = await client.get(f"/?{query}", headers=the.twilio.signer.sign(f"{PUBLIC}/?{query}"))
        assert signed.status_code == 200
        assert "<Connect>" in signed.text
        assert (await client.get("/?x=1")).json()["message"]


async def test_nobody_is_told_about_calls_or_secrets() -> None:
    async with product() as the, at(the) as client:
        call = await the.twilio.ring(from_number="+15550109876")
        await call.wait_streaming()
        for path in ("/", "/health", "/status", "/public-url", "/api/version", "/api/calls", "/metrics"):
            text = (await client.get(path)).text
            for secret in ("15550109876", call.sid, the.twilio.auth_token, the.realtime.api_key):
                assert secret not in text, path
        await call.hang_up()
        await the.quiet()


async def test_a_host_header_changes_no_address() -> None:
    async with product() as the, at(the) as client:
        headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
        assert (await client.get("/public-url", headers=headers)).json() == {"publicUrl": PUBLIC}


async def test_both_carriers_at_once() -> None:
    telnyx = Telnyx(webhook_url="http://127.0.0.1:9/webhooks")
    async with telnyx:
        both: dict[str, Any] = telnyx.settings()
        async with product(carrier=Twilio(PUBLIC), **both) as the:
            telnyx.set_server(f"http://127.0.0.1:{the.app.public_at[1]}")
            first, second = await telnyx.ring(), await the.twilio.ring()
            await first.wait_answered()  # its stream would need a name that leads to this machine
            await second.wait_streaming()
            await second.phone.hears(0.3)
            assert {call.carrier.name for call in the.app.switchboard.calls} == {"telnyx", "twilio"}


def named(page: str) -> Iterator[tuple[str, str]]:
    """Methods and paths that a page names between backticks: `GET`, `POST /api/session`, `…/versions`, `/health`.

    A path without a method has those of the one before it on the line, else GET. `…` stands for the last whole path of
    the line, or for one above it: all of these are told.
    """
    for text in page.splitlines():
        methods: list[str] = []
        base, used = "", True
        for span in re.findall(r"`([^`]+)`", text):
            head, _, rest = span.partition(" ")
            if head in METHODS:
                methods, used = [*([] if used else methods), head], bool(rest)
            path = (rest if head in METHODS else span).partition("?")[0]
            if path.startswith("/"):
                base = path
            elif not path.startswith("…/"):
                continue
            above = [base[:at] for at in range(len(base) + 1) if base[at : at + 1] in ("/", "")]
            for each in above if path.startswith("…") else [""]:
                yield from ((method, each + path.lstrip("…")) for method in methods or ["GET"])


def reached(app: Quart, method: str, path: str) -> str | None:
    """The rule that a request reaches; a part between angle brackets has any value."""
    plain = re.sub("<[^>]*>|NAME|ID", "1", path)
    adapter = app.url_map.bind("localhost")
    for socket in (False, True):
        try:
            rule: Rule = adapter.match(plain, method, return_rule=True, websocket=socket)[0]
            return rule.rule
        except HTTPException:
            continue
    return None


async def test_docs_operations_has_every_route_of_both_listeners() -> None:
    telnyx, page = Telnyx(webhook_url="http://127.0.0.1:9/webhooks"), PAGE.read_text(encoding="utf-8")
    async with telnyx:
        others: dict[str, Any] = {
            "console_token": "t" * 32, "openai_webhook_secret": "whsec_" + "A" * 32, "openai_project_id": "proj_any",
            **telnyx.settings(),
        }  # fmt: skip
        async with product(carrier=Twilio(PUBLIC), **others) as the:
            for app in (the.app.console(), the.app.public()):
                told = {(method, reached(app, method, path)) for method, path in named(page)}
                missing = [
                    f"{method} {rule.rule}"
                    for rule in app.url_map.iter_rules()
                    for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
                    if (method, rule.rule) not in told and not rule.rule.startswith("/static/")
                ]
                assert "\n".join(sorted(missing)) == "", "docs/operations.md does not name them"

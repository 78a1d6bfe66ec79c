"""OpenAI's other interfaces over real sockets: client secrets, the control endpoint, images."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import func, select

from callflow.contracts.control import Checks
from callflow.history import tables
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Session
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.browser import NARROW, browser, tab
from tests.e2e.hook import hook
from tests.e2e.outbound import DIALS, THEIRS, TOKEN, ask
from tests.e2e.product import Product, exchange, product, until
from tests.e2e.talk import FAST, talk
from tests.web.console.test_image_uploads import picture


OURS: dict[str, Any] = {**FAST, **DIALS, "no_input_seconds": 0}
SESSION = {"instructions": "Be kind.", "voice": "cedar", "temperature": 1}


def model() -> Realtime:
    return Realtime(script=Script.tone(0.4), pace=Pace.instant())


ADMIN, SHARED, SIGNING = "an-admin-secret-of-32-characters!", "a-shared-secret-of-tests", "a-signing-secret-of-tests"
CONTROL: dict[str, Any] = {
    "realtime_control_secret": SHARED, "realtime_control_signing_secret": SIGNING,
    "realtime_control_admin_secret": ADMIN,
}  # fmt: skip
UPDATE = {"type": "session.update", "session": {"voice": "cedar", "instructions": "Speak Dutch.", "model": "x"}}


async def control(the: Product, method: str, body: bytes = b"", **headers: str) -> httpx.Response:
    url = f"http://127.0.0.1:{the.app.public_at[1]}/api/realtime/control"
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.request(method, url, content=body, headers=headers)


async def settle(the: Product, settings: Any, status: int = 200) -> Any:
    body = {"settings": settings}
    answer = await ask(the, "POST", "/api/realtime/control/settings", body, X_Admin_Secret=ADMIN)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_the_control_endpoint_answers_with_what_holds_and_keeps_it(tmp_path: Path) -> None:
    checks = Checks(secret=SHARED, signing=SIGNING)
    settings = {**OURS, **CONTROL, "data_dir": str(tmp_path), "database_url": f"sqlite:///{tmp_path}/a.db"}
    async with product(realtime=model(), **settings) as the:
        for body in (b'{"type":"session.created"}', b""):
            answer = (await control(the, "POST", body, **checks.headers(body, time.time()))).json()
            (event,) = answer["events"]
            assert (event["type"], event["session"]["audio"]["output"]["voice"]) == ("session.update", "marin")
            assert "tools" not in event["session"]
        status = (await control(the, "GET", b"", **checks.headers(b"", time.time()))).json()
        assert status == {"ok": True, "update": event["session"]}
        no_headers: dict[str, str] = {}
        for headers in (
            no_headers,
            {"Authorization": f"Bearer {SHARED}"},
            Checks(signing=SIGNING).headers(b"x", time.time()),
        ):
            refused = await control(the, "POST", b"x", **headers)
            assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
        assert (await control(the, "POST", b"[]", **checks.headers(b"[]", time.time()))).status_code == 400
        for secret, code in (("", 401), ("x" * 32, 403)):
            path = "/api/realtime/control/settings"
            assert (await ask(the, "POST", path, {"settings": None}, X_Admin_Secret=secret)).status_code == code
        told = await settle(the, {"voice": "ash", "temperature": 0.3, "turn_detection": {"type": "none"}})
        assert told["ok"] is True
        assert len(told["warnings"]) == 1
        assert (await settle(the, {"voice": "ash", "vad_threshold": 7}, 400))["error"]
    async with product(realtime=model(), **settings) as the:
        answer = (await control(the, "POST", b"", **checks.headers(b"", time.time()))).json()
        session = answer["events"][0]["session"]
        assert (session["audio"]["output"]["voice"], session["audio"]["input"]["turn_detection"]) == ("ash", None)
        assert (await settle(the, None))["update"]["audio"]["output"]["voice"] == "marin"


async def test_without_secrets_nobody_is_answered() -> None:
    async with product(realtime=model(), **OURS) as the:
        assert (await control(the, "POST", b"{}")).status_code == 401
        assert (await control(the, "GET")).status_code == 401
        path = "/api/realtime/control/settings"
        assert (await ask(the, "POST", path, {"settings": None}, X_Admin_Secret="")).status_code == 403


async def test_our_own_calls_ask_and_do_what_they_are_told() -> None:
    checks = Checks(secret=SHARED, signing=SIGNING)

    def allows(headers: dict[str, str], body: bytes) -> bool:
        return checks.allow(headers, body, time.time())

    async with hook({"events": [UPDATE, {"type": "response.cancel"}]}, allows=allows) as there:
        asking: dict[str, Any] = {
            "realtime_control_url": there.url,
            "realtime_control_events": "session.created, mute_requested",
        }
        async with product(realtime=model(), **OURS, **CONTROL, **asking, realtime_control_seconds=0.3) as the:
            one = await talk(the)
            await one.phone.hears(0.15, since=one.phone.connected_at)
            assert there.asked[0]["type"] == "session.created"
            assert there.asked[0]["call"]["from"] == the.call.from_number
            (first,) = [
                each.event["session"] for each in one.session.received if each.event["type"] == "session.update"
            ]
            assert (first["instructions"], first["audio"]["output"]["voice"]) == ("Speak Dutch.", "cedar")
            (note,) = the.happened("control_asked")
            assert (note["outcome"], note["about"], note["names"]) == (
                "answered", "session.created", ["voice", "instructions"],
            )  # fmt: skip
            assert len(note["problems"]) == 2
            (changed,) = the.happened("session_changed")
            assert changed["by"] == "control endpoint"
            # on an event in the call
            there.answer = {"events": [{"type": "session.update", "session": {"instructions": "Speak up."}}]}
            await ask(the, "POST", f"/api/calls/{the.call.id}/mute", {"party": "caller"})
            await until(lambda: len(the.happened("control_asked")) == 2, "the question")
            await until(lambda: one.session.config["instructions"] == "Speak up.", "the model to be told")
            assert there.asked[1]["type"] == "mute_requested"
            await one.call.hang_up()
            await the.quiet()
            # late and broken: as it was
            there.delay = 0.6
            two = await talk(the)
            await two.phone.hears(0.15, since=two.phone.connected_at)
            there.delay, there.answer = 0.0, b"<html>"
            three = await talk(the)
            await three.phone.hears(0.15, since=three.phone.connected_at)
            assert [note["outcome"] for note in the.happened("control_asked")][2:] == ["late", "failed"]
            for each in (two, three):
                assert each.session.config["instructions"] == the.app.effective.instructions
            assert there.unsigned == 0
            for each in (two, three):
                await each.call.hang_up()
            await the.quiet()


async def test_ourselves_in_process_also_for_calls_that_we_make() -> None:
    async with product(realtime=model(), **OURS, **CONTROL, realtime_control_url="self") as the:
        one = await talk(the)
        await one.call.hang_up()
        await the.quiet()
        assert the.happened("control_asked") == []
        await settle(the, {"instructions": "Speak Dutch."})
        one = await talk(the)
        assert one.session.config["instructions"] == "Speak Dutch."
        await one.call.hang_up()
        await the.quiet()
        if isinstance(the.carrier, Telnyx):
            assert (await ask(the, "POST", "/api/calls", {"toNumber": THEIRS})).status_code == 201
            session = await the.realtime.wait_session(3)
            await until(lambda: session.config["instructions"] == "Speak Dutch.", "the outbound call's session")
            await the.carrier_call().hang_up()
            await the.quiet()


async def show(
    the: Product, call: str, data: bytes, status: int = 202, query: str = "", kind: str = "image/png"
) -> Any:
    url = f"http://127.0.0.1:{the.app.console_at[1]}/api/calls/{call}/images{query}"
    given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        answer = await client.post(url, content=data, headers=given)
    assert answer.status_code == status, answer.text
    return answer.json()


def images(session: Session) -> list[dict[str, Any]]:
    created = [each.event["item"] for each in session.received if each.event["type"] == "conversation.item.create"]
    return [item for item in created if item["content"][0]["type"] == "input_image"]


async def test_the_model_sees_a_picture_before_and_during_a_call_and_the_history_keeps_a_small_copy() -> None:
    large = Image.effect_noise((1400, 1400), 100).convert("RGB")
    into = io.BytesIO()
    large.save(into, "PNG")
    async with product(realtime=model(), carrier=exchange(), **OURS) as the:
        answer = await ask(the, "POST", "/api/calls", {"toNumber": THEIRS}) if on_telnyx(the) else None
        one = None if answer is not None else await talk(the)
        call = answer.json()["id"] if answer is not None else the.call.id
        first = await show(the, call, picture("WEBP"), query="?text=Our+menu.")
        assert (first["number"], first["mime"]) == (1, "image/jpeg")
        await show(the, call, b"<svg/>", 415)
        await show(the, call, picture("JPEG"), kind="text/plain")
        session = await the.realtime.wait_session()
        await until(lambda: len(images(session)) == 2, "the model to see them")
        item = images(session)[0]
        assert item["role"] == "user"
        assert item["content"][0]["image_url"].startswith("data:image/jpeg;base64,")
        assert item["content"][1] == {"type": "input_text", "text": "Our menu."}
        assert session.violations == []
        # much, and no more than that
        for _ in range(2):
            await show(the, call, into.getvalue())
        await show(the, call, into.getvalue() + b"0" * (9 << 20), 413)
        assert session.closed is False
        notes = the.happened("image_shown")
        assert [(note["number"], note["by"]) for note in notes] == [(number, "console") for number in range(1, 5)]
        assert [row["number"] for row in (await ask(the, "GET", f"/api/calls/{call}/images")).json()] == [1, 2, 3, 4]
        async with browser() as chromium, tab(chromium, the.app.console_at[1]) as it:
            await it.page.goto(f"/#/calls/{call}")
            await it.page.fill("input[name=token]", TOKEN)
            await it.page.keyboard.press("Enter")
            await it.sees(".notice img.shown")
            loaded = (
                "[...document.querySelectorAll('img.shown')].every((each) => each.complete && each.naturalWidth > 0)"
            )
            await it.page.locator("img.shown").last.scroll_into_view_if_needed()
            await it.comes_true(loaded)
            await it.page.click("summary:has-text('a picture')")
            file = {"name": "menu.png", "mimeType": "image/png", "buffer": picture("PNG")}
            await it.page.set_input_files("input[name=picture]", file)  # type: ignore[arg-type]
            await it.page.click("cf-picture button")
            await it.sees("cf-picture .acts-note", "Shown: 40 × 20 pixels.")
        await (one.call if one is not None else the.carrier_call()).hang_up()
        await the.quiet()
        await show(the, call, picture("PNG"), 404)
        small = await ask(the, "GET", f"/api/calls/{call}/images/1")
        assert (small.status_code, small.headers["content-type"], small.content[:3]) == (
            200,
            "image/jpeg",
            b"\xff\xd8\xff",
        )
        await the.app.journal.flushed()  # until then it is not known that the call is over
        assert (await ask(the, "DELETE", f"/api/conversations/stream/{call}")).status_code == 200
        assert (await ask(the, "GET", f"/api/calls/{call}/images/1")).status_code == 404
        rows = await the.app.history.database.read(
            lambda connection: connection.scalar(select(func.count()).select_from(tables.images))
        )
        assert rows == 0


def on_telnyx(the: Product) -> bool:
    return isinstance(the.carrier, Telnyx)


def all_of(folder: Path) -> bytes:
    """Everything in the files of a folder."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_a_client_secret_opens_a_session_until_it_expires(caplog: pytest.LogCaptureFixture) -> None:
    async with product(realtime=model(), **OURS, **CONTROL) as the:
        answer = await ask(
            the, "POST", "/api/realtime-token", {"session": SESSION, "expires_after": {"seconds": 30}, "server": {}}
        )
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["client_secret"] == {"value": told["value"], "expires_at": told["expires_at"]}
        assert 25 < told["expires_at"] - time.time() < 31
        assert [line.split()[0] for line in told["warnings"]] == ["server", "session.temperature"]
        (asked,) = the.realtime.client_secrets.requests
        assert asked["session"]["audio"]["output"] == {"voice": "cedar"}
        assert (await ask(the, "POST", "/api/realtime-token", {"session": {}})).json() == {
            "error": "Provide either instructions or a prompt reference."
        }
        refused = await ask(the, "POST", "/api/realtime-token", {"session": {**SESSION, "model": "gpt-4o"}})
        assert (refused.status_code, "gpt-4o" in refused.json()["error"]) == (400, True)
        async with browser() as chromium, tab(chromium, the.app.console_at[1]) as it:
            await it.page.goto("/#/tools")
            await it.page.fill("input[name=token]", TOKEN)
            await it.page.keyboard.press("Enter")
            await it.sees("cf-secrets h2")
            await it.page.fill("input[name=seconds]", "90")
            await it.page.click("text=Make a secret")
            await it.sees(".secret [role=timer]", "left to begin a session")
            value = await it.page.input_value("#secret-value")
            assert value.startswith("ek_")
            await it.page.click("text=Test the connection")
            await it.sees(".secret .good", "It works: gpt-realtime-2.1")
            await it.page.click("cf-control >> text=Look")  # the browser asks for the secret, and the page stays
            await it.page.fill("input[name=admin]:focus", ADMIN)
            await it.page.fill("textarea[name=settings]", '{"voice": "ash", "temperature": 1}')
            await it.page.click("cf-control >> text=Save")
            await it.sees("cf-control .outcome", "Saved")
            await it.sees("cf-control .warning", "temperature is not sent")
            assert the.app.apis.control.changes == {"voice": "ash"}
            await it.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
            assert await it.is_as_wide_as_its_window()
        (session,) = [each for each in the.realtime.sessions if each.config["audio"]["output"]["voice"] != "alloy"]
        assert session.config["instructions"] == the.app.effective.instructions
        folder = Path(the.app.settings.data_dir)
        written = caplog.text.encode() + await asyncio.to_thread(all_of, folder)
        assert not any(secret.encode() in written for secret in (value, told["value"]))

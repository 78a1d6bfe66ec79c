"""OpenAI's other doors over real sockets: client secrets, the control endpoint, images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from tests.e2e.browser import NARROW, browser, tab
from tests.e2e.outbound import DIALS, TOKEN, ask
from tests.e2e.product import product
from tests.e2e.talk import FAST


OURS: dict[str, Any] = {**FAST, **DIALS, "no_input_seconds": 0}
SESSION = {"instructions": "Be kind.", "voice": "cedar", "temperature": 1}


def model() -> Realtime:
    return Realtime(script=Script.tone(0.4), pace=Pace.instant())


async def test_a_client_secret_opens_a_session_until_it_expires(caplog: pytest.LogCaptureFixture) -> None:
    async with product(realtime=model(), **OURS) as the:
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
            await it.page.goto("/#/endpoints")
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
            await it.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
            assert await it.is_as_wide_as_its_window()
        (session,) = [each for each in the.realtime.sessions if each.config["audio"]["output"]["voice"] != "alloy"]
        assert session.config["instructions"] == the.app.effective.instructions
        folder = Path(the.app.settings.data_dir)
        for secret in (value, told["value"]):
            assert secret not in caplog.text
            assert not any(secret.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file())

"""`doctor`: against a running server and emulated carriers, each thing that can be wrong is found, with its remedy."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from callflow.app import Application
from callflow.cli import doctor
from callflow.cli.doctor_model import model_findings
from callflow.cli.model_shutdowns import model_shutdowns
from callflow.config.preflight import check_serve
from callflow.config.profiles import Profiles
from callflow.config.settings import Settings
from callflow.contracts.diagnostics import Finding
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from callflow.switchboard.failover_service import check_failover, failover_of
from callflow.web.public.address import PublicAddress
from carriers.registry import make_carriers
from tests.cli.test_tunnel import StandIn
from tests.e2e.process import SERVER, python
from tests.ports import free_port


Findings = list[Finding]


@asynccontextmanager
async def world(*, serve: bool = True, **changes: Any) -> AsyncIterator[tuple[Settings, Telnyx, Twilio, Realtime]]:
    """Both carriers, a model, and a running server whose public address is its own. `changes`: the doctor's settings
    against those of the server, which are right."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    telnyx, twilio, realtime = Telnyx(webhook_url=f"{address}/webhooks"), Twilio(address, voice="/"), Realtime()
    async with telnyx, twilio, realtime:
        with tempfile.TemporaryDirectory() as folder:
            right: dict[str, Any] = {
                "openai_api_key": realtime.api_key,
                "openai_realtime_url": realtime.url,
                "openai_live_url": realtime.live_url,
                **telnyx.settings(),
                **twilio.settings(),
                "public_base_url": address,
                "port": port,
                "console_port": 0,
                "data_dir": folder,
            }
            twilio.number()
            wanted = Settings(**{**right, **changes})
            if serve:
                async with Application(Settings(**right)):
                    yield wanted, telnyx, twilio, realtime
            else:
                yield wanted, telnyx, twilio, realtime


async def examined(settings: Settings) -> Findings:
    carriers = make_carriers(settings, PublicAddress(settings.public_base_url, ""))
    try:
        return [one async for one in doctor.examine(settings, check_serve(settings), [], carriers)]
    finally:
        for carrier in carriers:
            await carrier.close()


def wrong(found: Findings) -> Findings:
    return [one for one in found if one.state == "wrong"]


def told(found: Findings) -> str:
    return "\n".join(doctor.line(one).plain for one in found)


async def test_a_line_that_is_set_up_is_well() -> None:
    async with world() as (settings, *_):
        found = await examined(settings)
        assert wrong(found) == [], told(found)
        ok = {one.about for one in found if one.state == "ok"}
        assert ok >= {
            "settings", "OpenAI", "public address", "media socket", "Telnyx key", "Telnyx signatures",
            "Telnyx application", "Telnyx numbers", "Twilio key", "Twilio signatures", "Twilio signed probe",
            "Twilio +15550100002",
        }  # fmt: skip


async def test_what_the_carriers_were_never_told_about_a_server_that_is_down_is_found() -> None:
    """Nobody noticed: the settings had it, and `provision` was never run, or somebody took it away again."""
    async with world(failover_url="https://backup.test", fallback_number="+15550100010") as (settings, telnyx, *_):
        (one,) = wrong(await examined(settings))
        assert one.remedy == "run `python server.py provision`"
        assert "telnyx, number +15550100002" in one.what
        assert "twilio, number +15550100002" in one.what
        carriers = make_carriers(settings, PublicAddress(settings.public_base_url, ""))
        wanted = failover_of(settings, Profiles(settings), settings.public_base_url)
        assert wanted is not None
        for carrier in carriers:
            for each in (await carrier.failover.plan(wanted)).provisions:
                await carrier.failover.change(each.part.resource, each.part.after)
        assert [one.state for one in await check_failover(carriers, wanted)] == ["ok"]
        second = Settings(**{**settings.model_dump(), "failover_url": settings.public_base_url})
        itself = failover_of(second, Profiles(second), settings.public_base_url)
        assert itself is not None
        assert [one.state for one in await check_failover(carriers, itself)] == ["ok"], "it is the second server"
        telnyx.number().forwards_to = ""
        (one,) = await check_failover(carriers, wanted)
        assert (one.state, "twilio" in one.what) == ("wrong", False)
        for carrier in carriers:
            await carrier.close()


async def test_each_finding_is_one_line_without_secrets() -> None:
    async with world() as (settings, *_):
        lines = told(await examined(settings)).splitlines()
        assert all(line.startswith(("ok ", "wrong ", "note ")) for line in lines), lines
        text = "\n".join(lines)
        for secret in ("openai_api_key", "telnyx_api_key", "twilio_auth_token"):
            assert getattr(settings, secret).get_secret_value() not in text


async def test_the_addresses_of_others_are_shown_without_their_passwords() -> None:
    async with world() as (settings, telnyx, twilio, _):
        telnyx.webhook_url = "https://user:Zq9secret@elsewhere.example/webhooks?key=Zq9secret"
        number = twilio.number()
        number.status_callback = "https://user:Zq9/secret@elsewhere.example/status"
        text = told(await examined(settings))
        assert "sends its webhooks to https://elsewhere.example/webhooks?…" in text
        assert "StatusCallback is https://…" in text
        assert "Zq9" not in text


@pytest.mark.parametrize("password", ["Zq9secret", "Zq9/secret", "12/Zq9secret", "Zq9 secret", "Zq9@secret"])
async def test_an_address_that_the_server_tells_is_taken_only_if_it_is_one(password: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1]
        address = json.dumps({"publicUrl": f"https://user:{password}@phone.example"})
        body = f"OK {line.rpartition('=')[2]}" if "nonce" in line else address
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    async with world(serve=False, public_base_url="") as (settings, *_):
        async with await asyncio.start_server(serve, "127.0.0.1", settings.port):
            text = told(await examined(settings))
        assert "PUBLIC_BASE_URL is not set" in text
        assert "no server runs here" not in text
        assert "Zq9" not in text


KEYS: dict[str, tuple[dict[str, Any], str, str]] = {
    "OpenAI's key": ({"openai_api_key": "sk-wrong-wrong-wrong"}, "OPENAI_API_KEY is refused", "platform.openai.com"),
    "a model that is not there": ({"model": "gpt-nine"}, "may not use the model gpt-nine", "MODEL"),
    "Telnyx's key": ({"telnyx_api_key": "KEY-wrong-wrong"}, "TELNYX_API_KEY is refused", "portal.telnyx.com"),
    "Twilio's token": ({"twilio_auth_token": "wrong-wrong-wrong"}, "TWILIO_AUTH_TOKEN is refused", "Account Info"),
    "another application": ({"telnyx_connection_id": "4711"}, "no application 4711", "1555010000000000001 (sandbox)"),
    "no public address": ({"public_base_url": ""}, "PUBLIC_BASE_URL is not set", "--public"),
}


@pytest.mark.parametrize("name", KEYS)
async def test_a_setting_that_is_wrong_is_named(name: str) -> None:
    changes, what, remedy = KEYS[name]
    async with world(**changes) as (settings, *_):
        text = told(wrong(await examined(settings)))
        assert what in text
        assert remedy in text


def telnyx_set(**changes: Any) -> Callable[[Telnyx, Twilio], None]:
    def change(telnyx: Telnyx, twilio: Twilio) -> None:
        for name, value in changes.items():
            setattr(telnyx.exchange.application, name, value)

    return change


def twilio_set(**changes: Any) -> Callable[[Telnyx, Twilio], None]:
    def change(telnyx: Telnyx, twilio: Twilio) -> None:
        for name, value in changes.items():
            setattr(twilio.number(), name, value)

    return change


def elsewhere(telnyx: Telnyx, twilio: Twilio) -> None:
    telnyx.webhook_url = "https://old.example/webhooks"


def without_numbers(telnyx: Telnyx, twilio: Twilio) -> None:
    telnyx.exchange.account.numbers.clear()


AT_CARRIERS: dict[str, tuple[Callable[[Telnyx, Twilio], None], str, str]] = {
    "webhooks to another server": (elsewhere, "sends its webhooks to https://old.example", "set its webhook URL to"),
    "webhooks of version 1": (telnyx_set(webhook_api_version="1"), "version 1", "to 2"),
    "an application that is off": (telnyx_set(active=False), "not active", "activate it"),
    "no number": (without_numbers, "no number leads to the application", "assign a number"),
    "a voice URL elsewhere": (twilio_set(voice_url="https://old.example/"), "none of 1 leads to", "A call comes in"),
    "a voice URL without a door": (
        twilio_set(voice_url="http://127.0.0.1:{port}/voice.php"),
        "ends with /voice.php",
        "set it to",
    ),
    "no status callback": (twilio_set(status_callback=""), "StatusCallback is not set", "/twilio/status"),
    "a trunk": (twilio_set(trunk_sid="TK1"), "trunk TK1 overrides", "out of that trunk"),
    "a TwiML app": (twilio_set(voice_application_sid="AP1"), "TwiML app AP1 overrides", "Configure with"),
}


@pytest.mark.parametrize("name", AT_CARRIERS)
async def test_what_is_wrong_at_a_carrier_is_found(name: str) -> None:
    change, what, remedy = AT_CARRIERS[name]
    async with world() as (settings, telnyx, twilio, _):
        change(telnyx, twilio)
        number = twilio.number()
        number.voice_url = number.voice_url.replace("{port}", str(settings.port))
        found = wrong(await examined(settings))
        assert len(found) == 1, told(found)
        assert what in found[0].what
        assert remedy in found[0].remedy


async def test_an_application_that_can_only_be_called_is_a_note() -> None:
    async with world() as (settings, telnyx, *_):
        telnyx.exchange.application.outbound_voice_profile_id = None
        found = await examined(settings)
        assert not wrong(found)
        (note,) = (one for one in found if "outbound voice profile" in one.what)
        assert (note.state, "attach" in note.remedy) == ("note", True)


async def test_a_server_that_does_not_run_is_said_to_not_run() -> None:
    async with world(serve=False) as (settings, *_):
        (found,) = wrong(await examined(settings))  # and nothing of what follows from it
        assert found.about == "public address"
        assert "does not answer" in found.what
        assert "python server.py" in found.remedy


async def test_an_address_that_leads_elsewhere_is_told_from_a_server_that_is_down() -> None:
    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(stranger, "127.0.0.1", 0)
    async with other:
        port = other.sockets[0].getsockname()[1]
        async with world(public_base_url=f"http://127.0.0.1:{port}") as (settings, *_):
            found = [one for one in wrong(await examined(settings)) if one.about == "public address"]
            assert "something else answers there" in found[0].what
            assert "lead the address there" in found[0].remedy


async def test_a_server_with_another_public_address_is_found_out_by_the_probe() -> None:
    async with world() as (settings, *_):
        # Reached by another name than that under which the server expects what is signed.
        other = settings.model_copy(update={"public_base_url": f"http://localhost:{settings.port}"})
        (probe,) = (one for one in wrong(await examined(other)) if one.about == "Twilio signed probe")
        assert probe.what.startswith(f"only what is signed over {settings.public_base_url}/twilio/status verifies")
        assert probe.remedy == f"restart the server with PUBLIC_BASE_URL={other.public_base_url}"


async def test_a_server_with_another_token_is_found_out_by_the_probe() -> None:
    async with world() as (settings, _, twilio, _):
        twilio.exchange.auth_token = "a-token-after-its-rotation"
        newer = settings.model_copy(update={"twilio_auth_token": SecretStr("a-token-after-its-rotation")})
        (probe,) = wrong(await examined(newer))
        assert "over no form of the URL" in probe.what
        assert "another TWILIO_AUTH_TOKEN" in probe.remedy


async def test_the_address_of_a_tunnel_is_asked_of_the_server() -> None:
    port = free_port()
    async with (
        world(serve=False, public_base_url="", port=port) as (settings, *_),
        Application(settings, StandIn()),
    ):
        (found,) = (one for one in await examined(settings) if one.about == "public address")
        assert found.what.startswith("https://in.tunnel.example: ")


async def test_unsigned_webhooks_that_are_taken_are_a_danger() -> None:
    port = free_port()
    async with world(serve=False) as (settings, *_):
        loose = settings.model_copy(update={"allow_unsigned_webhooks": True, "port": port})
        loose = loose.model_copy(update={"public_base_url": f"http://127.0.0.1:{port}"})
        async with Application(loose):
            text = told(wrong(await examined(loose)))
            assert text.count("anyone can fake a call") == 2, text


@pytest.mark.process
async def test_the_command_says_it_all_and_exits_with_1() -> None:
    async with python(SERVER, "doctor", env={"PUBLIC_BASE_URL": "http://127.0.0.1:9"}) as one:
        assert await one.ended(30) == 1
        said = one.said()
        assert "OPENAI_API_KEY is not set → put it into .env" in said
        assert "No carrier is set up → " in said
        assert "things to put right" in said


@pytest.mark.process
async def test_settings_that_cannot_be_read_exit_with_2() -> None:
    async with python(SERVER, "doctor", env={"PORT": "many"}) as one:
        assert await one.ended(30) == 2
        assert "PORT" in one.said()


@pytest.mark.parametrize(
    ("date", "states"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", ["ok"]),
        ("Tue, 14 Nov 2023 22:15:20 GMT", ["wrong"]),
        ("Tue, 14 Nov 2023 22:12:00 GMT", ["wrong"]),
        ("", []),
        ("yesterday", []),
    ],
)
def test_our_clock_is_compared_with_that_of_others(date: str, states: list[str]) -> None:
    assert [one.state for one in doctor.clock(date, 1_700_000_000.0)] == states


async def modelled(settings: Settings) -> Findings:
    """What is found out about the model alone."""
    application = Application(settings)
    try:
        return [one async for one in model_findings(application)]
    finally:
        for carrier in application.carriers:
            await carrier.close()


async def test_a_session_is_opened_under_each_profile_and_what_is_refused_is_said() -> None:
    async with world(serve=False) as (settings, _, _, realtime):
        settings._profiles = {
            "same": {"numbers": ["+15550100071"]},
            "old": {"numbers": ["+15550100072"], "model": "gpt-realtime", "transcription_model": "whisper-1"},
        }
        found = await modelled(settings)
        assert [(one.about, one.state) for one in found] == [
            ("session", "ok"), ("session same", "ok"), ("session old", "ok"), ("models", "note"), ("models", "note"),
        ], told(found)  # fmt: skip
        assert len(realtime.sessions) == 2
        assert [session.config["model"] for session in realtime.sessions] == [settings.model, "gpt-realtime"]
        assert all(session.responses == [] for session in realtime.sessions)
        realtime.shutdown_dates = {settings.model: "2020-01-01"}
        realtime.faults.refuse_transcription = True
        refused = wrong(await modelled(settings))
        assert [one.about for one in refused] == ["session", "session old", "models"], told(refused)
        assert "`gpt-transcribe` does not exist" in refused[0].what
        assert "switched off by its vendor on 2020-01-01" in refused[-1].what
        other = settings.model_copy(update={"openai_api_key": SecretStr("sk-another-key-of-the-tests")})
        assert "none opens" in wrong(await modelled(other))[0].what
        plain = told(found + refused)
        assert settings.openai_api_key.get_secret_value() not in plain


async def test_a_session_of_the_full_duplex_engine_is_tried_too() -> None:
    async with world(serve=False) as (settings, _, _, realtime):
        settings._profiles = {
            "duplex": {"numbers": ["+15550100071"], "engine": "openai_live", "delegation_model": "gpt-5"},
            "both": {"numbers": ["+15550100072"], "fallback_engine": "openai_live", "voice": "nobody"},
        }
        found = [one for one in await modelled(settings) if one.about.startswith("session")]
        assert [(one.about, one.state) for one in found] == [
            ("session", "ok"), ("session duplex", "ok"), ("session both", "ok"), ("session both (second engine)", "ok"),
        ], told(found)  # fmt: skip
        assert f"{settings.live_model} takes it: voice {settings.voice}, tools: 2 called by gpt-5" in found[1].what
        assert "voice its own, tools: 0" in found[3].what
        assert [one.violations for one in realtime.live_sessions] == [[], []]
        realtime.live_faults.refuse_start = "model_not_found"
        refused = wrong(await modelled(settings))
        assert "none opens: the engine refused the session: model_not_found" in refused[0].what


async def test_the_table_at_start_tells_of_models_that_end_and_waits_for_nobody() -> None:
    async with world(serve=False) as (settings, _, _, realtime):
        configs = Application(settings).configs
        realtime.shutdown_dates = {settings.model: "2031-01-01", "gpt-realtime": "2027-01-20"}
        (line,) = await model_shutdowns(settings, configs, [])
        assert line == f"{settings.model} will be switched off by its vendor on 2031-01-01: choose another"
        assert await model_shutdowns(settings, configs, [f"profile x: {line}"]) == []
        away = settings.model_copy(update={"openai_realtime_url": "ws://127.0.0.1:9/v1/realtime"})
        assert await model_shutdowns(away, configs, []) == []
        assert await model_shutdowns(Settings(), configs, []) == []

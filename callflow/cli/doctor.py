"""`python server.py doctor`: checks everything that a first call needs, and says what to do about what is missing.

One line for each check. It changes nothing, here or at a carrier. The server has to be running, because whether it can
be reached from outside has to be tried.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from callflow.app import Application
from callflow.cli.doctor_model import model_findings
from callflow.cli.serve import refuse, with_kept
from callflow.cli.terminal import Screen
from callflow.config.display import secrets_of
from callflow.config.loader import load
from callflow.config.openai_addresses import rest_root
from callflow.config.preflight import check_serve
from callflow.config.profiles import Profiles
from callflow.config.settings import Settings
from callflow.config.validators import is_loopback, public_url
from callflow.contracts import addresses
from callflow.contracts.carrier import Carrier
from callflow.contracts.diagnostics import Finding
from callflow.contracts.errors import SettingsError, ToolsError
from callflow.contracts.secret_text import NOT_SHOWN
from callflow.history.bucket import trouble_of
from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.recent_problems import learnt
from callflow.history.store import Store
from callflow.switchboard.engine_choice import speaking_model
from callflow.switchboard.failover_service import check_failover, failover_of
from callflow.web.public.address import PublicAddress
from carriers.registry import make_carriers


_SECONDS: Final = 8.0
"""Timeout of one request."""
_CLOCK_SECONDS: Final = 30.0
"""By which our clock may differ from others'."""
_STYLES: Final = {"ok": "green", "wrong": "bold red", "note": "yellow"}


async def diagnose() -> int:
    """Read the settings and run all checks. Returns the exit code."""
    try:
        settings = load()
    except SettingsError as error:
        return refuse([*error.warnings, *error.problems])
    problems, warnings = check_serve(settings), list(settings.warnings)
    try:
        application = Application(settings)
        _, of_kept, kept = await asyncio.to_thread(with_kept, settings)
        application.configs.rules = application.configs.rules_under({}, kept)
        warnings += [*application.warnings, *of_kept]
        carriers = application.carriers
    except (SettingsError, ToolsError, OSError) as error:
        application = None
        problems += str(error).splitlines()
        carriers = make_carriers(settings, PublicAddress(settings.public_base_url, ""))
    try:
        return await run(settings, problems, warnings, carriers, application)
    finally:
        for carrier in carriers:
            await carrier.close()


async def consult(settings: Settings, warnings: Sequence[str]) -> AsyncIterator[Finding]:
    """Run all checks with the settings of a server, and yield what each has found. `warnings`: of its start."""
    carriers = make_carriers(settings, PublicAddress(settings.public_base_url, ""))
    try:
        async for finding in examine(settings, check_serve(settings), warnings, carriers):
            yield finding
    finally:
        for carrier in carriers:
            await carrier.close()


class World:
    """The running server from outside; see `callflow.contracts.diagnostics.Outside`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers = False
        self.believed = ""
        self._client = httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False)

    async def get(self, url: str) -> httpx.Response:
        """Get a URL. Raises httpx.HTTPError."""
        return await self._client.get(url)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post to the server's public address. Returns the HTTP status; 0: no answer."""
        try:
            response = await self._client.post(f"{self.address}{path}", content=body, headers=dict(headers))
        except httpx.HTTPError:
            return 0
        return response.status_code

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def run(
    settings: Settings,
    problems: Sequence[str],
    warnings: Sequence[str],
    carriers: Sequence[Carrier],
    application: Application | None = None,
) -> int:
    """Print all findings. `problems`: what prevents a start. `application`: opens sessions of the model; None: nobody
    does. Returns the exit code: 0 if nothing is wrong."""
    console = Screen(highlight=False, soft_wrap=True)
    wrong = 0
    secrets = secrets_of(settings)
    async for finding in examine(settings, problems, warnings, carriers, application):
        wrong += finding.state == "wrong"
        told = line(finding)
        console.print(told if not secrets.within(told.plain) else f"{finding.state:<6}{finding.about}  {NOT_SHOWN}")
    console.print()
    if wrong:
        console.print(f"[bold red]{wrong} thing{'s' if wrong > 1 else ''} to put right.[/]")
    else:
        console.print("[green]All is well: the next call will be answered.[/]")
    return 1 if wrong else 0


def line(finding: Finding) -> Text:
    """Return a finding as a line of coloured text."""
    text = Text.assemble(
        (f"{finding.state:<6}", _STYLES[finding.state]), f"{finding.about:<20}  ", finding.what.replace("\n", " ")
    )
    if finding.remedy:
        text.append(f" → {finding.remedy}", style="bold" if finding.state == "wrong" else "")
    return text


async def examine(
    settings: Settings,
    problems: Sequence[str],
    warnings: Sequence[str],
    carriers: Sequence[Carrier],
    application: Application | None = None,
) -> AsyncIterator[Finding]:
    """Run the checks, and yield what each has found. `application`: as in `run`."""
    for problem in problems:
        what, _, remedy = problem.partition(": ")
        yield Finding("settings", "wrong", what, remedy)
    if not problems:
        yield Finding("settings", "ok", "the server can start with them")
    for warning in warnings:
        yield Finding("settings", "note", warning)
    if settings.openai_api_key:
        about_model = await _model(settings)
        for finding in about_model:
            yield finding
        if about_model[0].state != "wrong" and application is not None:
            async for finding in model_findings(application):
                yield finding
    if settings.recordings_url and not settings.recording_problems():
        yield await _recordings(settings)
    for finding in await _from_the_history(settings):
        yield finding
    async for finding in _from_outside(settings, carriers):
        yield finding


async def _recordings(settings: Settings) -> Finding:
    trouble = await trouble_of(settings)
    remedy = "look at RECORDINGS_URL, AWS_ENDPOINT_URL, AWS_REGION and the key" if trouble else ""
    return Finding("recordings", "wrong" if trouble else "ok", trouble or settings.recordings_url, remedy)


async def _from_the_history(settings: Settings) -> list[Finding]:
    """What the last calls have met; nothing where there is no history that can be read."""
    try:
        url = url_of(settings.database_url, settings.data_dir)
    except DatabaseError:
        return []
    if url.get_backend_name() == "sqlite" and not await asyncio.to_thread(Path(url.database or "").is_file):
        return []
    database = Database(url, read_only=True)
    try:
        async with asyncio.timeout(_SECONDS):
            return await learnt(Store(database))
    except (SQLAlchemyError, OSError):
        return []
    finally:
        await database.close()


async def _model(settings: Settings) -> list[Finding]:
    """One cheap authenticated question: whether this key may use this model; and whether our clocks agree."""
    root, model = rest_root(settings), speaking_model(settings)
    headers = {"Authorization": f"Bearer {settings.openai_api_key.get_secret_value()}"}
    try:
        async with httpx.AsyncClient(timeout=_SECONDS) as client:
            answer = await client.get(f"{root}/models/{model}", headers=headers)
    except httpx.HTTPError as error:
        what = f"{urlsplit(root).hostname} cannot be asked ({type(error).__name__})"
        return [Finding("OpenAI", "wrong", what, "look whether this machine reaches the internet")]
    return [_judged(answer.status_code, model), *clock(answer.headers.get("date", ""), time.time())]


def _judged(status: int, model: str) -> Finding:
    match status:
        case 200:
            return Finding("OpenAI", "ok", f"OPENAI_API_KEY is taken, and may use {model}")
        case 401:
            remedy = "copy a key from platform.openai.com (API keys) into .env as OPENAI_API_KEY"
            return Finding("OpenAI", "wrong", "OPENAI_API_KEY is refused", remedy)
        case 403 | 404:
            remedy = "choose another with MODEL, or ask for access at platform.openai.com"
            return Finding("OpenAI", "wrong", f"the key may not use the model {model}", remedy)
        case 429:
            remedy = "look at Billing and Limits at platform.openai.com"
            return Finding("OpenAI", "wrong", "the account is at its limit", remedy)
    return Finding("OpenAI", "note", f"HTTP {status} to the question about {model}: it cannot be told")


def clock(date: str, now: float) -> list[Finding]:
    """Compare this machine's clock with the Date header of an answer; nothing where there is none. `now`: Unix time, in
    seconds."""
    try:
        off = now - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return []
    if abs(off) <= _CLOCK_SECONDS:
        return [Finding("clock", "ok", "this machine's is right")]
    which = "ahead" if off > 0 else "behind"
    remedy = "let NTP set it: carriers' signatures are refused where it is minutes off"
    return [Finding("clock", "wrong", f"this machine's is {abs(off):.0f} s {which}", remedy)]


async def _from_outside(settings: Settings, carriers: Sequence[Carrier]) -> AsyncIterator[Finding]:
    world = World(settings.public_base_url)
    try:
        inside = await _running(world, settings)
        if not world.address and (told := await _told(world, inside)).startswith("https://"):
            world.address = told
        async for finding in _address(world, inside, settings):
            yield finding
        for carrier in carriers:
            async for finding in carrier.checkup(world):
                yield finding
        for finding in await _failover(settings, carriers, world.address):
            yield finding
    finally:
        await world.close()


async def _failover(settings: Settings, carriers: Sequence[Carrier], address: str) -> list[Finding]:
    """Whether the carriers were told what to do while this server does not answer, where the settings say that."""
    settings, _, kept = await asyncio.to_thread(with_kept, settings)
    try:
        wanted = failover_of(settings, Profiles(settings, kept), address)
    except SettingsError:
        return []  # the settings are judged elsewhere
    return [] if wanted is None else await check_failover(carriers, wanted)


async def address_of(settings: Settings) -> str:
    """Return our public address: that of the settings, or what the server that runs here takes for it; "": it is not
    known."""
    if settings.public_base_url:
        return settings.public_base_url
    world = World("")
    try:
        told = await _told(world, await _running(world, settings))
    finally:
        await world.close()
    return "" if is_loopback(urlsplit(told).hostname or "") else told


async def _running(world: World, settings: Settings) -> str:
    """Where the server is on this machine; "": it does not run here."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host.replace('0.0.0.0', '127.0.0.1')}:{settings.port}"
    return url if await _echoes(world, url) == "" else ""


async def _told(world: World, base: str) -> str:
    """What the running server takes for its public address: a tunnel's, only it knows. "": nothing that can be one."""
    try:
        return public_url(str((await world.get(f"{base}/public-url")).json().get("publicUrl", "")))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError):
        return ""


async def _echoes(world: World, base: str) -> str:
    """Why it is not Callflow that answers there; "": it is."""
    nonce = secrets.token_urlsafe(12)
    try:
        answer = await world.get(f"{base}/health?nonce={nonce}")
    except httpx.ConnectError as error:
        return f"no connection ({error})"
    except httpx.HTTPError as error:
        return f"no answer ({type(error).__name__})"
    except (httpx.InvalidURL, UnicodeError):
        return "it cannot be read as an address"
    if answer.status_code != 200 or answer.text != f"OK {nonce}":
        return f"something else answers there (HTTP {answer.status_code})"
    return ""


async def _address(world: World, inside: str, settings: Settings) -> AsyncIterator[Finding]:
    about = "public address"
    shown = addresses.shown(world.address)
    start = "start it with `python server.py`, then ask the doctor again"
    if not world.address:
        what = "PUBLIC_BASE_URL is not set" + ("" if inside else ", and no server runs here")
        yield Finding(about, "wrong", what, "set it to where carriers reach this server, or start with --public")
        return
    if is_loopback(urlsplit(world.address).hostname or ""):
        what = f"{shown} is an address of this machine only"
        yield Finding(about, "note", what, "set PUBLIC_BASE_URL to one that carriers reach")
    elif world.address.startswith("http://"):
        yield Finding(about, "wrong", f"{shown} is not https: Twilio opens no stream to it", "use https")
    why = await _echoes(world, world.address)
    if why and not inside:
        yield Finding(about, "wrong", f"the server does not answer at {shown}: {why}", start)
        return
    if why:
        port = settings.port
        remedy = f"the server runs here on port {port}: lead the address there (proxy, tunnel, firewall, certificate)"
        yield Finding(about, "wrong", f"{shown}: {why}", remedy)
        return
    world.answers, world.believed = True, await _told(world, world.address)
    yield Finding(about, "ok", f"{shown} leads to the running server")
    yield await _websocket(world)


async def _websocket(world: World) -> Finding:
    """A media socket without a token: it is we who refuse it, if the upgrade gets through."""
    about = "media socket"
    url = f"ws{world.address.removeprefix('http')}/media-stream/doctor"
    remedy = "let the proxy pass WebSocket upgrades on (nginx: proxy_http_version 1.1, Upgrade and Connection headers)"
    try:
        async with connect(url, open_timeout=_SECONDS, close_timeout=1):
            return Finding(about, "wrong", f"{addresses.shown(url)} is taken by somebody else", remedy)
    except InvalidStatus as error:
        status = error.response.status_code
        if status == 403:
            return Finding(about, "ok", "WebSockets get through, and are refused without a token")
        return Finding(about, "wrong", f"a WebSocket is answered with HTTP {status}", remedy)
    except (OSError, TimeoutError, InvalidHandshake) as error:
        return Finding(about, "wrong", f"no WebSocket gets through ({type(error).__name__})", remedy)

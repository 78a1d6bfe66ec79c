"""No key comes out of the product: planted in every setting that holds one, looked for in all that it puts out."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import pytest

from callflow.config.settings import SECRETS
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Say, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from tests.e2e.planted import (
    ADDRESSES,
    ALL,
    KEYS,
    PASSWORD,
    QUERY,
    REMOTE,
    TOOLS,
    Evidence,
    everything,
    mcp,
    names,
    on_record,
    parrot,
    peers,
    ran,
    says_on_record,
    talkative_database,
    told,
)
from tests.e2e.product import product, run, together
from tests.e2e.scenes import tell
from tests.e2e.talk import noise
from tests.ports import free_port
from tests.sample import Sample


ENCODED: Final = quote(PASSWORD, safe="")
READABLE: Final = {
    "in the user's part": "postgresql://user:{encoded}@127.0.0.1:9/calls",
    "in the query": "postgresql://user@127.0.0.1:9/calls?password={encoded}",
    "in the query and the user's part": "postgres://user:{encoded}@127.0.0.1:9/calls?sslmode=disable&password={encoded}",
}
DOUBTFUL: Final = {
    "with its slash": "postgresql://user:{raw}@127.0.0.1/calls",
    "with an @": "postgresql://user:12@{encoded}@127.0.0.1/calls",
    "with a blank": "postgresql://user:12 {encoded}@127.0.0.1/calls",
    "with a question mark": "postgresql://user:12?{encoded}@127.0.0.1/calls",
    "with a bad driver": "mysql://user:{encoded}@127.0.0.1/calls",
}


def addressed(form: str) -> str:
    return form.format(encoded=ENCODED, raw=PASSWORD)


# The search itself


@pytest.mark.parametrize("name", ALL)
def test_the_search_finds_a_key_however_it_is_written(name: str) -> None:
    secret = ALL[name]
    basic = base64.b64encode(f"AC1:{secret}".encode()).decode()
    for text in (secret, f"x={quote(secret)}&y", repr([secret]), json.dumps(secret), f"Basic {basic}", secret[:14]):
        evidence = Evidence()
        evidence.add("there", f"something {text} else")
        with pytest.raises(AssertionError, match=re.escape(f"{name} in there")):
            evidence.holds_none_of({name: secret})


def test_the_keys_are_those_of_all_secret_settings_and_differ_from_their_beginning_on() -> None:
    assert set(KEYS) == SECRETS
    assert len({secret[:12] for secret in ALL.values()}) == len(ALL)
    evidence = Evidence()
    evidence.add("there", REMOTE)
    evidence.holds_none_of(KEYS)


# Commands and refusals


async def test_check_shows_no_key(some: Sample) -> None:
    evidence = Evidence()

    async def check(what: str, code: int, *arguments: str, **more: Any) -> None:
        said = await told(evidence, f"--check {what}", "--check", *arguments, code=code, **more)
        assert ("DATA_DIR" in said) == (code == 0), said

    scenes = {name: check(name, 0, DATABASE_URL=addressed(form)) for name, form in some(READABLE.items(), 2)}
    for name, form in some(DOUBTFUL.items(), 2):
        scenes[name] = check(name, 2, DATABASE_URL=addressed(form))
    query = f"user:{ENCODED}@peer.example/v1?api-key={quote(QUERY, safe='')}"
    scenes["addresses"] = check(
        "addresses", 0,
        OPENAI_REALTIME_URL=f"wss://{query}", TELNYX_API_BASE=f"https://user:{ENCODED}@a.example",
        TWILIO_API_BASE=f"https://user:{ENCODED}@a.example/v1",
        files={"tools.py": TOOLS},
    )  # fmt: skip
    await together(scenes)
    evidence.holds_none_of(ALL)


async def test_a_refusal_to_start_shows_no_key(some: Sample) -> None:
    doubtful = {name.upper(): f"https://user:12/{ENCODED}@peer.example" for name in ADDRESSES}
    anything: Mapping[str, tuple[list[str], dict[str, Any], dict[str, str]]] = {
        "keys as ports": ([], {"PORT": KEYS["console_token"], "CONSOLE_PORT": QUERY}, {}),
        "a key as --port": (["--port", KEYS["twilio_auth_token"]], {}, {}),
        "keys as hosts": ([], {"HOST": KEYS["telnyx_api_key"], "CONSOLE_HOST": KEYS["openai_api_key"]}, {}),
        "keys as words": ([], {"VOICE": KEYS["ngrok_auth_token"], "MODEL": KEYS["console_token"]}, {}),
        "keys as numbers": ([], dict.fromkeys(("ANSWER_SECONDS", "VAD_THRESHOLD", "SPEED", "LOG_LEVEL"), PASSWORD), {}),
        "doubtful addresses": ([], doubtful, {}),
        "unknown settings": (
            [],
            {"OPENAI_APIKEY": QUERY},
            {
                "settings.toml": f'telnyx_apikey = "{PASSWORD}"\nport = "{QUERY}"\n[profiles.a]\nspeed = "{QUERY}"\n',
                ".env": f"OPENAI_API_KY={QUERY}\nTWILIO_TOKEN={PASSWORD}\njust a line {PASSWORD}\n",
            },
        ),
        "a broken settings.toml": ([], {}, {"settings.toml": f'voice = "{PASSWORD}\nmodel = {QUERY}\n'}),
        "tools that fail with a key": (
            [], {}, {"tools.py": "import os\nraise RuntimeError(' '.join(os.environ.values()))\n"},
        ),
        "tools that are none": ([], {}, {"tools.py": f'tools = [{{"type": "remote", "authorization": "{QUERY}"}}]'}),
    }  # fmt: skip
    evidence = Evidence()

    async def refused(name: str, arguments: list[str], env: dict[str, Any], files: dict[str, str]) -> None:
        said = await told(evidence, name, *arguments, code=2, **env, files=files)
        assert "Traceback" not in said, said
        assert all(setting in said for setting in env if setting != "OPENAI_APIKEY"), said

    await together({name: refused(name, *rest) for name, rest in some(anything.items(), 2)})
    evidence.holds_none_of(ALL)


async def test_the_demo_and_the_help_show_no_key() -> None:
    """`scripts/demo` and `scripts/bench` are these commands."""
    evidence = Evidence()

    async def command(words: str) -> None:
        await told(evidence, words, *words.split(), code=0)

    await together(
        {words: command(words) for words in ("--help", "bench --help", "doctor --help", "demo --scenario dtmf")}
    )
    evidence.holds_none_of(ALL)


# A server with calls


def stream_secrets(telnyx: Telnyx, twilio: Twilio) -> Iterator[tuple[str, str]]:
    """The tokens of all media streams, as the carriers were told them."""
    for number, command in enumerate(telnyx.commands):
        if "stream_url" in command.body:
            yield f"Telnyx token {number}", command.body["stream_url"].rsplit("/", 1)[1].rsplit(".", 1)[1]
        if "stream_auth_token" in command.body:
            yield f"Telnyx secret {number}", command.body["stream_auth_token"]
    for number, delivery in enumerate(twilio.deliveries):
        for token in re.findall(r"media-stream/[0-9a-f]+\.\d+\.([\w-]{43})", str(delivery.body)):
            yield f"Twilio token {number}", token


@pytest.mark.proof
def test_a_server_with_calls_shows_no_key(some: Sample) -> None:
    """At the level debug, with a recording, tools that fail and the commands that read the history."""

    async def main(carrier: str) -> None:
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        telnyx, twilio = peers("https://phone.example" if carrier == "twilio" else address, address)
        turns = (Turn((Say("Hello.", noise(200, 1)), Call("whoami", {}))),)
        realtime = Realtime(script=Script(turns), pace=Pace.instant(), api_key=KEYS["openai_api_key"])
        evidence = Evidence()
        async with telnyx, twilio, realtime:
            env: dict[str, Any] = {
                "TELNYX_PUBLIC_KEY": telnyx.public_key, "TELNYX_API_BASE": telnyx.base_url,
                "TWILIO_API_BASE": twilio.base_url, "PUBLIC_BASE_URL": twilio.public, "PORT": port,
                "OPENAI_REALTIME_URL": f"{realtime.url}?api-key={quote(QUERY, safe='')}",
                "EVENTS_URL": f"http://user:{ENCODED}@127.0.0.1:{free_port()}/?key={quote(QUERY, safe='')}",
                "LOG_LEVEL": "debug", "RECORD": "true", "STREAM_GRACE_SECONDS": 0.2,
                "DRAIN_SECONDS": 0.2, "FAREWELL_SECONDS": 1,
            }  # fmt: skip
            files = {"tools.py": TOOLS}
            async with ran(evidence, "a server with calls", **env, PYTHONASYNCIODEBUG=1, files=files) as process:
                await process.public_port()
                call = await (telnyx if carrier == "telnyx" else twilio).ring()
                await call.wait_streaming()
                await call.phone.hears(0.1)
                await process.says("tool whoami failed: RuntimeError: (not shown")
                await process.says("has not arrived at EVENTS_URL")
                (name,) = await on_record(process, 1)
                console = f"http://127.0.0.1:{await process.console_port()}"
                for path in ("/health", "/api/calls", f"/api/calls/{name}"):
                    await evidence.ask(f"{console}{path}", token=KEYS["console_token"])
                await call.hang_up()
                await says_on_record(process, name, '"ended"')
                await everything(evidence, process, [name])
                await told(evidence, "doctor", "doctor", **env, files=files)
                await process.stop()
                await process.ended(noisy=True)
                later = {**env, "DATA_DIR": process.folder / "data"}
                await mcp(evidence, process.folder, **later)
                saved = process.folder / "saved.jsonl"
                commands = (
                    (0, ["calls"]), (0, ["replay", name]), (1, ["replay", "nonsense"]),
                    (2, ["calls", "--since", "nonsense"]),
                )  # fmt: skip
                for code, words in [(0, ["calls", name, "--save", str(saved)]), *some(commands, 2)]:
                    await told(evidence, " ".join(words), *words, **later, code=code)
                evidence.add("saved.jsonl", saved.read_bytes())
            for what in ("(media_started", "RIFF", "SQLite format 3", "orders.example"):
                assert evidence.holds(what), f"{what} is not among what was searched"
            streams = dict(stream_secrets(telnyx, twilio))
            assert streams, "no stream was asked for"
            evidence.holds_none_of(ALL | streams)

    for carrier in ("telnyx", *some(("twilio",), 3)):
        run(main(carrier))


async def test_carriers_that_repeat_all_they_are_told_make_no_key_known() -> None:
    """Their errors hold our headers and bodies."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    telnyx, twilio = peers(address)
    realtime = Realtime(pace=Pace.instant(), api_key=KEYS["openai_api_key"])
    evidence = Evidence()
    async with telnyx, twilio, realtime, parrot() as carriers:
        env: dict[str, Any] = {
            "TELNYX_PUBLIC_KEY": telnyx.public_key, "TELNYX_API_BASE": f"http://{carriers}/v2",
            "TWILIO_API_BASE": f"http://{carriers}", "PUBLIC_BASE_URL": address, "PORT": port, "LOG_LEVEL": "debug",
            "OPENAI_REALTIME_URL": realtime.url, "COMMAND_RETRIES": 1, "DRAIN_SECONDS": 0.2, "RECONCILE_SECONDS": 1,
            "TELNYX_CONNECTION_ID": "1555010000000000001", "TWILIO_AFTER_TEXT": "Goodbye.",
        }  # fmt: skip
        async with ran(evidence, "a server among parrots", **env) as process:
            await process.public_port()
            for carrier in (telnyx, twilio):
                await carrier.ring()
            calls = await on_record(process, 2)
            await process.says("answer failed: HTTP 422 (not shown")
            await process.says("telnyx does not list its live calls: HTTP 422 (not shown")
            await process.says("twilio does not list its live calls: HTTP 422 (not shown")
            await everything(evidence, process, calls)
            await told(evidence, "doctor", "doctor", **env, code=1)
        assert evidence.holds("command_failed"), "what the carrier said is not on record"
        evidence.holds_none_of(ALL | dict(stream_secrets(telnyx, twilio)) | dict(_asked(evidence)))


async def test_a_model_that_refuses_us_with_our_own_key_makes_it_known_to_nobody() -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    telnyx, twilio = peers(address)
    evidence = Evidence()
    async with telnyx, twilio, parrot(401) as model:
        env: dict[str, Any] = {
            "TELNYX_PUBLIC_KEY": telnyx.public_key, "TELNYX_API_BASE": telnyx.base_url,
            "TWILIO_API_BASE": twilio.base_url, "PUBLIC_BASE_URL": address, "PORT": port, "LOG_LEVEL": "debug",
            "OPENAI_REALTIME_URL": f"ws://user:{ENCODED}@{model}/v1/realtime?api-key={quote(QUERY, safe='')}",
            "DRAIN_SECONDS": 0.2, "FAREWELL_SECONDS": 0.5,
        }  # fmt: skip
        files = {"tools.py": TOOLS}
        async with ran(evidence, "a server with a parrot for a model", **env, files=files) as process:
            await process.public_port()
            for carrier in (telnyx, twilio):
                await (await carrier.ring()).wait_ended(15)
            calls = await on_record(process, 2)
            for call in calls:
                await says_on_record(process, call, "the engine refused the connection: HTTP 401")
            await everything(evidence, process, calls)
            await told(evidence, "doctor", "doctor", **env, files=files, code=1)
        evidence.holds_none_of(ALL | dict(stream_secrets(telnyx, twilio)))


async def test_a_carrier_that_tells_a_streams_address_puts_it_on_no_record() -> None:
    """By webhook, about a stream that failed: of a call that lives, and of one that nobody knows any more."""
    evidence = Evidence()
    async with product() as the:
        call = await the.telnyx.ring()
        await call.wait_streaming()
        command = next(one for one in the.telnyx.commands if one.action == "answer")
        url, secret = command.body["stream_url"], the.call._streams.secret
        ids = {"call_control_id": call.control_id, "call_leg_id": call.leg_id, "call_session_id": call.session_id}
        for about in (ids, {**ids, "call_control_id": "v3:gone", "call_leg_id": "gone"}):
            for reason in (f"no connection to {url}", url.rsplit("/", 1)[1], f"wrong token {secret}"):
                said = {**about, "failure_reason": reason, "stream_params": {"stream_url": url}}
                await tell(the, "streaming.failed", said)
        await the.until(lambda: the.happened("stream_failed"), "the failure to be on record")
        secrets = {"token": url.rsplit(".", 1)[1], "second secret": secret}
        await call.hang_up()
        await the.quiet()
        for name in the.app.journal.calls():
            evidence.add(f"record of {name}", repr(the.app.journal.read(name)))
        assert evidence.holds("stream_failed")
        evidence.holds_none_of(secrets)


def _asked(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Any token of a stream."""
    for where, data in evidence.found:
        for token in re.findall(rb"[0-9a-f]{32}\.\d+\.([\w-]{43})", data):
            yield f"a stream's token ({where})", token.decode()


@pytest.mark.proof
async def test_a_database_in_trouble_makes_no_password_known(some: Sample) -> None:
    """It cannot be reached; or it says what password it was given, and that it does not like it."""

    async def scene(evidence: Evidence, name: str, form: str, port: int) -> None:
        telnyx, _ = peers("http://127.0.0.1:9")
        realtime = Realtime(pace=Pace.instant(), api_key=KEYS["openai_api_key"])
        async with telnyx, realtime:
            env: dict[str, Any] = {
                "TELNYX_PUBLIC_KEY": telnyx.public_key, "TELNYX_API_BASE": telnyx.base_url, "LOG_LEVEL": "debug",
                "OPENAI_REALTIME_URL": realtime.url, "DRAIN_SECONDS": 0.2,
                "DATABASE_URL": addressed(form).replace(":9/", f":{port}/"),
            }  # fmt: skip
            async with ran(evidence, f"a server without its record, {name}", **env) as process:
                telnyx.webhook_url = f"http://127.0.0.1:{await process.public_port()}/webhooks"
                await process.says("THE HISTORY CANNOT BE OPENED")
                call = await telnyx.ring()
                await call.wait_streaming()
                await call.hang_up()
                await everything(evidence, process, await names(process))
                await mcp(evidence, process.folder, **env)
                await told(evidence, f"calls, {name}", "calls", **env, code=2)

    evidence = Evidence()
    async with talkative_database() as port:
        forms = [("nobody there", READABLE["in the query and the user's part"], 9)]
        forms += [(name, form, port) for name, form in some(READABLE.items(), 2)]
        await together({name: scene(evidence, name, form, where) for name, form, where in forms})
    for where in (9, port):
        host = f"postgresql://127.0.0.1:{where}/calls"
        assert evidence.holds(host), f"{host} is what may be shown, and is not"
    evidence.holds_none_of(ALL)


async def test_what_is_shown_of_a_key_is_four_characters() -> None:
    """The last four, of the long ones: enough to tell one from another."""
    said = await told(Evidence(), "--check", "--check", code=0)
    for name, secret in KEYS.items():
        (row,) = (line for line in said.splitlines() if line.startswith(f" {name.upper()} "))
        assert f"set (…{secret[-4:]})" in row
        assert secret[-5:] not in said

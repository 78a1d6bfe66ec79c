"""`sandbox telnyx|twilio --target URL`: rings a server as the carrier would, and reports what it did."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from callflow.contracts import printable
from callflow.media.g711 import BYTES_PER_MS, FRAME_BYTES, FRAME_MS
from callflow.sandbox.common.phone import Phone, is_loud


FROM, TO = "+15550100001", "+15550100002"
SECONDS: Final = 20.0
ANSWER_SECONDS: Final = 30.0
"""So long the caller lets it ring."""
_END_SECONDS: Final = 5.0
"""So long the server may take to answer what it is told of the end."""
_GREETING_SECONDS: Final = 4.0
"""A caller who hears nothing speaks after so long."""
_GIVES_UP_SECONDS: Final = 3.0
"""The caller waits so much longer when no webhook was taken; the carrier tries again within less."""
_PAUSE_MS: Final = 700
_VERB: Final = re.compile(r"<([A-Z][A-Za-z]*)")
_MOST_SHOWN: Final = 160
_SOCKET_CLOSED: Final = 31921
"""Twilio's error for a media socket that the server closes, which is also a way to end a call."""


class Emulated(Protocol):
    """What is used of an emulated carrier."""

    @property
    def deliveries(self) -> list[Any]: ...

    @property
    def commands(self) -> list[Any]: ...

    async def ring(self, *, from_number: str, to_number: str, phone: Phone) -> Any: ...


@dataclass(frozen=True)
class Ring:
    """What the caller does."""

    target: str
    carrier: str
    """"telnyx" or "twilio"."""
    from_number: str = FROM
    to_number: str = TO
    voice: bytes = b""
    """What they say, in µ-law: behind the greeting, or soon where there is none. b"": nothing."""
    seconds: float = SECONDS
    """They hang up so long after the answer."""


async def ring(carrier: Emulated, how: Ring) -> bool:
    """Make the call and print its report. Returns whether it was answered and ended without a fault."""
    print(f"{how.from_number} rings {how.to_number} at {how.target}\n", flush=True)
    phone = Phone()
    leg = await carrier.ring(from_number=how.from_number, to_number=how.to_number, phone=phone)
    caller = asyncio.create_task(_speak(leg, phone, how.voice), name="caller")
    try:
        if await _is_answered(carrier, leg):
            await _within(how.seconds, leg.wait_ended)
        if leg.ended_at is None:
            await leg.hang_up()
        await _told(carrier)
    finally:
        caller.cancel()
    for at, text in sorted(_events(carrier, leg), key=lambda event: event[0]):
        print(f"{max(at - leg.started_at, 0.0):7.2f} s  {printable.line(text)[:_MOST_SHOWN]}")
    print(f"\n{summary(leg)}")
    found = problems(carrier, leg, how)
    print("\n".join(f"- {printable.line(problem)}" for problem in found) if found else "Nothing was wrong.", flush=True)
    return not found


async def _is_answered(carrier: Emulated, leg: Any) -> bool:
    """Wait for the answer, as long as there is hope for one."""
    deadline = monotonic() + ANSWER_SECONDS
    while monotonic() < deadline and leg.ended_at is None:
        if await _within(0.5, leg.wait_answered):
            return True
        if all(each.latency is not None and not each.ok for each in carrier.deliveries):
            last = max((each.at for each in carrier.deliveries), default=leg.started_at)
            if monotonic() - last > _GIVES_UP_SECONDS:
                return False
    return leg.answered_at is not None


async def _within(seconds: float, wait: Any) -> bool:
    try:
        await wait(seconds)
    except TimeoutError:
        return False
    return True


async def _speak(leg: Any, phone: Phone, voice: bytes) -> None:
    """Say what is to be said when the greeting is over."""
    if not voice:
        return
    await leg.wait_streaming(ANSWER_SECONDS + _GREETING_SECONDS)
    since = monotonic()
    if await _within(_GREETING_SECONDS, lambda seconds: phone.hears(0.1, seconds, since)):
        await _within(60.0, lambda seconds: phone.hears_silence(_PAUSE_MS, seconds))
    phone.say(voice)


async def _told(carrier: Emulated) -> None:
    """Wait until the server has answered what it was told, and has said what it still has to say."""
    deadline = monotonic() + _END_SECONDS
    await asyncio.sleep(0.3)
    while monotonic() < deadline and any(each.latency is None for each in carrier.deliveries):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


# The report


def _events(carrier: Emulated, leg: Any) -> Iterator[tuple[float, str]]:
    """Everything that happened, each with its time."""
    yield from leg.history
    for each in carrier.deliveries:
        yield each.at, f"webhook {_named(each)}: {_answer(each)}"
    for each in carrier.commands:
        yield each.at, f"request {_asked(each)}: {_result(each)}"
    if (at := first_sound(leg.phone)) is not None:
        yield at, "the caller hears the first sound"
    if leg.phone.said:
        yield leg.phone.said[0].at, "the caller speaks"
    if (at := answer_heard(leg.phone)) is not None:
        yield at, "the caller hears the answer"


def _named(delivery: Any) -> str:
    kind = getattr(delivery, "event_type", None)
    name = str(kind or f"{delivery.kind} {delivery.params.get('CallStatus', '')}".strip())
    return name if delivery.attempt == 1 else f"{name}, attempt {delivery.attempt}"


def _answer(delivery: Any) -> str:
    if delivery.status is None:
        return delivery.error or "not answered"
    verbs = [verb for verb in _VERB.findall(getattr(delivery, "body", "")) if verb != "Response"]
    document = f", <{'>, <'.join(verbs)}>" if verbs else ""
    return f"HTTP {delivery.status} after {1000 * (delivery.latency or 0.0):.0f} ms{document}"


def _asked(command: Any) -> str:
    return f"{command.method} …/{command.path.rpartition('/')[2]}"


def _result(command: Any) -> str:
    if command.status is None:
        return "not answered"
    return f"HTTP {command.status}" + (f", {_refusal(command)}" if command.status >= 400 else "")


def _refusal(command: Any) -> str:
    answer = command.response if isinstance(command.response, dict) else {}
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else answer
    return str(first.get("detail") or first.get("message") or "refused")


def first_sound(phone: Phone, since: float = 0.0) -> float | None:
    """Return when the phone played the first sound from a time on, in seconds of `time.monotonic`; None: it played
    none."""
    found: list[float] = []
    for line in phone.lines.values():
        for segment in line.segments:
            audio = bytes(segment.audio)
            times = ((n, segment.at + n / BYTES_PER_MS / 1000) for n in range(0, len(audio), FRAME_BYTES))
            loud = (at for n, at in times if at >= since and is_loud(audio[n : n + FRAME_BYTES]))
            if (at := next(loud, None)) is not None:
                found.append(at)
                break
    return min(found, default=None)


def answer_heard(phone: Phone) -> float | None:
    """Return when the phone played the first sound after the caller's last word, in seconds of `time.monotonic`; None:
    they said nothing, or it played none."""
    return first_sound(phone, phone.said[-1].ends) if phone.said else None


def summary(leg: Any) -> str:
    """Return in a line what the caller has had of it."""
    if leg.answered_at is None:
        return "Not answered."
    parts = [f"Answered after {leg.answered_at - leg.started_at:.2f} s"]
    at = first_sound(leg.phone)
    parts.append("no sound was heard" if at is None else f"first sound {at - leg.answered_at:.2f} s after that")
    if (answer := answer_heard(leg.phone)) is not None:
        parts.append(f"an answer {answer - leg.phone.said[-1].ends:.2f} s after the caller's last word")
    elif leg.phone.said:
        parts.append("no answer to what the caller said")
    parts.append(f"{leg.phone.loud_ms(leg.started_at) // FRAME_MS * FRAME_MS / 1000:.1f} s of sound in all")
    who = {"product": "the server hung up", "caller": "the caller hung up"}.get(leg.ended_by, "the carrier ended it")
    return f"{', '.join([*parts, who])}."


def problems(carrier: Emulated, leg: Any, how: Ring) -> list[str]:
    """Return what the server did not do as it should, and what to do about it; []: all is well."""
    found = list(_unanswered(carrier, leg, how))
    refused = [each for each in carrier.commands if each.status is not None and each.status >= 400]
    found += [
        f"request {_asked(each)} was refused ({each.status}): {_refusal(each)}{_key(each, how)}" for each in refused
    ]
    found += [f"error {code}: {detail}" for code, detail in getattr(leg, "errors", ()) if code != _SOCKET_CLOSED]
    for stream in leg.streams:
        url = stream.options.url
        failed = [what for _, what in leg.history if what.startswith("media socket failed")]
        found += [f"{what}; the stream was to go to {urlsplit(url)._replace(query='').geturl()}" for what in failed]
    for stream in leg.streams:
        found += [f"media frames: error {code}: {detail}" for code, detail in stream.errors[:3]]
    if leg.answered_at is not None and leg.ended_by == "carrier" and not found and how.carrier == "telnyx":
        found.append("the carrier ended the call: the server neither hung up nor let the caller do so")
    return list(dict.fromkeys(found))


def _unanswered(carrier: Emulated, leg: Any, how: Ring) -> Iterator[str]:
    """What was wrong with the webhooks, the last attempt at each of them, and why nobody took the call."""
    last = {_key_of(each): each for each in carrier.deliveries}
    for each in last.values():
        if each.ok:
            continue
        name = _named(each)
        if each.status is None:
            advice = "it must answer within the limit"
            if (each.error or "").startswith("Connect"):
                is_target = urlsplit(each.url).netloc == urlsplit(how.target).netloc
                advice = "start the server there, or correct --target" if is_target else _elsewhere(each.url)
            yield f"webhook {name}: {each.error or 'not answered in time'}; {advice}"
        elif each.status in (400, 401, 403):
            yield f"webhook {name}: refused with HTTP {each.status}; {_signature(how)}"
        elif each.status == 404:
            yield f"webhook {name}: HTTP 404; correct the path of {each.url}"
        else:
            yield f"webhook {name}: HTTP {each.status}; the server's log says why"
    if leg.answered_at is not None:
        return
    if how.carrier == "telnyx" and not carrier.commands and all(each.ok for each in last.values()):
        yield (
            "the server took the webhook, and asked nothing of Telnyx: it has to call the emulated one. In Callflow"
            " that is TELNYX_API_BASE as printed above; in another server, the base URL of its Telnyx client"
        )
    else:
        yield "the call was not answered"


def _key_of(delivery: Any) -> tuple[str, ...]:
    event = getattr(delivery, "event_id", None)
    return (event,) if event else (delivery.kind, delivery.url, str(delivery.params.get("CallStatus")))


def _elsewhere(url: str) -> str:
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc}"
    return f"the server asked for {address}: if that is its public address, give --public-url {address}"


def _signature(how: Ring) -> str:
    if how.carrier == "telnyx":
        return "give the server TELNYX_PUBLIC_KEY as printed above, or its own key to --api-key"
    return (
        "give the server the account and token printed above, or its own with --account-sid and --auth-token; and its"
        " public address, over which requests are signed, with --public-url"
    )


def _key(command: Any, how: Ring) -> str:
    if command.status != 401:
        return ""
    return f"; the server must send {'its key as printed above' if how.carrier == 'telnyx' else 'account and token'}"


# The carriers


async def ring_telnyx(
    how: Ring, *, host: str = "127.0.0.1", port: int = 6100, api_key: str | None = None, public_url: str = ""
) -> bool:
    """Ring a server as Telnyx. Raises OSError if the port is taken.

    `public_url`: the address that it tells Telnyx to use, which leads to the target; "": none but the target's.
    """
    from callflow.sandbox import telnyx

    key = api_key or telnyx.DEFAULT_API_KEY
    async with telnyx.Telnyx(webhook_url=how.target, api_key=key, host=host, port=port, signing=key) as carrier:
        if public_url:
            carrier.exchange.webhooks.hosts[urlsplit(public_url).netloc] = _origin(how.target)
        _print_settings({**carrier.settings(), "telnyx_connection_id": telnyx.CONNECTION_ID})
        return await ring(carrier, how)


async def ring_twilio(
    how: Ring,
    *,
    host: str = "127.0.0.1",
    port: int = 6200,
    public_url: str = "",
    status_url: str = "",
    account_sid: str | None = None,
    auth_token: str | None = None,
) -> bool:
    """Ring a server as Twilio. Raises OSError if the port is taken.

    `public_url`: the address over which it checks signatures; "": that of the target.
    """
    from callflow.sandbox import twilio

    parts, origin = urlsplit(how.target), _origin(how.target)
    public = (public_url or origin).rstrip("/")
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    given = {"account_sid": account_sid, "auth_token": auth_token}
    options = {name: value for name, value in given.items() if value}
    carrier = twilio.Twilio(public, voice=path, status=status_url, host=host, port=port, **options)  # type: ignore[arg-type]
    if public != origin or parts.scheme == "http":
        carrier.hosts[urlsplit(public).netloc] = origin  # a stream's wss:// leads there, too, without TLS if it is http
    async with carrier:
        _print_settings(carrier.settings())
        return await ring(carrier, how)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _print_settings(settings: dict[str, str]) -> None:
    lines = "".join(f"{name.upper()}={value}\n" for name, value in settings.items())
    print(f"The server needs these settings, or the same under its own names:\n\n{lines}", flush=True)

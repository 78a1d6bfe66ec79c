"""What each case of the drill has to itself: a carrier, a model, servers with a history, and a caller."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

from callflow.cli.drill.hearing import Sound, heard, longest_silence
from callflow.cli.drill.line_server import LineServer
from callflow.config.settings import Settings
from callflow.contracts.failover import Failover
from callflow.history.database import Database, url_of
from callflow.history.provisions import Provisions
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.exchange import Exchange
from callflow.sandbox.common.http_server import HttpServer, Request, Response, Tasks
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Realtime, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from callflow.switchboard.failover_service import FailoverService
from carriers.registry import make_carriers, page_without_server


OURS: Final = "+15550100002"
CALLER: Final = "+15550100001"
FALLBACK: Final = "+15550100010"
_HOST: Final = "phone.example"
_BACKUP: Final = "backup.example"
"""Twilio takes no streams without TLS, so that it knows the servers by names, which lead to this machine."""
_RING_SECONDS: Final = 1.0
_HEARD_MS: Final = 300
"""So much of somebody is enough to know that they are there."""
_MEDIA: Final = "media "
"""The beginning of the name of a stream's line at the telephone; its id follows."""
_POLL_SECONDS: Final = 0.02
_SETTINGS: Final[dict[str, Any]] = {
    "console_port": 0,
    "fallback_number": FALLBACK,
    "transfer_ring_seconds": 10,
    "log_level": "warning",
    "admission_lag_ms": 0,  # the machine of a drill is busy with other cases of it
}

Carrier = Telnyx | Twilio


@dataclass(slots=True)
class Outcome:
    """What a caller heard in one case."""

    sounds: list[Sound]
    silence_s: float
    """The longest silence until they were served."""
    served: str
    """By whom, or by what: the last thing that was heard; "": by nobody."""
    problem: str = ""
    """Why the case did not come to its end; "": it did."""


@dataclass
class Stage:
    """The parts of one case."""

    carrier: Carrier
    realtime: Realtime
    server: LineServer
    folder: Path
    settings: dict[str, Any]
    since: float = field(default_factory=monotonic)
    """When something was broken, or the call began, on the monotonic clock."""
    call: Any = None
    _open: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    def another_server(self, name: str) -> LineServer:
        """Return a second server, with the same history; it is killed with the stage."""
        host = _BACKUP if isinstance(self.carrier, Twilio) else ""
        made = LineServer(name, self.folder, self.settings, host)
        if isinstance(self.carrier, Twilio):
            self.carrier.hosts[host] = made.local
        self._open.push_async_callback(made.close)
        return made

    async def page(self) -> str:
        """Serve the document that `provision --twiml` prints from somewhere else, and return its address."""
        text = page_without_server(Settings(**self.settings))

        async def answer(_: Request) -> Response:
            return Response(200, text.encode(), {"Content-Type": "text/xml"})

        tasks = Tasks("page")
        web = HttpServer(answer, "127.0.0.1", 0, tasks)
        await web.start()
        self._open.push_async_callback(tasks.close)
        self._open.push_async_callback(web.close)
        return f"http://127.0.0.1:{web.port}/down.xml"

    async def provision(self, url: str, number: str) -> None:
        """Do what `server.py provision --yes` does, with these settings."""
        settings = Settings(**{**self.settings, "public_base_url": self.server.address})
        made = make_carriers(settings, lambda: self.server.address)
        database = Database(url_of("", str(self.folder)))
        try:
            await database.migrate()
            service = FailoverService(made, Provisions(database))
            for plan in await service.plan(Failover(self.server.address, url, lambda own: number)):
                for one in plan.provisions:
                    await service.apply(one)
        finally:
            for carrier in made:
                await carrier.close()
            await database.close()

    async def ring(self) -> None:
        """Begin a call."""
        self.since = monotonic()
        self.call = await self.carrier.ring(from_number=CALLER, to_number=OURS)

    async def talk(self) -> None:
        """Begin a call, and let the agent speak. Raises TimeoutError."""
        await self.ring()
        await self.call.wait_streaming(10)
        await self.call.phone.hears(0.5, 10, self.since)

    def broken(self) -> None:
        """Note that something has been broken just now."""
        self.since = monotonic()

    def hears_agent(self) -> bool:
        """Return whether a media stream has brought something since then."""
        lines = [name for name in self.call.phone.lines if name.startswith(_MEDIA)]
        return any(self.call.phone.loud_ms(self.since, source=name) > _HEARD_MS for name in lines)

    def hears_new_stream(self) -> bool:
        """Return whether a stream that was opened since then has brought something."""
        new = [stream for at, stream in self._streams() if at > self.since]
        return any(self.call.phone.loud_ms(source=f"{_MEDIA}{stream.stream_id}") > _HEARD_MS for stream in new)

    def _streams(self) -> Iterator[tuple[float, Any]]:
        """Yield when each stream that came about had begun, and the stream."""
        times = [at for at, what in self.call.history if what == "streaming"]
        yield from zip(times, [stream for stream in self.call.streams if stream.started], strict=False)

    def hears_person(self) -> bool:
        """Return whether a person at another number is heard."""
        others = [leg for leg in self.carrier.calls.values() if leg is not self.call]
        return any(self.call.phone.loud_ms(self.since, source=leg.voice) > _HEARD_MS for leg in others)

    async def outcome(self, condition: Callable[[], bool], seconds: float) -> Outcome:
        """Wait until the caller is served, at most so long, and return what they heard."""
        over, problem = self.since + seconds, ""
        while not condition() and self.call.ended_at is None and not problem:
            await asyncio.sleep(_POLL_SECONDS)
            if monotonic() > over:
                problem = f"nobody served the caller within {seconds:g} s"
        until = min(self.call.ended_at or monotonic(), monotonic())
        sounds = heard(self.call, self.since, until)
        if not problem and not condition():
            problem = "the call has ended"
        voices = [sound for sound in sounds if sound.what != "it rings"]
        served = voices[-1].what if voices else ""
        return Outcome(sounds, longest_silence(sounds, until - self.since), served, problem)


@contextlib.asynccontextmanager
async def stage(name: str, **settings: Any) -> AsyncIterator[Stage]:
    """Set up what a case needs; the server is not started yet."""
    script = Script.of(Turn.voice("agent/greeting"), otherwise=Turn.voice("agent/hours"))
    with tempfile.TemporaryDirectory(prefix="callflow-drill-") as place:
        folder = Path(place)
        realtime = Realtime(script=script)
        async with contextlib.AsyncExitStack() as opened:
            await opened.enter_async_context(realtime)
            given: dict[str, Any] = {
                **_SETTINGS, "openai_api_key": realtime.api_key, "openai_realtime_url": realtime.url, "data_dir": place,
            }  # fmt: skip
            server = LineServer("server", folder, given, _HOST if name == "twilio" else "")
            carrier: Carrier
            if name == "twilio":
                carrier = Twilio(server.address, voice="/")
                carrier.hosts[_HOST] = server.local
            else:
                carrier = Telnyx(webhook_url=f"{server.address}/webhooks")
            await opened.enter_async_context(carrier)
            given |= {key: value for key, value in carrier.settings().items() if key != "public_base_url"}
            given |= settings
            exchange: Exchange[Any, Any] = carrier.exchange
            carrier.number(OURS)
            exchange.callees[FALLBACK] = Callee(ring_s=_RING_SECONDS, says=tone(3000))
            made = Stage(carrier, realtime, server, folder, given, _open=opened)
            opened.push_async_callback(server.close)
            yield made

"""A way in for carriers to a machine that has no public address: ngrok, or cloudflared where only that is installed.

For trying things out. A line that people depend on wants an address of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any, Final

from callflow.contracts import Tunnel
from callflow.errors import TunnelError
from callflow.secrecy import Secrets


log = logging.getLogger(__name__)

_OPEN_SECONDS: Final = 30.0
"""The first time ngrok's own program is downloaded."""
_CLOSE_SECONDS: Final = 3.0
_CLOUDFLARED_URL: Final = re.compile(rb"https://[a-z0-9-]+\.trycloudflare\.com")


def choose(ngrok_token: str) -> Tunnel:
    """ngrok, unless cloudflared is installed, and neither ngrok nor a token for it is there."""
    if not ngrok_token and not shutil.which("ngrok") and shutil.which("cloudflared"):
        return Cloudflared()
    return Ngrok(ngrok_token)


class Ngrok:
    """Through pyngrok, which starts ngrok's program, and downloads it where it is not installed."""

    name = "ngrok"

    def __init__(self, token: str = "") -> None:
        self._token = token
        self._config: Any = None

    async def open(self, port: int) -> str:
        # here: whoever needs no tunnel does not wait for it to be loaded
        from pyngrok import ngrok
        from pyngrok.conf import PyngrokConfig
        from pyngrok.exception import PyngrokError

        logging.getLogger("pyngrok").setLevel(logging.WARNING)  # it tells its command line, and the token in it
        self._config = PyngrokConfig(ngrok_path=shutil.which("ngrok"), startup_timeout=int(_OPEN_SECONDS))
        self._config.auth_token = None  # it would stand in the command line, which everybody on this machine can read
        try:
            async with asyncio.timeout(_OPEN_SECONDS + 5):
                with _environment("NGROK_AUTHTOKEN", self._token):
                    opened = await asyncio.to_thread(
                        ngrok.connect, f"http://127.0.0.1:{port}", pyngrok_config=self._config
                    )
        except (PyngrokError, OSError, TimeoutError) as error:
            await self.close()
            raise TunnelError(_ngrok_advice(str(error) or type(error).__name__, self._token)) from None
        return str(opened.public_url).replace("http://", "https://", 1).rstrip("/")

    async def close(self) -> None:
        if self._config is None:
            return
        from pyngrok import ngrok

        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.to_thread(ngrok.kill, self._config)
        except Exception as error:  # the process ends with us in any case
            log.warning("the tunnel did not close cleanly: %r", error)
        self._config = None


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """For the programs that are started within; "": it stays as it is."""
    before = os.environ.get(name)
    if value:
        os.environ[name] = value
    try:
        yield
    finally:
        if value and before is None:
            del os.environ[name]
        elif value and before is not None:
            os.environ[name] = before


def _ngrok_advice(said: str, token: str) -> str:
    is_of_token = "ERR_NGROK_4018" in said or "authtoken" in said.lower() or not token
    said = Secrets([token]).told(" ".join(said.split()))[:300]  # ngrok repeats a token that it does not like
    if is_of_token:
        advice = "put your authtoken from dashboard.ngrok.com into .env as NGROK_AUTH_TOKEN"
    else:
        advice = "check that this machine reaches the internet, or set PUBLIC_BASE_URL and start without --public"
    return f"ngrok opened no tunnel ({said}): {advice}"


class Cloudflared:
    """cloudflared's quick tunnels, which need no account."""

    name = "cloudflared"

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self, port: int) -> str:
        program = ("cloudflared", "tunnel", "--no-autoupdate", "--url", f"http://127.0.0.1:{port}")
        said = b""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *program, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
            assert self._process.stderr is not None
            async with asyncio.timeout(_OPEN_SECONDS):
                while line := await self._process.stderr.readline():
                    said = line
                    if (found := _CLOUDFLARED_URL.search(line)) is not None:
                        self._reading = asyncio.create_task(_drain(self._process.stderr), name="cloudflared's log")
                        return found[0].decode()
        except (OSError, TimeoutError, ValueError) as error:
            said = said or repr(error).encode()
        await self.close()
        raise TunnelError(
            f"cloudflared opened no tunnel ({said.decode(errors='replace').strip()[:200]}): check that this machine"
            " reaches the internet, or set PUBLIC_BASE_URL and start without --public"
        )

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._process = None


async def _drain(stream: asyncio.StreamReader) -> None:
    """A program whose output nobody reads stops."""
    with contextlib.suppress(ValueError):
        while await stream.readline():
            pass

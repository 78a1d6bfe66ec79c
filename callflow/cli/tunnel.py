"""Tunnels for a machine that has no public address: ngrok, or cloudflared if only that is installed.

They are for trials. A line that people depend on needs an address of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from callflow.contracts.errors import TunnelError
from callflow.contracts.secret_text import Secrets
from callflow.contracts.tunnel import Tunnel


log = logging.getLogger(__name__)

_OPEN_SECONDS: Final = 30.0
_DOWNLOAD_SECONDS: Final = 180.0
_CLOSE_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether the program of a tunnel still runs."""
_CLOUDFLARED_URL: Final = re.compile(rb"https://(?!api\.)[a-z0-9-]+\.trycloudflare\.com")
"""A tunnel's address; that of the API stands in the message of a tunnel that could not be made."""


_NETWORK: Final = re.compile(
    r"no such host|\bdial|\blookup |time(d )?[ -]?out|name resolution|name or service|getaddrinfo|nodename nor servname"
    r"|connection (refused|reset|aborted)|unreachable|no route|urlopen|x509|certificate|\btls\b|\bproxy",
    re.IGNORECASE,
)
"""Matches the messages of programs that do not reach the network."""
_OF_TOKEN: Final = frozenset({"ERR_NGROK_105", "ERR_NGROK_106", "ERR_NGROK_107", "ERR_NGROK_4018"})
_NOT_INSTALLED: Final = (
    "ngrok is not installed: install it (https://ngrok.com/download), or set NGROK_DOWNLOAD=true to have it downloaded,"
    " or set PUBLIC_BASE_URL and start without --public"
)


def choose(ngrok_token: str, download: bool = False) -> Tunnel:
    """Return an ngrok tunnel; one of cloudflared if that is installed and there is neither ngrok nor a token for it."""
    if not ngrok_token and not _ngrok_program() and shutil.which("cloudflared"):
        return Cloudflared()
    return Ngrok(ngrok_token, download)


def must_ask(ngrok_token: str) -> bool:
    """Tell whether the tunnel needs ngrok's program and it is not installed."""
    return choose(ngrok_token).name == Ngrok.name and not _ngrok_program()


def ask() -> bool:
    """Ask at the terminal whether to download ngrok. Raises TunnelError after a no, or if there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise TunnelError(_NOT_INSTALLED)
    from pyngrok.conf import PyngrokConfig

    where = PyngrokConfig().ngrok_path
    print(f"ngrok is not installed. Download it from ngrok.com to {where}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise TunnelError(_NOT_INSTALLED)
    return True


def _ngrok_program() -> str | None:
    """Where it is installed: by hand, or by an earlier download."""
    if found := shutil.which("ngrok"):
        return found
    # imported here, because it takes time
    from pyngrok.conf import PyngrokConfig

    path: str = PyngrokConfig().ngrok_path
    return path if os.access(path, os.X_OK) else None


class Ngrok:
    """A tunnel of ngrok's, through pyngrok, which starts ngrok's program.

    `download`: whether the program may be downloaded where it is not installed.
    """

    name = "ngrok"

    def __init__(self, token: str = "", download: bool = False) -> None:
        self._token = token
        self._download = download
        self._config: Any = None
        self._watching: asyncio.Task[None] | None = None

    async def open(self, port: int) -> str:
        """Open a tunnel to a local port. Returns its https URL. Raises TunnelError."""
        from pyngrok import ngrok
        from pyngrok.conf import PyngrokConfig
        from pyngrok.exception import PyngrokError
        from pyngrok.process import get_process

        # It tells its command line, and the token in it; what goes wrong is told by the error.
        logging.getLogger("pyngrok").setLevel(logging.CRITICAL)
        program = _ngrok_program()
        if program is None:
            await self._install()
        self._config = PyngrokConfig(ngrok_path=program, startup_timeout=int(_OPEN_SECONDS))
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
        logging.getLogger("pyngrok").setLevel(logging.WARNING)
        address = str(opened.public_url).replace("http://", "https://", 1).rstrip("/")
        process = get_process(self._config).proc
        self._watching = asyncio.create_task(_watch(lambda: process.poll() is not None, address), name="ngrok's end")
        return address

    async def _install(self) -> None:
        if not self._download:
            raise TunnelError(_NOT_INSTALLED)
        from pyngrok import installer
        from pyngrok.conf import PyngrokConfig
        from pyngrok.exception import PyngrokError

        print("Downloading ngrok …", file=sys.stderr)
        installer._print_progress_enabled = False  # it would write to standard output
        path = PyngrokConfig().ngrok_path
        try:
            async with asyncio.timeout(_DOWNLOAD_SECONDS):
                await asyncio.to_thread(installer.install_ngrok, path)
        except (PyngrokError, OSError, TimeoutError) as error:
            said = _root(error)
            whose = "check that this machine reaches the internet" if _NETWORK.search(said) else "try again"
            raise TunnelError(
                f"ngrok could not be downloaded ({said}): {whose}, or install it yourself (https://ngrok.com/download)"
            ) from None

    async def close(self) -> None:
        """Close the tunnel."""
        if self._watching is not None:
            self._watching.cancel()
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


def _root(error: BaseException) -> str:
    """Return the message of the first cause."""
    while error.__context__ is not None:
        error = error.__context__
    said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(said.split())[:300]


def _ngrok_advice(said: str, token: str) -> str:
    code = next(iter(re.findall(r"ERR_NGROK_\d+", said)), "")
    network = not code and _NETWORK.search(said)
    if network:
        advice = "check that this machine reaches the internet, or set PUBLIC_BASE_URL and start without --public"
    elif code in _OF_TOKEN or (not code and "authtoken" in said.lower()):
        advice = "put your authtoken from dashboard.ngrok.com into .env as NGROK_AUTH_TOKEN"
    elif code:
        advice = f"https://ngrok.com/docs/errors/{code.lower()} tells what to do"
    else:
        advice = "try `ngrok http 6000` by itself, or set PUBLIC_BASE_URL and start without --public"
    said = Secrets([token]).safe_text(" ".join(said.split()))[:300]  # ngrok repeats a token that it does not like
    return f"ngrok {'does not reach its servers' if network else 'opened no tunnel'} ({said}): {advice}"


class Cloudflared:
    """A quick tunnel of cloudflared's, which needs no account."""

    name = "cloudflared"

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def open(self, port: int) -> str:
        """Open a tunnel to a local port. Returns its https URL. Raises TunnelError."""
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
                        address = found[0].decode()
                        self._watching = asyncio.create_task(_read(self._process, address), name="cloudflared's log")
                        return address
        except (OSError, TimeoutError, ValueError) as error:
            said = said or repr(error).encode()
        await self.close()
        raise TunnelError(
            f"cloudflared opened no tunnel ({said.decode(errors='replace').strip()[:200]}): check that this machine"
            " reaches the internet, or set PUBLIC_BASE_URL and start without --public"
        )

    async def close(self) -> None:
        """Close the tunnel."""
        if self._watching is not None:
            self._watching.cancel()
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


async def _read(process: asyncio.subprocess.Process, address: str) -> None:
    """Read and drop the output, because the program would stop when its pipe is full; tell when it has ended."""
    assert process.stderr is not None
    with contextlib.suppress(ValueError):
        while await process.stderr.readline():
            pass
    await _watch(lambda: process.returncode is not None, address)


async def _watch(has_ended: Callable[[], bool], address: str) -> None:
    """Tell when the program of the tunnel has ended. It is not started again: its address would be another one."""
    while not has_ended():  # noqa: ASYNC110 - a process of another library, without an event
        await asyncio.sleep(_LOOK_SECONDS)
    await asyncio.sleep(_LOOK_SECONDS)  # Ctrl-C ends it together with us
    log.error("the tunnel has ended: no new call reaches %s. Restart the server, which opens another one", address)

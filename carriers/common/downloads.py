"""Loads the sound of a recording from a carrier, piece by piece, and from no other host than those that may have it.

A carrier's API answers with a redirect or a link to a store of files. Hosts are looked at before each request, and
credentials go to the API's own host alone. An address of a store is as good as a password: none is in an error or in
the log.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx

from callflow import runtime
from callflow.contracts.carrier import Download
from callflow.contracts.errors import CarrierError


_REDIRECTS: Final = 3
_AT_ONCE: Final = 8
_PIECE_SECONDS: Final = 10.0
"""For the next piece of a file."""
_MOST_SECONDS: Final = 1800.0
"""For a whole file, however slowly whoever listens takes it."""
_REDIRECT: Final = frozenset({301, 302, 303, 307, 308})
_RANGE: Final = re.compile(r"bytes=(?!-$)([0-9]{0,15})-([0-9]{0,15})")
_PASSED_ON: Final = ("content-length", "content-range", "accept-ranges")


class Downloads:
    """The files of one carrier."""

    def __init__(
        self,
        api_base: str,
        hosts: Sequence[str],
        *,
        auth: tuple[str, str] | None = None,
        seconds: float,
    ) -> None:
        """`api_base`: the API's address. `hosts`: others that may have files: `example.com`, or `.example.com` for all
        below it; of loopback addresses with their port, and by http. `auth`: user and password for the API's own host.
        `seconds`: from a request to the beginning of its answer."""
        self._own = urlsplit(api_base)
        self._hosts = tuple(host.lower() for host in hosts)
        self._auth = httpx.BasicAuth(*auth) if auth is not None else None
        self._seconds = seconds
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            # A cookie of one host would go to another port of it.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(seconds),
            limits=httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=0),
            verify=runtime.tls(),
        )

    async def open(self, url: str, byte_range: str = "") -> Download:
        """Request a file, and return it as soon as its answer begins. `byte_range`: as in the header Range;
        of a whole file that comes all the same, that range is taken.

        Raises CarrierError; `gone`: there is no such file, or not yet.
        """
        for _ in range(_REDIRECTS + 1):
            response = await self._request(url, byte_range)
            if response.status_code not in _REDIRECT:
                return await _checked(response, byte_range)
            await response.aclose()
            url = urljoin(url, response.headers.get("location", ""))
        raise CarrierError("the carrier redirects without end")

    async def _request(self, url: str, byte_range: str) -> httpx.Response:
        target = _split(url)
        is_own = (target.scheme, target.netloc.lower()) == (self._own.scheme, self._own.netloc.lower())
        if not is_own and not self._is_allowed(target):
            raise CarrierError(
                "the carrier keeps the recording at a host that is not allowed: RECORDING_HOSTS names further ones"
            )
        headers = {"Accept-Encoding": "identity", **({"Range": byte_range} if byte_range else {})}
        try:
            request = self._client.build_request("GET", url, headers=headers)
            async with asyncio.timeout(self._seconds):
                return await self._client.send(request, stream=True, auth=self._auth if is_own else None)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise CarrierError(f"no answer from the host of the recording ({type(error).__name__})") from None

    def _is_allowed(self, target: SplitResult) -> bool:
        host = (target.hostname or "").lower()
        if target.username or target.password:
            return False
        if _is_loopback(host):
            return target.netloc.lower() in self._hosts
        if target.scheme != "https" or target.port not in (None, 443):
            return False
        return any(host.endswith(each) if each.startswith(".") else host == each for each in self._hosts)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


async def _checked(response: httpx.Response, byte_range: str) -> Download:
    status = response.status_code
    if status not in (200, 206, 416):
        await response.aclose()
        what = f"the carrier does not give it away: HTTP {status}"
        raise CarrierError(what, status=status, gone=status in (404, 410))
    headers = {name: response.headers[name] for name in _PASSED_ON if name in response.headers}
    size, asked = headers.get("content-length", ""), _RANGE.fullmatch(byte_range)
    if status == 200 and asked and size.isdecimal():  # a store of files may know no ranges; players need them
        return _cut(response, int(size), *asked.groups())
    return Download(status, headers, _Pieces(response))


def _cut(response: httpx.Response, size: int, first: str, last: str) -> Download:
    """Return the range of an answer that is the whole file. `first` or `last` "": `bytes=500-`, `bytes=-500`."""
    begin = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if begin >= end:
        return Download(416, {"content-range": f"bytes */{size}"}, _Pieces(response))
    headers = {"content-length": str(end - begin), "content-range": f"bytes {begin}-{end - 1}/{size}"}
    return Download(206, headers, _Pieces(response, begin, end))


class _Pieces:
    """The body of an answer, or the bytes of it from `begin` to `end`."""

    def __init__(self, response: httpx.Response, begin: int = 0, end: int | None = None) -> None:
        self._response, self._begin, self._end = response, begin, end
        self._until = asyncio.get_running_loop().time() + _MOST_SECONDS

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = self._response.aiter_raw()
        clock = asyncio.get_running_loop().time
        at = 0
        while self._end is None or at < self._end:
            try:
                async with asyncio.timeout(min(_PIECE_SECONDS, max(self._until - clock(), 0.0))):
                    piece = await anext(pieces, b"")
            except (httpx.HTTPError, TimeoutError) as error:
                raise CarrierError(f"the carrier was too slow, or broke off ({type(error).__name__})") from None
            if not piece:
                return
            first, last = max(self._begin - at, 0), None if self._end is None else self._end - at
            at += len(piece)
            if wanted := piece[first:last]:
                yield wanted

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._response.aclose()


def _split(url: str) -> SplitResult:
    try:
        target = urlsplit(url)
        is_one = target.scheme in ("http", "https") and bool(target.hostname) and target.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        is_one = False
    if not is_one:
        raise CarrierError("the carrier names an address that cannot be read")
    return target


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

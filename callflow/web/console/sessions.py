"""Logins of browsers: what their cookie says, and whose it is.

The cookie is `ends.random.signature.name`: the name of a token, until when it counts, and an HMAC over both. The key is
made of the data folder's secret and the token, so that a login ends when its token is no longer configured, and lasts
over a restart; the token itself cannot be found from it. A logout is remembered until the process ends, for so many.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from callflow.web.console.identity import Operator


COOKIE: Final = "callflow_console"
SECONDS: Final = 12 * 3600
"""How long a login lasts."""
_MOST_ENDED: Final = 10_000
_LONGEST: Final = 400


class Sessions:
    """The tokens of all operators, and the logins with them."""

    def __init__(
        self,
        tokens: Sequence[tuple[bytes, Operator]],
        secret: bytes = b"",
        now: Callable[[], float] = time.time,
    ) -> None:
        """`tokens`: none, if none is needed. `secret`: the key of all signatures; b"": one of this process. `now`:
        returns Unix seconds."""
        self._tokens = list(tokens)
        secret = secret or secrets.token_bytes(32)
        self._keys = {
            holder.name: (hmac.digest(secret, b"login:" + token, "sha256"), holder) for token, holder in self._tokens
        }
        self._now = now
        self._ended: OrderedDict[str, float] = OrderedDict()

    @property
    def is_needed(self) -> bool:
        """Return whether a token is needed at all."""
        return bool(self._tokens)

    def holder_of_token(self, given: bytes) -> Operator | None:
        """Return whose this token is; None: nobody's. Takes as long whichever it is."""
        found: Operator | None = None
        for token, holder in self._tokens:
            if hmac.compare_digest(given, token):
                found = holder
        return found

    def begin(self, holder: Operator) -> str:
        """Return the value of a cookie for this holder of a token."""
        signed = f"{int(self._now()) + SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{signed}.{self._signature(signed, holder.name)}.{holder.name}"

    def holder(self, cookie: str) -> Operator | None:
        """Return whose login this cookie is, and until when; None: it is none, or has ended."""
        parts = cookie.split(".", 3)
        if len(parts) != 4 or len(cookie) > _LONGEST or not cookie.isascii():
            return None
        ends, random, signature, name = parts
        if name not in self._keys:
            return None
        right = self._signature(f"{ends}.{random}", name)
        if not hmac.compare_digest(signature.encode(), right.encode()):
            return None
        if not self._now() < int(ends) or random in self._ended:  # a number, because it was signed
            return None
        return replace(self._keys[name][1], until=float(ends))

    def end(self, cookie: str) -> None:
        """End the login of this cookie, wherever it is kept. What is none is ignored."""
        if self.holder(cookie) is None:
            return
        ends, random, *_ = cookie.split(".", 3)
        self._ended[random] = float(ends)
        now = self._now()
        while self._ended and (len(self._ended) > _MOST_ENDED or next(iter(self._ended.values())) <= now):
            self._ended.popitem(last=False)

    def _signature(self, signed: str, name: str) -> str:
        digest = hmac.new(self._keys[name][0], f"{signed}.{name}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

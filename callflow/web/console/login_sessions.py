"""Logins of browsers: what their cookie says, and whose it is.

The cookie is `ends.random.signature.name`: the name of a token, until when it counts, and an HMAC over both. The key is
made of the token and of a secret that all processes with this history share. So a login ends when its token is no
longer configured, lasts over a restart and holds at every node. The token itself cannot be found from it. A logout is
remembered by each process that was told of it, until it ends, for so many; the browser forgets its cookie in any case.
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


class LoginSessions:
    """The tokens of all operators, and the logins with them."""

    def __init__(
        self,
        tokens: Sequence[tuple[bytes, Operator]],
        secrets_now: Callable[[], Sequence[bytes]] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`tokens`: none, if none is needed. `secrets_now`: returns the secret of all signatures, and then those of
        before, which still hold; None: one of this process. `now`: returns Unix seconds."""
        self._tokens = list(tokens)
        own = secrets.token_bytes(32)
        self._secrets_now = secrets_now or (lambda: [own])
        self._by_name = {holder.name: (token, holder) for token, holder in self._tokens}
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
        return f"{signed}.{self._signatures(signed, holder.name)[0]}.{holder.name}"

    def holder(self, cookie: str) -> Operator | None:
        """Return whose login this cookie is, and until when; None: it is none, or has ended."""
        parts = cookie.split(".", 3)
        if len(parts) != 4 or len(cookie) > _LONGEST or not cookie.isascii():
            return None
        ends, random, signature, name = parts
        if name not in self._by_name:
            return None
        right = self._signatures(f"{ends}.{random}", name)
        fits = [hmac.compare_digest(signature.encode(), each.encode()) for each in right]
        if not any(fits):
            return None
        if not self._now() < int(ends) or random in self._ended:  # a number, because it was signed
            return None
        return replace(self._by_name[name][1], until=float(ends))

    def end(self, cookie: str) -> None:
        """End the login of this cookie, wherever it is kept. What is none is ignored."""
        if self.holder(cookie) is None:
            return
        ends, random, *_ = cookie.split(".", 3)
        self._ended[random] = float(ends)
        now = self._now()
        while self._ended and (len(self._ended) > _MOST_ENDED or next(iter(self._ended.values())) <= now):
            self._ended.popitem(last=False)

    def _signatures(self, signed: str, name: str) -> list[str]:
        """Return that of now, and then those that secrets of before would have made."""
        token = b"login:" + self._by_name[name][0]
        return [_signature(hmac.digest(each, token, "sha256"), f"{signed}.{name}") for each in self._secrets_now()]


def _signature(key: bytes, text: str) -> str:
    digest = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

"""Decides who may ask the operators' listener, and for what: by Host, Origin, token or login, and role. Which
role a route needs is the table of `roles.py`. Pure, but for the clock of the logins."""

from __future__ import annotations

import hmac
import itertools
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from callflow.contracts.errors import AccessRefused
from callflow.contracts.printable import line
from callflow.web.console.identity import NOBODY, Operator
from callflow.web.console.login_sessions import COOKIE, LoginSessions
from callflow.web.console.roles import (
    READING,
    SEARCHING,
    SOCKET,
    least_role,
    query_asks_for_numbers,
)


PHONE_PATH: Final = "/api/phone"
"""Its calls cost what the model costs; nothing where that is emulated."""
COSTLY: Final = (
    re.compile(PHONE_PATH),
    re.compile("/api/calls"),
    re.compile("/api/calls/.+/(?:transfer|record)", re.DOTALL),
    re.compile("/tools/.+/try", re.DOTALL),
    re.compile("/api/(?:campaigns|transfers|numbers|profiles|provision|realtime-token)(?:/.*)?", re.DOTALL),
)
"""The paths, without empty parts, where every method but those of `READING` costs money or changes an account: these
need CONSOLE_TOKEN, on loopback as well, where any program of the machine can ask."""
_LONGEST_NAME: Final = 60
_SEND: Final = "send the header Authorization: Bearer TOKEN"
_GIVE_TOKEN: Final = f"{_SEND}, with the server's CONSOLE_TOKEN."
_BEARER: Final = {"WWW-Authenticate": "Bearer"}
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PAGE_HEADER: Final = b"x-callflow"
_PAGE: Final = b"console"
_HOST: Final = re.compile(rb"(?:\[([0-9a-f:.]+)\]|([^\x00-\x20\[\]:/@?#\\]+))(?::[0-9]{1,5})?")

Headers = Sequence[tuple[bytes, bytes]]


def is_costly(method: str, path: str) -> bool:
    """Return whether a request may cost money or change an account. `path`: percent-decoded, as the router gets it.

    More counts as such than the router accepts (it ignores slashes in front, and nothing else).
    """
    plain = "/" + "/".join(part for part in path.split("/") if part)
    return method.upper() not in READING and any(form.fullmatch(plain) for form in COSTLY)


class AccessPolicy:
    """Decides who may ask: with a token, clients that know it, and browsers that have logged in with it; without,
    clients that address this machine by its own name, and for nothing that is costly."""

    def __init__(
        self,
        host: str,
        token: str,
        named: Sequence[tuple[str, Operator]] = (),
        *,
        secrets_now: Callable[[], Sequence[bytes]] | None = None,
        free: Sequence[str] = (),
        own_tokens: Mapping[str, str] | None = None,
    ) -> None:
        """`host`: a name of the listener, beside localhost and the loopback addresses. `token` "": no token is
        needed. `named`: further tokens, which need `token`, and their holders. `secrets_now`: see `LoginSessions`.
        `free`: paths of `COSTLY` that cost nothing here. `own_tokens`: by path, a token that is let in there and
        nowhere else; "": there is none."""
        self._free = free
        self._own_tokens = {path: own.encode() for path, own in (own_tokens or {}).items() if own}
        self._hosts = _LOCAL | {host.lower()}
        holders = [(token, Operator()), *named] if token else []
        self.sessions = LoginSessions(
            [(each.encode("utf-8", "surrogateescape"), of) for each, of in holders], secrets_now
        )

    def check(self, headers: Headers, method: str, path: str, query: bytes = b"") -> Operator:
        """Check a request without its body. `method`: `SOCKET` for a WebSocket. `path`: percent-decoded. Returns who
        asks. Raises AccessRefused."""
        self._check_origin(headers, method)
        role = least_role(method, path)
        if not self.sessions.is_needed:
            if is_costly(method, path) and path not in self._free:
                raise _no_token_is_set()
            return Operator()
        if role == NOBODY:
            return Operator(role=NOBODY)
        operator = self._own_holder(headers, path) or self._holder(headers, method)
        if not operator.may(role):
            raise _not_allowed(operator, role)
        if method in READING and not operator.may(SEARCHING) and query_asks_for_numbers(query):
            raise no_search(operator)
        return operator

    def _check_origin(self, headers: Headers, method: str) -> None:
        """Raise AccessRefused for a request that a page of another origin makes, or under a name that is not ours."""
        hosts, origins = values(headers, b"host"), values(headers, b"origin")
        asked = hosts[0].lower() if len(hosts) == 1 else b""
        if not self.sessions.is_needed and _name_of(asked) not in self._hosts:
            raise AccessRefused(421, _other_name(hosts))
        if origins and (len(origins) > 1 or not asked or not _is_own(origins[0].lower(), asked)):
            raise AccessRefused(403, "Pages of another origin are not let in: the Origin header names one.")
        # Browsers say it also where they send no Origin, as for the source of a picture or a stream of events.
        is_link = method in READING and values(headers, b"sec-fetch-mode") == [b"navigate"]
        if not origins and not is_link and is_from_elsewhere(headers):
            raise AccessRefused(403, "Pages of another origin are not let in: the Sec-Fetch-Site header says so.")

    def _own_holder(self, headers: Headers, path: str) -> Operator | None:
        """Return the holder of the token that only this path takes; None: this is not it."""
        own, tokens = self._own_tokens.get(path), values(headers, b"authorization")
        is_it = own is not None and len(tokens) == 1 and hmac.compare_digest(_bearer(tokens[0]), own)
        return Operator(f"of {path}") if is_it else None

    def _holder(self, headers: Headers, method: str) -> Operator:
        """Return whose the token is, or the login. Raises AccessRefused unless one of them is right."""
        if tokens := values(headers, b"authorization"):
            return self._holder_of(tokens)
        for cookie in cookies(headers):
            operator = self.sessions.holder(cookie)
            if operator is not None:
                _check_page(headers, method)
                return operator
        raise AccessRefused(401, f"A token is needed, and there is no Authorization header: {_GIVE_TOKEN}", _BEARER)

    def _holder_of(self, tokens: Sequence[bytes]) -> Operator:
        wrong = "The token is wrong:"
        given = _bearer(tokens[0]) if len(tokens) == 1 else b""
        if len(tokens) > 1:
            wrong = "A token is needed once, and there are several Authorization headers:"
        elif not given:
            wrong = "A token is needed, and the Authorization header does not begin with Bearer:"
        found = self.sessions.holder_of_token(given)
        if found is None:
            raise AccessRefused(401, f"{wrong} {_GIVE_TOKEN}", _BEARER)
        return found


def _check_page(headers: Headers, method: str) -> None:
    """Check that a request with a login is one of our own page. Raises AccessRefused."""
    if method == SOCKET and not values(headers, b"origin"):
        raise AccessRefused(403, "A WebSocket of a page needs the header Origin.")
    if method not in {*READING, SOCKET} and values(headers, _PAGE_HEADER) != [_PAGE]:
        raise AccessRefused(403, "With a login, whatever changes something needs the header X-Callflow: console.")


def _not_allowed(operator: Operator, role: str) -> AccessRefused:
    return AccessRefused(403, f"This needs the role {role}: {operator.shown} has the role {operator.role}.")


def no_search(operator: Operator) -> AccessRefused:
    """Make the refusal of a search for a telephone number."""
    sentence = f"To search for a telephone number needs the role {SEARCHING}: {operator.shown} has the role"
    return AccessRefused(403, f"{sentence} {operator.role}.")


def is_from_elsewhere(headers: Headers) -> bool:
    """Return whether a browser says that the page of another site or origin makes this request."""
    return any(value in (b"cross-site", b"same-site") for value in values(headers, b"sec-fetch-site"))


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Return the values of a header, by its name in small letters."""
    return [value for each, value in headers if each.lower() == name]


_MOST_COOKIES: Final = 8
"""Of ours, each of which costs a signature."""


def cookies(headers: Headers) -> list[str]:
    """Return the values of our cookie, of which a browser may send several: the first few."""
    parts = [part.strip() for value in values(headers, b"cookie") for part in value.decode("latin-1").split(";")]
    ours = (part.removeprefix(f"{COOKIE}=") for part in parts if part.startswith(f"{COOKIE}="))
    return list(itertools.islice(ours, _MOST_COOKIES))


def _no_token_is_set() -> AccessRefused:
    """Make the refusal of what is costly. It suggests a new token, which nothing but this answer tells."""
    why = "This costs money or changes an account, and needs a token, also on this machine"
    line_ = f"CONSOLE_TOKEN={secrets.token_hex(16)}"
    sentence = f"{why}: put the line {line_} into .env, restart the server, and {_SEND} with that token."
    return AccessRefused(401, sentence, _BEARER, logged=f"{why}: CONSOLE_TOKEN is not set.")


def _other_name(hosts: Sequence[bytes]) -> str:
    if len(hosts) != 1:
        return "One Host header is needed: it says under which name this listener is asked."
    name = line(hosts[0].decode("utf-8", "replace"))[:_LONGEST_NAME]
    return f'This listener is not known as "{name}": ask it at 127.0.0.1, or set a CONSOLE_TOKEN.'


def _name_of(host: bytes) -> str:
    """Return the host of a Host header, without its port; "": the header is invalid."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).decode("latin-1") if found else ""


def _is_own(origin: bytes, host: bytes) -> bool:
    return origin in (b"http://" + host, b"https://" + host)


def _bearer(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else b""

"""URLs as they may be shown: scheme, host, port and path. Pure.

User, password, query and fragment may hold keys, and are never shown. A password that is not percent-encoded may be
read as part of the host or path: an address that can be read in more than one way is shown as its scheme alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_plus

from callflow.contracts import secret_text


HIDDEN: Final = "…"
_FORM: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<userinfo>[^/?#@]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]*)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?"
    r"(?:\?(?P<query>[^#]*))?"
    r"(?:#(?P<fragment>.*))?"
)
_SCHEMES: Final = re.compile(
    r"(https?|wss?|socks5h?|(postgres|postgresql|sqlite|mysql|mariadb)(\+[a-z0-9]{1,12})?)(?=:|$)", re.IGNORECASE
)
"""What stands before the colon of anything else may be a user and the beginning of a password."""
_MOST_PORT: Final = 65535
_LEAST_KEY: Final = 16
_HARMLESS: Final = frozenset({"host", "model", "options", "application_name", "sslrootcert", "sslcert"})


class Address(NamedTuple):
    """The parts of a URL, still percent-encoded; "" if a part is missing."""

    scheme: str
    userinfo: str
    host: str
    port: str
    path: str
    query: str
    fragment: str


def parse(text: str) -> Address | None:
    """Split a URL. Returns None if it is none, or if it is not clear where its password ends."""
    found = _FORM.fullmatch(text)
    if found is None or not text.isprintable() or re.search(r"[\s\\]", text):
        return None
    # One @ is the end of the user's part. A second one anywhere, and that may have ended elsewhere.
    if text.count("@") > (found["userinfo"] is not None) or int(found["port"] or 0) > _MOST_PORT:
        return None
    return Address(**{name: value or "" for name, value in found.groupdict().items()})


def shown(text: str) -> str:
    """Return the address without its secret parts: `wss://host:443/v1?…`, or `wss://…`; "" stays ""."""
    if not text:
        return ""
    if _scheme(text).startswith("sqlite"):
        return _file(text)
    parts = parse(text)
    if parts is None:
        return f"{_scheme(text)}://{HIDDEN}" if _scheme(text) else HIDDEN
    more = f"?{HIDDEN}" * bool(parts.query) + f"#{HIDDEN}" * bool(parts.fragment)
    return of(parts.scheme, parts.host, parts.port, parts.path) + more


def place(url: str) -> str:
    """Return a URL without its query and fragment: where it leads to, whatever it says there."""
    return url.partition("#")[0].partition("?")[0]


def of(scheme: str, host: str, port: int | str | None, path: str) -> str:
    """Return the address of these parts, or its scheme alone if one of them may hold a part of a password."""
    if not _SCHEMES.fullmatch(scheme):
        return HIDDEN
    at = f"{host}:{port}" if port not in (None, "") else host
    text = f"{scheme}://{at}{path}"
    parts = parse(text)
    decoded = unquote(unquote(path))
    clear = parts is not None and parts.host == host and parts.path == path
    spilled = "@" in decoded or not decoded.isprintable() or re.search(r"\s", decoded)
    keys = [part for part in (host, *decoded.split("/")) if len(part) >= _LEAST_KEY and secret_text.is_key(part)]
    if not clear or spilled or keys:
        return f"{scheme}://{HIDDEN}"
    return text


def secrets_in(text: str) -> Iterator[str]:
    """Yield the secrets in an address, as written and decoded: its password, and the values in its query that have a
    name such as `api_key` or look like a key."""
    parts = parse(text)
    if parts is None:
        return
    _, _, password = parts.userinfo.partition(":")
    found = [password]
    for parameter in parts.query.split("&"):
        name, _, value = parameter.partition("=")
        if secret_text.names_secret(name) or (name not in _HARMLESS and secret_text.may_be_secret(value)):
            found.append(value)
    for value in found:
        yield from {value, unquote(value), unquote_plus(value)} - {""}


def _scheme(text: str) -> str:
    found = _SCHEMES.match(text)
    return found[1].lower() if found else ""


def _file(text: str) -> str:
    """SQLite's address has no user and no password: behind `sqlite:///` stands a path, in which nothing is encoded."""
    before, _, query = text.partition("?")
    scheme, _, path = before.partition(":///")
    if not path or not path.isprintable() or re.search(":.*@", path):
        return f"{_scheme(text)}://{HIDDEN}"
    return f"{scheme}:///{path}" + f"?{HIDDEN}" * bool(query)

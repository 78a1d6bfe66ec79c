"""Verify Twilio's signatures: HMAC over the URL of the request, followed by every parameter of its form.

Facts from Twilio's documentation (www.twilio.com/docs/usage/webhooks/webhooks-security, /webhook-shared-keys):

- The URL is the public one, exactly as configured, still percent-encoded, without its fragment.
- Parameters are sorted by name, then by value, each distinct value once, blank ones included. With a JSON body the URL
  has `bodySHA256` instead.
- The key is the account's auth token, never an API key; in the newer mode it is a shared key, which a second header
  names.
- There is no timestamp, so the signature does not show that a request is a repetition.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote, unquote_to_bytes, urlsplit, urlunsplit

from callflow.contracts.carrier import Request
from callflow.contracts.errors import Forged, Malformed


HEADER: Final = "x-twilio-signature"
_SETTINGS: Final = "x-twilio-webhooks-signature-settings"
_HASHES: Final = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
_DEFAULT_PORTS: Final = {"https": 443, "wss": 443, "http": 80, "ws": 80}
_MOST_PARAMETERS: Final = 1000

_SIP: Final = re.compile(r"sips?(?:%3A|:)[^&]*", re.IGNORECASE)
_FORM: Final = re.compile(r"[A-Za-z0-9+/]{27}=|[A-Za-z0-9+/]{43}=")
"""Base64 of either hash; anything else is refused without computing one."""

Parameters = Sequence[tuple[bytes, bytes]]
"""Names and values, decoded."""


def parameters(request: Request) -> Parameters:
    """Return the parameters of the form, or of the query of a GET, as bytes, because they need not be UTF-8.

    Takes time in proportion to the length, whatever the text holds. Raises Malformed for more than 1000 parameters.
    """
    text = request.body if request.method == "POST" else request.query.encode("latin-1")
    pairs = text.split(b"&", _MOST_PARAMETERS) if text else []
    if len(pairs) > _MOST_PARAMETERS:
        raise Malformed(f"not a form: more than {_MOST_PARAMETERS} parameters")
    found = (pair.replace(b"+", b" ").partition(b"=") for pair in pairs if pair)
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in found]


class Verifier:
    """Verifies requests with the keys of one account."""

    def __init__(self, tokens: Sequence[str], shared: Mapping[str, str] | None = None) -> None:
        """`tokens`: the account's auth tokens, several while they are rotated. `shared`: the secrets of shared keys by
        their ids; under "" one whose id is not known."""
        self._tokens = [token.encode() for token in tokens if token]
        self._shared = {name: secret.encode() for name, secret in (shared or {}).items() if secret}

    def check(self, request: Request, *, slash: bool = False) -> None:
        """Verify a request. Raises Forged, and Malformed as `parameters`.

        `slash`: the signed path may have one slash more or less at its end, as seen on media sockets.
        """
        given = request.headers.get(HEADER, "")
        if not given:
            raise Forged("the request carries no X-Twilio-Signature")
        if not _FORM.fullmatch(given):
            raise Forged("the X-Twilio-Signature is not one: it is not the base64 of a hash")
        keys, algorithm = self._keys(request.headers.get(_SETTINGS, ""))
        is_form = request.method == "POST" and not _body_hash(request)
        signed = _text(parameters(request)) if is_form else b""
        right = False
        for key in keys:
            for url in addresses(request.url, slash=slash, unescaped=request.method == "GET"):
                wanted = sign(key, url.encode("latin-1") + signed, algorithm)
                right |= hmac.compare_digest(wanted.encode(), given.encode())
        if not right:
            raise Forged(
                "the signature is not Twilio's: is PUBLIC_BASE_URL what Twilio was told, and TWILIO_AUTH_TOKEN current?"
            )
        if (wanted_hash := _body_hash(request)) and not hmac.compare_digest(
            hashlib.sha256(request.body).hexdigest().encode(), wanted_hash.lower()
        ):
            raise Forged("the body is not the one that was signed")

    def _keys(self, settings: str) -> tuple[list[bytes], str]:
        """Return the possible keys and the algorithm.

        Twilio docs (/docs/usage/webhooks/webhook-shared-keys): the header `key=<id>,algorithm=HMAC_SHA256` says that a
        shared key has signed.
        """
        given = dict(part.strip().split("=", 1) for part in settings.split(",") if "=" in part)
        algorithm = given.get("algorithm", "HMAC_SHA1")
        if algorithm not in _HASHES:
            raise Forged(f"signed with {algorithm[:40]}, which is not known here")
        if "key" not in given:
            return self._tokens, algorithm
        found = [secret for name, secret in self._shared.items() if name in ("", given["key"])]
        if not found:
            raise Forged(f"signed with the shared key {given['key'][:60]}: put its secret into TWILIO_SHARED_KEYS")
        return found, algorithm


def sign(key: bytes, text: bytes, algorithm: str = "HMAC_SHA1") -> str:
    """Return the signature of a text in base64."""
    return base64.b64encode(hmac.new(key, text, _HASHES[algorithm]).digest()).decode()


def addresses(url: str, *, slash: bool = False, unescaped: bool = False) -> Iterator[str]:
    """Yield the URL in each spelling that may have been signed.

    Twilio is not consistent about the port: without one, with the given one, with the default one. `slash`: also with a
    slash more or less at the path's end. `unescaped`: the query of a GET may have been signed with a caller's SIP
    address unescaped (`sip:1001@198.51.100.7`).
    """
    scheme, place, path, query, _ = urlsplit(url)
    host = re.sub(r":\d+$", "", place)
    paths = [path]
    queries = [query]
    if unescaped and "%" in query:
        queries += [_SIP.sub(lambda found: unquote(found[0]), query), unquote(query, "latin-1")]
    if slash:
        paths.append(path.removesuffix("/") if path.endswith("/") else f"{path}/")
    for each in dict.fromkeys((place, host, f"{host}:{_DEFAULT_PORTS.get(scheme, 443)}")):
        for one in paths:
            for asked in dict.fromkeys(queries):
                yield urlunsplit((scheme, each, one, asked, ""))


def spellings(url: str) -> list[str]:
    """Return the spellings that were tried for a media socket, without the secret token at the path's end."""
    return [f"{each.rstrip('/').rpartition('/')[0]}/" for each in addresses(url)]


def _text(params: Parameters) -> bytes:
    found: dict[bytes, set[bytes]] = {}
    for name, value in params:
        found.setdefault(name, set()).add(value)
    return b"".join(name + value for name in sorted(found) for value in sorted(found[name]))


def _body_hash(request: Request) -> bytes:
    """Return the hash of the body that the URL names (`bodySHA256`); b"": none."""
    pairs = (pair.partition("=") for pair in request.query.split("&", _MOST_PARAMETERS))
    return next((unquote_to_bytes(value) for name, _, value in pairs if name == "bodySHA256"), b"")

"""Validators of single settings.

A validator returns the value in its normal form or raises ValueError. The message continues a line that begins with the
name and, where it may be shown, the value: `PORT="six" (.env) must be …`. It never quotes the value itself.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import keyword
import re
from typing import Any, Final, get_args
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from callflow.config import dial_rules, redact_patterns
from callflow.contracts import addresses
from callflow.contracts.e164 import is_e164


UNREADABLE: Final = (
    "cannot be read in one way only: a port must be a number up to 65535, and special characters in user, password or"
    " query must be percent-encoded (%40 for @, %2F for /, %3A for :, %3F for ?, %23 for #, %20 for a blank)"
)
EVERY_ADDRESS: Final = frozenset({"", "0.0.0.0", "::"})
"""Hosts with which a listener takes connections at all addresses of its machine."""
BUSINESS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The name of a business, or of a token."""
TOKEN_CHARACTERS: Final = 16
"""The shortest token that people may choose themselves."""
ROLES: Final = ("view", "operate", "configure")
"""Of operators; each may do what those before it may."""
_TOKEN_FORM: Final = (
    "must be name:role:token or name:role:business:token, several separated by commas, with the role view, operate or"
    " configure and no : in a token (before there were roles it was name:business:token: put configure: before the"
    " business)"
)

MAKE_SECRET: Final = (
    "this makes one: python3 -c \"import base64, os; print('whsec_' + base64.b64encode(os.urandom(32)).decode())\""
)
"""How EVENTS_SECRET is made."""

# SubjectPublicKeyInfo of an Ed25519 key is this, then the 32 raw bytes (RFC 8410, section 4).
_SPKI_ED25519: Final = bytes.fromhex("302a300506032b6570032100")
_KEY_BYTES: Final = 32


def secret(value: SecretStr) -> SecretStr:
    """Check a key or token: visible ASCII only, because it is sent in an HTTP header."""
    text = value.get_secret_value()
    if re.search(r"[^!-~]", text):
        raise ValueError("holds a space, a line break or a character that no key has; copy it again")
    if text[:1] in ("'", '"') or text[-1:] in ("'", '"'):
        raise ValueError("is in quotes, and here they count as part of the value; remove them")
    return value


def secrets(value: SecretStr) -> SecretStr:
    """Check several keys, separated by commas; blanks around them are removed."""
    parts = [part.strip() for part in value.get_secret_value().split(",")]
    return SecretStr(",".join(secret(SecretStr(part)).get_secret_value() for part in parts if part))


def business(value: str) -> str:
    """Check the name of a business."""
    if value and not BUSINESS.fullmatch(value):
        raise ValueError("must be a short name of letters, digits and . _ -, 64 at most, such as harbour-taxis")
    return value


def console_tokens(value: SecretStr) -> SecretStr:
    """Check named tokens of operators: `name:role:token` or `name:role:business:token`, separated by commas."""
    entries = [entry.strip() for entry in value.get_secret_value().split(",") if entry.strip()]
    names: set[str] = set()
    tokens: set[str] = set()
    for entry in entries:
        name, *parts = secret(SecretStr(entry)).get_secret_value().split(":")
        if len(parts) not in (2, 3) or parts[0] not in ROLES or not BUSINESS.fullmatch(name):
            raise ValueError(_TOKEN_FORM)
        token, whose = parts[-1], parts[1] if len(parts) == 3 else ""
        if whose and not BUSINESS.fullmatch(whose):
            raise ValueError(_TOKEN_FORM)
        if len(token) < TOKEN_CHARACTERS:
            raise ValueError(f"has a token of fewer than {TOKEN_CHARACTERS} characters")
        if name in names or token in tokens:
            raise ValueError("has a name or a token twice")
        names.add(name)
        tokens.add(token)
    return SecretStr(",".join(entries))


def e164(value: str) -> str:
    """Check a telephone number in the international form."""
    if value and not is_e164(value):
        raise ValueError("must be a telephone number with + and country code, such as +15550100002")
    return value


def zone(value: str) -> str:
    """Check the name of a time zone. Reads files."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be the name of a time zone, such as Europe/Berlin or UTC") from None
    return value


def dialled_number(value: str) -> str:
    """Check a number that callers are connected with: one of a subscriber, as for every number that is dialled."""
    if e164(value) and (problem := dial_rules.number_problem(value)):
        raise ValueError(f"is no number to be dialled: {problem}")
    return value


def openai_key(value: SecretStr) -> SecretStr:
    """Check a key of OpenAI: it must not look like another vendor's."""
    return _other_than(secret(value), "the key of an OpenAI account")


def telnyx_key(value: SecretStr) -> SecretStr:
    """Check a key of Telnyx: it must not look like another vendor's."""
    return _other_than(secret(value), "an API key of Telnyx")


def twilio_token(value: SecretStr) -> SecretStr:
    """Check one or more auth tokens of Twilio: none may look like another vendor's key, or like a SID."""
    return _other_than(secrets(value), "the auth token of Twilio's console")


def _other_than(value: SecretStr, what: str) -> SecretStr:
    """Raise ValueError for a key that is clearly another vendor's, or the SID of an account or key."""
    for whose, form in _KEYS.items():
        if whose not in what and re.fullmatch(form, value.get_secret_value(), re.ASCII):
            raise ValueError(f"must be {what}; this looks like one of {whose}")
    if "Twilio" in what and any(re.fullmatch(_SID, each) for each in value.get_secret_value().split(",")):
        raise ValueError(f"must be {what}; this looks like the SID of an account or of an API key")
    return value


_KEYS: Final = {"OpenAI": r"sk-[\w-]{20,}", "Telnyx": r"KEY[0-9A-F]{16,}_\w+"}
_SID: Final = "(AC|SK)[0-9a-fA-F]{32}"


def account_sid(text: str) -> str:
    """Check the SID of a Twilio account: `AC` and 32 hexadecimal digits, or ""."""
    return _sid(text, "AC", "the Account SID of Twilio's console")


def twilio_api_key(text: str) -> str:
    """Check the SID of an API key of Twilio: `SK` and 32 hexadecimal digits, or ""."""
    return _sid(text, "SK", "the SID of an API key; its secret is TWILIO_API_SECRET")


def _sid(text: str, kind: str, what: str) -> str:
    if text and not re.fullmatch(f"{kind}[0-9a-fA-F]{{32}}", text):
        length = f"; this has {len(text)} characters, and not 34" if text.startswith(kind) and len(text) != 34 else ""
        raise ValueError(f"must be {kind} and 32 hexadecimal digits: {what}{length}")
    return text


def ed25519_public_key(text: str) -> str:
    """Return base64 of the 32 raw bytes of the key, or ""; an SPKI key (44 bytes) is reduced to that."""
    if not text:
        return text
    wanted = "must be the public key that Telnyx shows under Keys & Credentials: base64 of 32 bytes, 44 characters"
    if re.match(r"KEY[0-9A-F]", text):
        raise ValueError(f"{wanted}; this looks like the API key")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{wanted}; this is not base64") from None
    if len(key) == len(_SPKI_ED25519) + _KEY_BYTES and key.startswith(_SPKI_ED25519):
        key = key[len(_SPKI_ED25519) :]
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{wanted}; this has {len(key)} bytes")
    return base64.b64encode(key).decode()


def websocket_url(text: str) -> str:
    """Check an address `wss://…` (or `ws://…`); path and query stay as they are."""
    _url(text, "wss", "ws")
    return text


def api_base(text: str) -> str:
    """Return an address `https://…` (or `http://…`) without its trailing slash; it may have a path, but no query."""
    if _url(text, "https", "http").query:
        raise ValueError("must not have a query (the part from ? on)")
    return text.rstrip("/")


def empty_or_api_base(text: str) -> str:
    """Return what `api_base` does; "" stays."""
    return api_base(text) if text else ""


def collector_headers(value: SecretStr) -> SecretStr:
    """Check headers `name=value`, separated by commas; blanks around these are removed."""
    if re.search(r"[^,=\s]\s+[^,=\s]", value.get_secret_value()):
        raise ValueError("holds a space inside a value: write %20 in its place")
    found = secrets(value)
    for part in filter(None, found.get_secret_value().split(",")):
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+=[^=].*", part, re.ASCII):
            raise ValueError("must be name=value, several separated by commas")
    return found


def events_url(text: str) -> str:
    """Check the address of a receiver of events, or "": https, because it gets numbers of callers; http only on this
    machine."""
    if text:
        url = _url(text, "https", "http")
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ValueError(
                "must begin with https:// (http:// only for 127.0.0.1 or localhost): it gets callers' numbers"
            )
    return text


def caller_lookup(text: str) -> str:
    """Check what is asked about callers: an address as `events_url` takes it, or the name of a function; `tools` stands
    for `caller_lookup`."""
    if ":" in text or "/" in text:
        return events_url(text)
    if text and (not text.isidentifier() or keyword.iskeyword(text)):
        raise ValueError("must be the name of a function in tools.py, such as caller_lookup, or begin with https://")
    return "caller_lookup" if text == "tools" else text


def events_secret(value: SecretStr) -> SecretStr:
    """Check one or more secrets of Standard Webhooks, separated by commas: `whsec_` and base64 of 24 to 64 bytes."""
    found = secrets(value)
    for each in filter(None, found.get_secret_value().split(",")):
        try:
            size = len(base64.b64decode(each.removeprefix("whsec_"), validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if not each.startswith("whsec_") or not 24 <= size <= 64:
            raise ValueError(f"must be whsec_ and base64 of 24 to 64 bytes; {MAKE_SECRET}")
    return found


def public_url(text: str) -> str:
    """Return `https://host[:port]` (or `http://…`), or ""; nothing but a slash may follow."""
    if not text:
        return text
    url = _url(text, "https", "http")
    if url.path.strip("/") or url.query or "@" in url.netloc:
        raise ValueError("must be scheme and host only, such as https://phone.example.org")
    return f"{url.scheme}://{url.netloc}"


def failover_url(text: str) -> str:
    """Return the address of a second server without a slash at its end, or that of a document as it is; "": none."""
    if not text:
        return text
    url = _url(text, "https", "http")
    if "@" in url.netloc or url.fragment:
        raise ValueError("must have neither a password nor a #fragment, such as https://backup.example.org")
    return text if url.path.strip("/") or url.query else f"{url.scheme}://{url.netloc}"


def idle_timeout(value: int) -> int:
    """Check the model's timer for a silent caller: 0, or 5000 to 30000 ms."""
    if value and not 5000 <= value <= 30000:
        raise ValueError("must be 0, or from 5000 to 30000 milliseconds: the model takes no other")
    return value


def tokens(value: object) -> object:
    """Return a number of tokens from 1 to 4096, or "inf"."""
    text = str(value).strip().lower()
    if text in ("inf", ""):
        return "inf"
    if not text.isdecimal() or not 1 <= int(text) <= 4096:
        raise ValueError('must be "inf" or a whole number from 1 to 4096')
    return int(text)


def truncation(value: object) -> object:
    """Return "auto", "disabled", or the share of the conversation that is kept, from 0 to 1."""
    text = str(value).strip().lower()
    if text in ("auto", "disabled"):
        return text
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError('must be "auto", "disabled" or a number from 0 to 1')
    return share


def _url(text: str, *schemes: str) -> SplitResult:
    scheme = text.partition(":")[0].lower()
    if scheme not in schemes or not text[len(scheme) :].startswith("://"):
        raise ValueError(f"must begin with {schemes[0]}:// (or {schemes[1]}:// for tests on one machine)")
    if re.search(r"\s", text) or not re.match("[^/?#]", text[len(scheme) + 3 :]):
        raise ValueError("is not a valid URL: it needs a host, and no spaces")
    if addresses.parse(text) is None:
        raise ValueError(UNREADABLE)
    url = urlsplit(text)
    if url.fragment:
        raise ValueError("must not have a fragment (the part from # on)")
    return url


def wanted(name: str, field: FieldInfo) -> str:
    """Return in words what a value of this field must be: `a number of seconds above 0, for example 20`."""
    bounds: dict[type, Any] = {type(item): item for item in field.metadata}
    if choices := get_args(field.annotation):
        return " or ".join(", ".join(f'"{choice}"' for choice in choices).rsplit(", ", 1))
    if field.annotation is bool:
        return "true or false"
    if field.annotation not in (int, float):
        most = f", {bounds[MaxLen].max_length} characters at most" if MaxLen in bounds else ""
        return f"text in quotes{', and not empty' if MinLen in bounds else ''}{most}"
    kind = "a whole number" if field.annotation is int else "a number"
    unit = {"seconds": " of seconds", "ms": " of milliseconds"}.get(name.rpartition("_")[2], "")
    if Gt in bounds:
        limits = f" above {bounds[Gt].gt}, and {bounds[Le].le} at most"
    else:
        limits = f" from {bounds[Ge].ge} to {bounds[Le].le}" if Le in bounds else ""
    return f"{kind}{unit}{limits}, for example {field.default}"


def slip(given: object, field: FieldInfo) -> str:
    """Return a hint for a value of the wrong kind (`; this is a list`, `; write it without a unit`); "": none."""
    if isinstance(given, dict):
        return "; this is a table"
    if isinstance(given, list):
        return "" if BeforeValidator(dial_prefixes) in field.metadata else "; this is a list"
    text = str(given).strip()
    if field.annotation in (int, float):
        if re.fullmatch(r"[+-]?\d+,\d+", text):
            return "; a fraction is written with a point"
        if re.fullmatch(r"\d{1,3}\s*%", text):
            return f"; write it as {int(text.rstrip(' %')) / 100:g}"
        if re.fullmatch(r"[+-]?\d+([.,]\d+)?\s*[A-Za-z]{1,12}", text):
            return "; write it without a unit"
    return "; remove the quotes within it" if text[:1] in ("'", '"') else ""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a listener on that host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def database_url(given: str) -> str:
    """Check the address of a database: a file (not SQLite's memory, which ends with the process), a server, or "".

    A server's address must be readable in one way only; else a part of its password might count as its host, and be
    shown.
    """
    if not given:
        return given
    if not re.match(r"sqlite:///(?!:memory:).|postgres(ql)?://", given) or not given.isprintable():
        raise ValueError("must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME")
    parts = addresses.parse(given)
    if not given.startswith("sqlite") and (parts is None or parts.fragment):
        raise ValueError(UNREADABLE)
    return given


def host(given: str) -> str:
    """Check an IP address or name of this machine, without a port."""
    if not re.fullmatch(r"[\w.:%\[\]-]+", given):
        raise ValueError("must be an IP address of this machine or its name, for example 127.0.0.1")
    if re.fullmatch(r"[^:]+:\d+", given):
        raise ValueError("must be without a port, which has a setting of its own, for example 127.0.0.1")
    return given


def hosts(given: str) -> str:
    """Return names of hosts in lower case, separated by single spaces; a name may begin with a dot."""
    names = given.lower().split()
    if not all(re.fullmatch(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]{1,5})?", name) for name in names):
        raise ValueError('must be names of hosts, separated by spaces, such as "files.example.org .example.com"')
    return " ".join(names)


def media_signature(value: object) -> object:
    """Return `warn` or `require`; earlier versions had true and false for them."""
    spelled = str(value).strip().lower()
    return {"true": "require", "1": "require", "yes": "require", "false": "warn", "0": "warn", "no": "warn"}.get(
        spelled, spelled
    )


def language(given: str) -> str:
    """Check a language such as `en` or `en-US`, or ""."""
    if given and not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", given):
        raise ValueError('must be a language as in "en" or "en-US"')
    return given


def key(given: str) -> str:
    """Check the key that ends an entry on the keypad, or ""."""
    if not re.fullmatch("[0-9*#A-D]{0,4}", given):
        raise ValueError('must be a key of a telephone, such as "#", or ""')
    return given


def country(value: str) -> str:
    """Return a country of two letters in capitals, or ""."""
    if value and not re.fullmatch("[A-Za-z]{2}", value):
        raise ValueError('must be a country of two letters, such as "US" or "DE", or ""')
    return value.upper()


def dial_prefixes(given: object) -> str:
    """Return the beginnings of numbers in a text or a list as one text: `+1, +4420`."""
    return ", ".join(dial_rules.prefixes(given))


def patterns(given: str) -> str:
    """Check the regular expressions of RE2, one a line; empty lines are ignored."""
    for number, line in enumerate(given.splitlines(), start=1):
        if line.strip() and (trouble := redact_patterns.pattern_problem(line)):
            raise ValueError(f"has a regular expression in line {number} that cannot be used ({trouble})")
    return given

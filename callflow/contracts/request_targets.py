"""The target of a request of HTTP/1.1 (RFC 9112, section 3.2). Pure."""

from __future__ import annotations

import re
from typing import Final


ABSOLUTE: Final = rb"(?i:https?)://((?:[\w.~!$&'()*+,;=%-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?)"
"""The beginning of a target in the absolute form, up to its path; the group is its host. Without user and password,
which no `http` address has (RFC 9110, section 4.2.4)."""
_ABSOLUTE: Final = re.compile(ABSOLUTE + rb"(?=[/?]|\Z)")
_SCHEMES: Final = (b"http://", b"https://")
_AFTER_HOST: Final = re.compile(rb"[/?#\s]")
_LONGEST: Final = 8 + 255 + 6
"""Bytes before the path."""


def origin_form(target: bytes) -> tuple[bytes, bytes]:
    """Return a target in the origin form, and the host that it named, which counts in place of the header `Host`; b"":
    it was in another form, and is as it was."""
    if target.startswith(b"/") or (found := _ABSOLUTE.match(target)) is None:
        return target, b""
    rest = target[found.end() :]
    return (rest if rest.startswith(b"/") else b"/" + rest), found[1]


def is_cut_before_path(target: bytes) -> bool:
    """Return whether more bytes could make a target in the absolute form of this beginning, before its path begins."""
    scheme, slashes, host = target.partition(b"://")
    if not slashes:
        return any(start.startswith(target.lower()) for start in _SCHEMES)
    is_known = scheme.lower() + slashes in _SCHEMES
    return is_known and len(target) <= _LONGEST and not _AFTER_HOST.search(host)

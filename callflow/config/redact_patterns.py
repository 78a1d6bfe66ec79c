"""Compile the patterns of REDACT_PATTERNS with RE2, and say why one cannot be used."""

from __future__ import annotations

import re
from typing import Any


def compile_pattern(pattern: str) -> Any:
    """Compile a regular expression in the syntax of RE2, which searches in linear time whatever the pattern.

    Raises ValueError with the reason when RE2 does not accept it; the message quotes at most one operator of it.
    """
    import re2  # loaded only when there are patterns; the settings are read before the loop runs

    options = re2.Options()
    options.never_capture = True
    options.log_errors = False  # to stderr
    try:
        made = re2.compile(pattern.encode("utf-8", "surrogatepass"), options)
    except re2.error as error:
        reason, _, where = error.args[0].decode("utf-8", "replace").partition(": ")
        operator = re.match(r"\(\?(?:<?[=!]|P=?|\S)|\\\S", where)
        shown = operator[0] if operator else ""
        hint = "; it has no look-around" if shown.endswith(("=", "!")) else ""
        if reason.startswith(("invalid perl", "invalid escape")) and re.fullmatch(r"\\[1-9gk]|\(\?P", shown):
            hint = "; it has no back-references"
        raise ValueError(f"RE2 says: {reason} {shown}".rstrip() + hint) from None
    _ = made.reverseprogramsize  # compiles that part now; else its first use, on the loop, would
    return made


def pattern_problem(pattern: str) -> str:
    """Return why a pattern cannot be used in the settings; "": it can."""
    try:
        found = compile_pattern(pattern).search(b"\xff\xff", 1, 1)  # in the middle of what is no character
    except ValueError as error:
        return str(error)
    return "it matches where there is nothing: perhaps + is meant for *" if found else ""

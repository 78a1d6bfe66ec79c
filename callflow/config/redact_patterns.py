"""The patterns of REDACT_PATTERNS: compiled with RE2, and refused where they cannot be used."""

from __future__ import annotations

import re
from typing import Any


def compile_pattern(pattern: str) -> Any:
    """Make ready a regular expression in the syntax of RE2, which searches in linear time whatever the pattern.

    Raises ValueError with the reason when RE2 does not take it; no more of the pattern is in it than an operator.
    """
    import re2  # only where there are patterns, and the settings are read before the loop runs

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
    _ = made.reverseprogramsize  # is compiled when it is first needed, else on the loop
    return made


def pattern_problem(pattern: str) -> str:
    """Why it is no pattern for the settings; "" when it is one."""
    try:
        found = compile_pattern(pattern).search(b"\xff\xff", 1, 1)  # in the middle of what is no character
    except ValueError as error:
        return str(error)
    return "it matches where there is nothing: perhaps + is meant for *" if found else ""

"""Reads what a live call's session shall be, as the Realtime API, an earlier system or the settings write it, into
settings: of the control endpoint, of `/logs` and of `POST /api/calls/<id>/session`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from callflow.config import session_changes, session_names
from callflow.config.session_changes import Asked
from callflow.contracts import secret_text
from callflow.contracts.errors import SessionRefused
from callflow.contracts.realtime_values import UNSENT


_AT_BEGIN: Final = frozenset({"model", "engine_audio", "business"})
_MOST_LINES: Final = 20


def of_session(session: Mapping[str, Any], secrets: secret_text.Secrets = secret_text.NONE) -> Asked:
    """Return the changes that a `session.update` asks for in a live call. One value that cannot be used refuses all of
    them. Raises SessionRefused."""
    return _read(session_names.without_null(session), secrets, keeps=frozenset())


def of_settings(given: Mapping[str, Any], secrets: secret_text.Secrets = secret_text.NONE) -> Asked:
    """Return what runtime settings say, in the same forms. Raises SessionRefused."""
    asked = _read(session_names.without_null(given), secrets, keeps=frozenset(UNSENT))
    warnings = [f"{name} is not sent: {UNSENT[name]}" for name in asked.taken if name in UNSENT]
    taken = {name: value for name, value in asked.taken.items() if name not in UNSENT}
    return Asked(taken, [*asked.warnings, *warnings][:_MOST_LINES])


def _read(session: Mapping[str, Any], secrets: secret_text.Secrets, *, keeps: frozenset[str]) -> Asked:
    session_changes.check_names(session)
    named = session_names.named(session)
    values = {name: value for name, value in named.values.items() if value is not None}
    problems = [f"{problem}." for problem in named.problems]
    asked = Asked({}, [])
    try:
        asked = session_changes.read(values, secrets, keeps=keeps)
    except SessionRefused as refusal:
        problems += [named.in_words_of(line) for line in refusal.problems]
    if problems:  # the warnings are told as well, so that one answer names everything
        raise SessionRefused([*problems, *(f"{warning}." for warning in named.warnings)])
    told = [named.in_words_of(line) for line in asked.warnings if line.partition(" ")[0] not in _AT_BEGIN]
    at_begin = [name for name in _AT_BEGIN if name in values]
    told += [f"{named.paths[name]} is left out: it is decided when a call begins" for name in sorted(at_begin)]
    return Asked(asked.taken, [*named.warnings, *told][:_MOST_LINES])

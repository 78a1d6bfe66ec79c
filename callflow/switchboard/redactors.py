"""Makes, from the settings, what removes private data from texts."""

from __future__ import annotations

from collections.abc import Callable

from callflow.config import display
from callflow.config.settings import Settings
from callflow.journal.redaction import Redactor


def redactor(settings: Settings) -> Redactor:
    """Make the redactor, which removes private data from texts."""
    patterns = [line for line in settings.redact_patterns.splitlines() if line.strip()]
    return Redactor(patterns, cards=settings.redact_cards)


def for_the_log(settings: Settings) -> Callable[[str], str]:
    """Return a function that removes secrets and private data from a text for the log."""
    secrets, redact = display.secrets_of(settings), redactor(settings)
    return lambda text: redact.text(secrets.lines(text))

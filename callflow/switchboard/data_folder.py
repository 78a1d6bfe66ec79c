"""What the data folder holds beside the history: the key of the stream tokens."""

from __future__ import annotations

from pathlib import Path

from callflow.call.stream_tokens import StreamTokens
from callflow.config import paths
from callflow.config.settings import Settings
from callflow.contracts.errors import SettingsError


def stream_tokens(settings: Settings) -> StreamTokens:
    """Read or make the key of the stream tokens. Raises SettingsError if the data folder cannot be used."""
    try:
        return StreamTokens.in_folder(Path(settings.data_dir))
    except OSError as error:
        raise SettingsError([paths.cannot_use(settings, error)]) from None

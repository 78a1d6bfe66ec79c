"""What the data folder holds beside the history: the key of the stream tokens, which the database takes over."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from callflow.call.stream_tokens import StreamTokens
from callflow.config import paths
from callflow.config.settings import Settings
from callflow.contracts.errors import SettingsError
from callflow.history import secret_store
from callflow.history.database import Database


log = logging.getLogger(__name__)

_NAME: Final = "tokens"


def stream_tokens(settings: Settings) -> StreamTokens:
    """Read or make the key of the stream tokens. Raises SettingsError if the data folder cannot be used."""
    try:
        return StreamTokens.in_folder(Path(settings.data_dir))
    except OSError as error:
        raise SettingsError([paths.cannot_use(settings, error)]) from None


async def share(tokens: StreamTokens, database: Database) -> None:
    """Use the key that the database keeps, once; it gets ours if it has none. Raises what the driver raises, and
    ValueError."""
    if tokens.is_shared:
        return
    own = tokens.newest
    tokens.share(await secret_store.shared(database, _NAME, own))
    if tokens.newest != own:
        log.info("logins and media addresses are signed with the secret of the database, not of this data folder")

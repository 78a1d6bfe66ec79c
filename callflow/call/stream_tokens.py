"""The tokens in the paths of media sockets.

A token is HMAC-SHA256 over (call, ordinal) under a secret that is kept in the data folder: it can be made again after a
restart and is never stored. It stands in the path because carriers drop or mangle query strings, and it names its call,
so that finding the call and comparing the secret part are two things, the second in constant time.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from callflow.config import private_files
from callflow.contracts.errors import Refused


_SECRET_BYTES = 32


class StreamToken(NamedTuple):
    call: str
    ordinal: int
    """Which of the call's streams."""


class StreamTokens:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def in_folder(cls, folder: Path) -> StreamTokens:
        """The secret of this data folder, made on first use, readable by its owner only.

        Raises OSError where the folder cannot be written.
        """
        private_files.make_ours(folder)
        path = folder / "stream.secret"
        if not path.exists():
            _write_once(path, secrets.token_bytes(_SECRET_BYTES))
        private_files.make_private(path)
        secret = path.read_bytes()
        if len(secret) != _SECRET_BYTES:
            raise OSError(f"{path} is damaged: delete it, and a new one is made")
        return cls(secret)

    def path_token(self, call: str, ordinal: int) -> str:
        """url-safe, about 80 characters. `call` is a UUID."""
        return f"{UUID(call).hex}.{ordinal}.{self._mac('path', call, ordinal)}"

    def header_token(self, call: str, ordinal: int) -> str:
        """A second secret for the same stream, for carriers that send one in a header."""
        return self._mac("header", call, ordinal)

    def read(self, token: str) -> StreamToken:
        """Which stream a path token is for. Raises Refused unless it is one of ours."""
        try:
            given = token.encode()
            name, number, _ = token.split(".")
            call, ordinal = str(UUID(hex=name)), int(number)
        except ValueError:
            raise Refused("not a stream token") from None
        # The whole token, because UUID and int read several spellings of the same value.
        if not hmac.compare_digest(given, self.path_token(call, ordinal).encode()):
            raise Refused("not a stream token of this server")
        return StreamToken(call, ordinal)

    def _mac(self, purpose: str, call: str, ordinal: int) -> str:
        digest = hmac.new(self._secret, f"{purpose}:{call}:{ordinal}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _write_once(path: Path, content: bytes) -> None:
    """All of it or nothing, and never over what is there: two servers may start in the same folder at the same time."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # readable by its owner only
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        Path(draft).unlink()

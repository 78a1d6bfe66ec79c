"""The tokens in the paths of media sockets.

A token is HMAC-SHA256 over (call, ordinal) under a secret that the database keeps, or, until that has been read, under
that of the data folder: another process can compute it again, and it is never stored. The token is in the path because
carriers drop or change query strings. It contains the call's id, so the call is looked up by id, and the secret part is
only compared, in constant time.

This is not itsdangerous' `Signer`, although that makes the same signature: it also accepts three other spellings of
each one (base64 leaves two bits of the last character unused), so that the whole token would have to be compared again.
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
    """The stream that a token names."""

    call: str
    ordinal: int
    """Ordinal of the call's stream, from 1."""


class StreamTokens:
    """Makes tokens with one secret, and reads those that were made with an earlier one, too."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 bytes."""
        self._secrets = [secret]
        self.is_shared = False
        """The secret is one that all processes with this history have."""

    @classmethod
    def in_folder(cls, folder: Path) -> StreamTokens:
        """Use the secret of this data folder. The secret is made on first use and readable by its owner only.

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

    def share(self, keep: bytes) -> None:
        """Make tokens with this secret from now on, which all processes with this history have. Raises ValueError for
        one that is damaged."""
        if len(keep) != _SECRET_BYTES:
            raise ValueError("the secret that the database keeps is damaged: delete its row, and restart")
        self._secrets = [keep, *(each for each in self._secrets if each != keep)]
        self.is_shared = True

    @property
    def newest(self) -> bytes:
        """The secret with which tokens are made."""
        return self._secrets[0]

    def path_token(self, call: str, ordinal: int) -> str:
        """Make the token of a stream, about 80 characters that are safe in a path. `call`: a UUID."""
        return _path_token(self.newest, call, ordinal)

    def header_token(self, call: str, ordinal: int) -> str:
        """Make a second secret of the same stream, for carriers that send one in a header: 43 characters."""
        return self.header_tokens(call, ordinal)[0]

    def header_tokens(self, call: str, ordinal: int) -> list[str]:
        """Return the header token, and those that were made with earlier secrets."""
        return [_mac(each, "header", call, ordinal) for each in self._secrets]

    def read(self, token: str) -> StreamToken:
        """Return the stream that a path token names. Raises Refused unless the token is one of ours."""
        try:
            given = token.encode()
            name, number, _ = token.split(".")
            call, ordinal = str(UUID(hex=name)), int(number)
        except ValueError:
            raise Refused("not a stream token") from None
        # The whole token, because UUID and int read several spellings of the same value.
        right = [hmac.compare_digest(given, _path_token(each, call, ordinal).encode()) for each in self._secrets]
        if not any(right):
            raise Refused("not a stream token of this server")
        return StreamToken(call, ordinal)

    def secrets_for(self, purpose: str) -> list[bytes]:
        """Return other secrets, from which those of the tokens cannot be found: what is signed is signed with the
        first, and the others are of before. `purpose`: some words."""
        return [hmac.digest(each, f"for: {purpose}".encode(), "sha256") for each in self._secrets]


def _path_token(secret: bytes, call: str, ordinal: int) -> str:
    return f"{UUID(call).hex}.{ordinal}.{_mac(secret, 'path', call, ordinal)}"


def _mac(secret: bytes, purpose: str, call: str, ordinal: int) -> str:
    digest = hmac.new(secret, f"{purpose}:{call}:{ordinal}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _write_once(path: Path, content: bytes) -> None:
    """Create the file with its whole content, and never overwrite one: two servers may start in the same folder at
    once."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # readable by its owner only
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        Path(draft).unlink()

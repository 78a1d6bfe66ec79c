"""Passes accepted connections between the workers of one machine, unread: the kernel hands the open socket over.

Each worker has a datagram socket at `NAME.fd.sock` in a folder that this user alone can enter. One datagram brings one
connection, and says at which listener it came in. It is sent without waiting; where that fails, the connection stays
where it is. Linux lets no more than 11 of them wait (net.unix.max_dgram_qlen): whoever sends more while a worker does
something else has to try again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from callflow.config import private_files


log = logging.getLogger(__name__)

_MOST_WORD: Final = 64
TAKE_LISTENERS: Final = "take listeners"
"""Asks a worker whose parent has died for its listening sockets; they come back over the socket that is sent along."""


class SocketPassing:
    """The datagram socket of one worker."""

    def __init__(self, folder: Path, name: str) -> None:
        """`folder`: which the workers of this machine share."""
        self._folder, self._path = folder, socket_path(folder, name)
        self._listeners: dict[bytes, Callable[[socket.socket], None]] = {}
        self._own: socket.socket | None = None

    def serve(self, word: str, take: Callable[[socket.socket], None]) -> None:
        """Let `take` have the connections that come with this word; it owns them, and must not wait."""
        self._listeners[word.encode()] = take

    def open(self) -> None:
        """Begin to take connections; a loop must be running. Raises OSError."""
        private_files.make(self._folder)
        self._path.unlink(missing_ok=True)  # of a process that has ended: the node's lock says that there is no other
        self._own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._own.setblocking(False)
        self._own.bind(str(self._path))
        self._path.chmod(0o600)
        asyncio.get_running_loop().add_reader(self._own, self._receive)

    def close(self) -> None:
        """Take no more connections."""
        if self._own is not None:
            asyncio.get_running_loop().remove_reader(self._own)
            self._own.close()
            self._own = None
            self._path.unlink(missing_ok=True)

    def pass_on(self, word: str, connection: socket.socket, name: str) -> bool:
        """Hand an accepted connection to another worker, and close it here. False: it cannot be handed over. Raises
        BlockingIOError: not yet."""
        if not send(socket_path(self._folder, name), word, [connection]):
            return False
        connection.close()
        return True

    def _receive(self) -> None:
        assert self._own is not None
        while True:
            try:
                word, fds, _, _ = socket.recv_fds(self._own, _MOST_WORD, 4)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.warning("no connections can be taken from other workers: %s", error)
                return
            connections = [socket.socket(fileno=fd) for fd in fds]
            take = self._listeners.get(word)
            for connection in connections:
                connection.setblocking(False)
                if take is None:
                    connection.close()
                else:
                    take(connection)


def socket_path(folder: Path, name: str) -> Path:
    """Return where the datagram socket of a worker lies."""
    return folder / f"{name}.fd.sock"


def send(path: Path, word: str, sockets: Sequence[socket.socket]) -> bool:
    """Send open sockets to the worker whose datagram socket lies there. Never waits. Returns whether it has them.

    Raises BlockingIOError: it has not taken yet what was sent before.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.connect(str(path))
            socket.send_fds(sender, [word.encode()], [each.fileno() for each in sockets])
        except BlockingIOError:
            raise
        except OSError:
            return False
    return True

"""The frames on a media socket, and the interface of a carrier's protocol for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class StreamConnected(NamedTuple):
    """A media socket was opened; `secret` is what the carrier sends with it, "" if nothing."""

    secret: str = ""


class StreamStarted(NamedTuple):
    """The stream of a call begins on this socket, with this format of audio."""

    stream: str
    call: str
    """The carrier's own id of the call that this stream claims to belong to; empty if the protocol has none."""
    session: str
    encoding: str
    sample_rate: int
    channels: int
    is_foreign: bool = False
    """It is of another account."""


class CallerAudio(NamedTuple):
    """A frame from the caller: base64 of codec bytes, untouched. `chunk` counts from 1; 0: not numbered."""

    chunk: int
    payload: str


class OtherAudio(NamedTuple):
    """A frame of the outbound track, of what the caller hears: base64 of codec bytes, untouched."""

    payload: str


class MarkReceived(NamedTuple):
    """The carrier has played everything that was sent before the mark of this name, or has thrown it away."""

    name: str


class DtmfFrame(NamedTuple):
    """The caller has pressed a key."""

    digit: str


class StreamStopped(NamedTuple):
    """The carrier has ended the stream."""

    reason: str = ""


class MediaError(NamedTuple):
    """The carrier complains about a frame of ours."""

    code: str
    detail: str


class IgnoredFrame(NamedTuple):
    """A frame of a kind, or of a track, that is not for us."""

    kind: str


Frame = (
    StreamConnected
    | StreamStarted
    | CallerAudio
    | OtherAudio
    | MarkReceived
    | DtmfFrame
    | StreamStopped
    | MediaError
    | IgnoredFrame
)


class MediaProtocol(Protocol):
    """The protocol of one carrier's media socket. One instance per socket; no I/O."""

    def decode(self, text: str | bytes) -> Frame:
        """Read one message of the carrier. Raises Malformed."""

    def audio(self, payload: str) -> str:
        """Return a frame for the carrier; `payload`: base64 of µ-law, a multiple of 20 ms."""

    def mark(self, name: str) -> str:
        """Return a frame that asks the carrier to say when everything before it was played."""

    def clear(self) -> str:
        """Return a frame that makes the carrier throw away what it has not played yet."""


class MediaSocket(Protocol):
    """An open WebSocket, as the package that uses it sees it. All methods are called on the event loop."""

    def start(
        self, message: Callable[[str | bytes], None], ended: Callable[[str], None], *, write_seconds: float
    ) -> None:
        """Begin to read and to write.

        `message` is called with each message, in order, without a task in between. `ended` is called once, with the
        reason, when the peer has closed, is gone, or has read nothing for `write_seconds`.
        """

    def put(self, text: str, weight: int = 0) -> None:
        """Send a text message, without waiting. `weight`: bytes of audio in the message. After `ended` was called,
        messages are thrown away."""

    def ping(self, answered: Callable[[], None]) -> bool:
        """Send a ping (RFC 6455, section 5.5.2), if the peer is known to answer pings and has answered the last one.
        `answered` is called with its pong. Returns False if none was sent."""

    async def close(self, code: int, reason: str) -> None:
        """Close the socket, once, with a WebSocket close code (RFC 6455, section 7.4). May be called before `start`."""

    async def finish(self, code: int, reason: str) -> None:
        """Send the close frame that `close` sends, and go on to read: what the peer had sent before it knew comes
        still, then `ended` is called. `close` must follow."""


class SpeechSegmentId(NamedTuple):
    """The id of one stretch of speech, which is a content part of a message item of the engine."""

    item: str
    content: int = 0
    session: int = 1
    """The number of the engine's session that said it; other sessions do not know the stretch."""


class HandoverInput(NamedTuple):
    """What came of a caller on a media stream after their call was given to another process."""

    audio: bytes = b""
    """µ-law."""
    keys: str = ""
    """Keys of their telephone, which the journal does not have."""


class Cut(NamedTuple):
    """An interrupted stretch of speech: the caller heard its first `heard_ms`, and not the rest."""

    key: SpeechSegmentId
    heard_ms: int
    received_ms: int


class Heard(NamedTuple):
    """A stretch of speech that the caller has heard to its end."""

    key: SpeechSegmentId
    ms: int

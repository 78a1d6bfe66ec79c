"""A media socket on which nothing is said: it brings what both ends of a transferred call say, each on a track of its
own."""

from __future__ import annotations

import binascii
from collections.abc import Callable

from callflow.contracts.loose_base64 import loosely_decoded
from callflow.contracts.media import Frame, MediaProtocol, MediaSocket, OtherAudio
from callflow.media import g711
from callflow.media.media_config import MediaConfig
from callflow.media.media_stream import MediaStream, StreamOwner


class BridgedStream(MediaStream):
    """The inbound track goes to the owner, as of any stream, and the outbound track to `other`: base64 of µ-law."""

    def __init__(
        self,
        owner: StreamOwner,
        socket: MediaSocket,
        protocol: MediaProtocol,
        secret: str,
        config: MediaConfig,
        other: Callable[[str], None],
    ) -> None:
        super().__init__(owner, socket, protocol, secret, config)
        self._other_heard = other

    def _other(self, frame: Frame) -> None:
        if not isinstance(frame, OtherAudio):
            super()._other(frame)
            return
        audio = loosely_decoded(frame.payload) if self.started else None
        if audio:
            ulaw = g711.alaw_to_ulaw(audio) if self._alaw else audio
            # encoded anew: what was read leniently may be no base64 that the model takes
            self._other_heard(binascii.b2a_base64(ulaw, newline=False).decode("ascii"))

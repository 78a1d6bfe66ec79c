"""What a stream to listen to hands on of its outbound track: base64 that any reader takes, whatever a carrier sent."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from callflow.contracts.media import OtherAudio
from callflow.media import g711
from callflow.media.bridged_stream import BridgedStream


AUDIO = bytes(range(0, 256, 3))
PLAIN = base64.b64encode(AUDIO).decode()


@pytest.mark.parametrize(
    "sent",
    [PLAIN, PLAIN.rstrip("="), PLAIN.replace("+", "-").replace("/", "_"), f"{PLAIN[:20]}\n{PLAIN[20:]}"],
    ids=["plain", "no padding", "of URLs", "in lines"],
)
@pytest.mark.parametrize("alaw", [False, True])
async def test_it_is_plain_base64_of_ulaw(sent: str, alaw: bool) -> None:
    heard: list[str] = []
    owner: Any = SimpleNamespace(counts={})
    socket: Any = SimpleNamespace(put=None)
    config: Any = SimpleNamespace(reorder_frames=5)
    stream = BridgedStream(owner, socket, owner, "", config, heard.append)
    stream.started, stream._alaw = True, alaw
    stream._other(OtherAudio(sent))
    assert heard == [base64.b64encode(g711.alaw_to_ulaw(AUDIO) if alaw else AUDIO).decode()]

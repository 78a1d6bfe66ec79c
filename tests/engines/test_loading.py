"""What resamples audio is loaded where it is needed, and before a call needs it."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from pathlib import Path

import pytest

from callflow.contracts.engine import AudioDelta, AudioDone, SessionReady
from callflow.engines.openai_realtime import audio_format
from callflow.sandbox import voices
from callflow.sandbox.common.phone import loud_bytes
from tests.engines.realtime_server import Peer, client, run


ROOT = Path(__file__).parents[2]
LOADED = """
import sys
import callflow.app
from callflow.config.settings import Settings
from callflow.engines.common.account import Account
from callflow.switchboard.call_configs import CallConfigs
CallConfigs(Settings(engine_audio=sys.argv[1]), Account())
print([name for name in ("numpy", "soxr", "soundfile") if name in sys.modules])
"""


@pytest.mark.proof
@pytest.mark.process
@pytest.mark.parametrize(("engine_audio", "loaded"), [("pcmu", "[]"), ("pcm24", "['numpy', 'soxr']")])
def test_it_is_loaded_at_the_start_when_sessions_are_to_have_another_format(engine_audio: str, loaded: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, engine_audio], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == loaded


def sent(peer: Peer) -> int:
    """Return the bytes of audio that the server has received."""
    return sum(len(base64.b64decode(each["audio"])) for each in peer.of("input_audio_buffer.append"))


def not_loaded(monkeypatch: pytest.MonkeyPatch, until: asyncio.Event) -> None:
    """Have the resampler count as not loaded; loading it takes until then, and is another thread's work."""
    load, loop = audio_format.load, asyncio.get_running_loop()

    def slowly() -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        asyncio.run_coroutine_threadsafe(until.wait(), loop).result()
        load()
        monkeypatch.undo()

    monkeypatch.setattr(audio_format, "is_loaded", lambda: False)
    monkeypatch.setattr(audio_format, "load", slowly)


def test_the_caller_waits_while_it_is_loaded_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a server confirms PCM although µ-law was asked for."""
    frames = [base64.b64encode(voices.load("caller/hours")[at : at + 160]).decode() for at in range(0, 8000, 160)]
    is_loaded = asyncio.Event()

    async def pcm(peer: Peer, event: dict[str, object]) -> None:
        wide = {"format": {"type": "audio/pcm", "rate": 24000}}
        await peer.send("session.updated", session={"audio": {"input": wide, "output": wide}})

    async def work() -> None:
        not_loaded(monkeypatch, until=is_loaded)
        async with client(pcm) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            for frame in frames:
                one.engine.append(frame)
            one.engine.truncate("i", 0, 1)
            await one.until(lambda: peer.of("conversation.item.truncate"))
            assert sent(peer) == 0
            is_loaded.set()
            await one.until(lambda: sent(peer) > 6 * 8000 * 0.8)  # the rest is in the resampler

    run(work)


def test_a_session_that_cannot_load_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ImportError("no soxr")

    async def pcm(peer: Peer, event: dict[str, object]) -> None:
        await peer.send("session.updated", session={"audio": {"input": {"format": {"type": "audio/pcm"}}}})

    async def work() -> None:
        monkeypatch.setattr(audio_format, "is_loaded", lambda: False)
        monkeypatch.setattr(audio_format, "load", fails)
        async with client(pcm) as one:
            one.start()
            assert await one.lost() == "its audio cannot be transcoded"

    run(work)


def test_a_server_that_sends_pcm_unasked_is_heard_whole_and_in_order_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has confirmed µ-law."""
    ulaw = voices.load("agent/hours")[:8000]
    wide = audio_format.FromTelephone()
    pcm = base64.b64decode(wide.feed(base64.b64encode(ulaw).decode()))
    is_loaded = asyncio.Event()

    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            not_loaded(monkeypatch, until=is_loaded)
            peer = await one.peer()
            at = {"response_id": "r", "item_id": "i", "content_index": 0}
            for start in range(0, len(pcm), 4800):
                delta = base64.b64encode(pcm[start : start + 4800]).decode()
                await peer.send("response.output_audio.delta", **at, delta=delta)
            await peer.send("response.output_audio.done", **at)
            socket = one.engine._channel.socket
            assert socket is not None
            await one.until(lambda: socket._is_held and len(socket._backlog) > 3)
            assert not one.of(AudioDelta)
            assert not one.of(AudioDone)
            is_loaded.set()
            await one.until(lambda: one.of(AudioDone))
            heard = b"".join(each.audio for each in one.of(AudioDelta))
            assert abs(len(heard) - len(pcm) // 6) <= 160
            assert abs(loud_bytes(heard) - loud_bytes(ulaw)) < len(ulaw) * 0.05
            assert [type(each) for each in one.heard if type(each) in (AudioDelta, AudioDone)][-1] is AudioDone

    run(work)

"""An emulated live (full-duplex) session of OpenAI's, on the port of the emulated Realtime server, with its own path.

It hears by energy, speaks by the same scripts with recorded voices, in real time as a full-duplex model does, stops by
itself when the caller speaks into it, and refuses what is out of order, unknown or of the wrong kind
(https://platform.openai.com/docs/guides/voice-websockets). Nobody has compared it with the real server.
"""

from __future__ import annotations

from callflow.sandbox.openai_realtime.live.session import PATH, LiveFaults, LiveSession


__all__ = ["PATH", "LiveFaults", "LiveSession"]

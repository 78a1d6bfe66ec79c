"""Values of OpenAI's Realtime interface that both settings and adapter need.

https://platform.openai.com/docs/api-reference/realtime
"""

from __future__ import annotations

from datetime import date
from typing import Final
from urllib.parse import parse_qs, urlsplit


VOICES: Final = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
NO_VOICE: Final = f"the model's voices are {', '.join(VOICES)}"
LOGPROBS: Final = "item.input_audio_transcription.logprobs"
"""What a session includes if the certainty of each transcribed word is wanted."""
NOISES: Final = ("near_field", "far_field")
NO_NOISE: Final = "a session has near_field, far_field or none, and no other profile"
PROMPTS_END: Final = date(2026, 11, 30)
"""The last day on which the API takes a reusable prompt."""
_NO_PROMPTS: Final = f"reusable prompts end on {PROMPTS_END}; use instructions"
UNSENT: Final = {
    "temperature": "the interface has no such parameter any more",
    "prompt_id": _NO_PROMPTS,
    "prompt_version": _NO_PROMPTS,
}
"""Settings that are accepted and never sent, with the reason. (Sessions of ours had no prompt when there still were
some; those of others had, see `takes_prompts`.)"""
NEITHER: Final = "Provide either instructions or a prompt reference."
"""The answer to a session that has neither."""


def model_at(url: str) -> str:
    """Return the model that the address of the WebSocket names, which then decides; "": none."""
    return parse_qs(urlsplit(url).query).get("model", [""])[0]


def takes_prompts(today: date) -> bool:
    """Return whether the API still takes a session with a reusable prompt."""
    return today <= PROMPTS_END


def is_voice(name: str) -> bool:
    """Return whether a session may have this voice: one of the model's, or the id of one of its owner's."""
    return name in VOICES or name.startswith("voice_")

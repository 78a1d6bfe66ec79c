"""Values of OpenAI's Realtime interface that both settings and adapter need.

https://platform.openai.com/docs/api-reference/realtime
"""

from __future__ import annotations

from typing import Final


VOICES: Final = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
_NO_PROMPTS: Final = "reusable prompts end on 2026-11-30; use instructions"
UNSENT: Final = {
    "temperature": "the interface has no such parameter any more",
    "prompt_id": _NO_PROMPTS,
    "prompt_version": _NO_PROMPTS,
}
"""Settings that are accepted and never sent, with the reason."""
NEITHER: Final = "Provide either instructions or a prompt reference."
"""The answer to a session that has neither."""

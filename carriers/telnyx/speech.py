"""What Telnyx is told to say, in a language that it has.

Vendor: developers.telnyx.com, Speak text. Its languages are a closed list: with any other one, `speak` is refused (422,
10032), and nothing is heard. A voice of Polly's has a language of its own, and this one is ignored.
"""

from __future__ import annotations

from typing import Final


_LANGUAGES: Final = (
    "arb", "cmn-CN", "cy-GB", "da-DK", "de-DE", "en-US", "en-GB", "en-AU", "en-IN", "en-GB-WLS", "es-ES", "es-MX",
    "es-US", "fr-FR", "fr-CA", "hi-IN", "is-IS", "it-IT", "ja-JP", "ko-KR", "nb-NO", "nl-NL", "pl-PL", "pt-BR",
    "pt-PT", "ro-RO", "ru-RU", "sv-SE", "tr-TR",
)  # fmt: skip
"""All that the schema of `speak` has; of several for one language, the first stands for that language alone."""
_OTHER_NAMES: Final = {"ar": "arb", "zh": "cmn", "no": "nb", "nn": "nb"}


def nearest(language: str) -> str:
    """Return the language of Telnyx's that is closest: `de-DE` for `de` and `de-AT`; "": it has none."""
    wanted = language.replace("_", "-").lower()
    for one in _LANGUAGES:
        if one.lower() == wanted:
            return one
    first = wanted.partition("-")[0]
    first = _OTHER_NAMES.get(first, first)
    return next((one for one in _LANGUAGES if one.lower().partition("-")[0] == first), "")


def speech(text: str, voice: str, language: str) -> dict[str, str]:
    """Return the parameters of `speak`. `language`: as `nearest` returns it."""
    return {"payload": text, "voice": voice, **({"language": language} if language else {})}

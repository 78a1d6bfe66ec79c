"""The parameters of Twilio's REST API, as data: the names that each request accepts."""

from __future__ import annotations

from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


UPDATE_CALL: Final = _names(
    "Url Method Status FallbackUrl FallbackMethod StatusCallback StatusCallbackMethod Twiml TimeLimit"
)
"""POST /Calls/{sid}.json, https://www.twilio.com/docs/voice/api/call-resource#update-a-call-resource."""
CREATE_CALL: Final = (UPDATE_CALL - {"Status"}) | _names(
    "To From ApplicationSid StatusCallbackEvent SendDigits Timeout Record RecordingChannels RecordingTrack"
    " RecordingStatusCallback RecordingStatusCallbackMethod RecordingStatusCallbackEvent Trim CallerId"
    " MachineDetection AsyncAmd AsyncAmdStatusCallback CallReason CallToken"
)
"""POST /Calls.json, https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource."""
NUMBER: Final = {
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceApplicationSid": "voice_application_sid",
    "TrunkSid": "trunk_sid",
    "FriendlyName": "friendly_name",
}
"""POST /IncomingPhoneNumbers/{sid}.json: each parameter, and the field of `Number` that it sets."""
CALL_EVENTS: Final = ("initiated", "ringing", "answered", "completed")
"""The values of StatusCallbackEvent."""
MAX_TWIML: Final = 4000
"""Twilio docs: characters of the parameter Twiml."""

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
    " MachineDetection MachineDetectionTimeout MachineDetectionSpeechThreshold MachineDetectionSpeechEndThreshold"
    " MachineDetectionSilenceTimeout AsyncAmd AsyncAmdStatusCallback AsyncAmdStatusCallbackMethod CallReason CallToken"
    " Byoc ClientNotificationUrl SipAuthUsername SipAuthPassword"
)
"""POST /Calls.json, https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource."""
LIST_CALLS: Final = _names(
    "To From ParentCallSid Status StartTime StartTime< StartTime> EndTime EndTime< EndTime> PageSize Page PageToken"
)
"""GET /Calls.json, https://www.twilio.com/docs/voice/api/call-resource#read-multiple-call-resources."""
RECORD: Final = _names(
    "RecordingChannels RecordingTrack RecordingStatusCallback RecordingStatusCallbackMethod"
    " RecordingStatusCallbackEvent Trim"
)
"""POST /Calls/{sid}/Recordings.json, https://www.twilio.com/docs/voice/api/recording."""
STREAM: Final = _names("Url Name Track StatusCallback StatusCallbackMethod") | frozenset(
    f"Parameter{number}.{what}" for number in range(1, 100) for what in ("Name", "Value")
)
"""POST /Calls/{sid}/Streams.json, https://www.twilio.com/docs/voice/api/stream-resource."""
TRACKS: Final = {
    "inbound_track": ("inbound",), "outbound_track": ("outbound",), "both_tracks": ("inbound", "outbound"),
}  # fmt: skip
UPDATE_RECORDING: Final = _names("Status PauseBehavior")
LIST_RECORDINGS: Final = _names("CallSid PageSize Page PageToken IncludeSoftDeleted")
CHOICES: Final = {
    **dict.fromkeys(
        (
            "Method",
            "FallbackMethod",
            "StatusCallbackMethod",
            "RecordingStatusCallbackMethod",
            "AsyncAmdStatusCallbackMethod",
        ),
        ("GET", "POST"),
    ),
    "Record": ("true", "false"),
    "RecordingChannels": ("mono", "dual"),
    "RecordingTrack": ("inbound", "outbound", "both"),
    "Trim": ("trim-silence", "do-not-trim"),
    "MachineDetection": ("Enable", "DetectMessageEnd"),
    "AsyncAmd": ("true", "false"),
}
"""The values of the parameters that have few."""
RANGES: Final = {
    "Timeout": (1, 600),
    "TimeLimit": (1, 86400),
    "MachineDetectionTimeout": (3, 59),
    "MachineDetectionSpeechThreshold": (1000, 6000),
    "MachineDetectionSpeechEndThreshold": (500, 5000),
    "MachineDetectionSilenceTimeout": (2000, 10000),
}
"""The least and the most of the parameters that are integers."""
URLS: Final = ("Url", "FallbackUrl", "StatusCallback", "RecordingStatusCallback", "AsyncAmdStatusCallback")
RECORDING_EVENTS: Final = ("in-progress", "completed", "absent")
"""The words of RecordingStatusCallbackEvent, which are separated by a space."""
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

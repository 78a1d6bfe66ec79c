"""The request fields of Telnyx's call commands, as data: names, types, enumerations and limits of the API v2.

Vendor: developers.telnyx.com/api/call-control.
"""

from __future__ import annotations

from typing import Final


Fields = dict[str, str]

# A field is written as its type, then its limits: "string", "string 40" (longest), "integer 5..600", "boolean",
# "object", "array", "pairs" (array of {name, value}), "enum a|b", "uuid", "phone" (E.164 or a SIP URI), "any". "!" in
# front means required.
COMMON: Final[Fields] = {"client_state": "base64", "command_id": "string"}

_STREAM: Final[Fields] = {
    "stream_bidirectional_codec": "enum PCMU|PCMA|G722|OPUS|AMR-WB|L16",
    "stream_bidirectional_mode": "enum mp3|rtp",
    "stream_bidirectional_target_legs": "enum both|self|opposite",
    "stream_codec": "enum PCMU|PCMA|G722|OPUS|AMR-WB|L16|default",
    "stream_track": "enum inbound_track|outbound_track|both_tracks",
    "stream_url": "string",
}
_STREAM_MORE: Final[Fields] = {
    "dialogflow_config": "object",
    "enable_dialogflow": "boolean",
    "stream_auth_token": "string 4000",
    "stream_bidirectional_sampling_rate": "integers 8000|16000|22050|24000|48000",
}
_RECORD: Final[Fields] = {
    "record": "enum record-from-answer",
    "record_channels": "enum single|dual",
    "record_custom_file_name": "string 40",
    "record_format": "enum wav|mp3",
    "record_max_length": "integer 0..14400",
    "record_timeout_secs": "integer 0..14400",
    "record_track": "enum both|inbound|outbound",
    "record_trim": "enum trim-silence",
}
_WEBHOOKS: Final[Fields] = {
    "webhook_retries_policies": "object",
    "webhook_url": "string",
    "webhook_url_method": "enum POST|GET",
    "webhook_urls": "object",
    "webhook_urls_method": "enum POST|GET",
}
_NEW_LEG: Final[Fields] = {
    "answering_machine_detection": "enum premium|detect|detect_beep|detect_words|greeting_end|disabled",
    "answering_machine_detection_config": "object",
    "audio_url": "string",
    "custom_headers": "pairs",
    "from_display_name": "string",
    "media_encryption": "enum disabled|SRTP|DTLS",
    "media_name": "string",
    "park_after_unbridge": "string",
    "preferred_codecs": "string",
    "privacy": "enum id|none",
    "send_digits_on_answer": "string",
    "sip_auth_password": "string",
    "sip_auth_username": "string",
    "sip_headers": "pairs",
    "sip_region": "enum US|Europe|Canada|Australia|Middle East",
    "sip_transport_protocol": "enum UDP|TCP|TLS",
    "sound_modifications": "object",
    "time_limit_secs": "integer 30..14400",
    "timeout_secs": "integer 5..600",
}
DETECTION: Final = frozenset(
    f"{name}_millis"
    for name in (
        "after_greeting_silence",
        "between_words_silence",
        "greeting_duration",
        "greeting_silence_duration",
        "greeting_total_analysis_time",
        "initial_silence",
        "maximum_word_length",
        "total_analysis_time",
    )
) | {"maximum_number_of_words", "silence_threshold"}
"""The integers of answering_machine_detection_config."""
_LANGUAGE: Final = (
    "enum arb|cmn-CN|cy-GB|da-DK|de-DE|en-AU|en-GB|en-GB-WLS|en-IN|en-US|es-ES|es-MX|es-US|fr-CA|fr-FR|hi-IN|is-IS|"
    "it-IT|ja-JP|ko-KR|nb-NO|nl-NL|pl-PL|pt-BR|pt-PT|ro-RO|ru-RU|sv-SE|tr-TR"
)
_SPEECH: Final[Fields] = {
    "language": _LANGUAGE,
    "payload": "!string 3000",
    "payload_type": "enum text|ssml",
    "service_level": "enum basic|premium",
    "voice": "!string",
    "voice_settings": "object",
}
_DIGITS: Final[Fields] = {
    "inter_digit_timeout_millis": "integer 0..",
    "maximum_digits": "integer 1..128",
    "minimum_digits": "integer 1..128",
    "terminating_digit": "string",
    "timeout_millis": "integer 0..",
    "valid_digits": "string",
}

DIAL: Final = "dial"
"""POST /calls; every other key is POST (or PUT) /calls/{call_control_id}/actions/{key}."""

COMMANDS: Final[dict[str, Fields]] = {
    DIAL: {
        **COMMON,
        **_STREAM,
        **_STREAM_MORE,
        **_RECORD,
        **_WEBHOOKS,
        **_NEW_LEG,
        "assistant": "object",
        "billing_group_id": "uuid",
        "bridge_intent": "boolean",
        "bridge_on_answer": "boolean",
        "conference_config": "object",
        "connection_id": "!string",
        "conversation_relay_config": "object",
        "deepfake_detection": "object",
        "from": "!phone",
        "link_to": "string",
        "prevent_double_bridge": "boolean",
        "retry_on_timeout": "boolean",
        "send_silence_when_idle": "boolean",
        "stream_establish_before_call_originate": "boolean",
        "supervise_call_control_id": "string",
        "supervisor_role": "enum barge|whisper|monitor",
        "to": "!phones",
        "transcription": "boolean",
        "transcription_config": "object",
    },
    "answer": {
        **COMMON,
        **_STREAM,
        **_RECORD,
        **_WEBHOOKS,
        "assistant": "object",
        "billing_group_id": "uuid",
        "conversation_relay_config": "object",
        "custom_headers": "pairs",
        "deepfake_detection": "object",
        "preferred_codecs": "string",
        "send_silence_when_idle": "boolean",
        "sip_headers": "pairs",
        "sound_modifications": "object",
        "transcription": "boolean",
        "transcription_config": "object",
    },
    "hangup": {**COMMON, "custom_headers": "pairs"},
    "reject": {**COMMON, "cause": "!enum CALL_REJECTED|USER_BUSY"},
    "streaming_start": {**COMMON, **_STREAM, **_STREAM_MORE, "custom_parameters": "pairs"},
    "streaming_stop": {**COMMON, "stream_id": "uuid"},
    "transfer": {
        **COMMON,
        **_RECORD,
        **_WEBHOOKS,
        **_NEW_LEG,
        "early_media": "boolean",
        "from": "phone",
        "mute_dtmf": "enum none|both|self|opposite",
        "target_leg_client_state": "base64",
        "to": "!phone",
    },
    "bridge": {
        **COMMON,
        **_RECORD,
        "call_control_id": "!string",
        "hold_after_unbridge": "boolean",
        "mute_dtmf": "enum none|both|self|opposite",
        "park_after_unbridge": "string",
        "play_ringtone": "boolean",
        "prevent_double_bridge": "boolean",
        "queue": "string",
        "ringtone": "string",
        "video_room_context": "string",
        "video_room_id": "uuid",
    },
    "speak": {**COMMON, **_SPEECH, "loop": "any", "stop": "string", "target_legs": "enum self|opposite|both"},
    "playback_start": {
        **COMMON,
        "audio_type": "enum mp3|wav",
        "audio_url": "string",
        "cache_audio": "boolean",
        "loop": "any",
        "media_name": "string",
        "overlay": "boolean",
        "playback_content": "string",
        "stop": "string",
        "target_legs": "string",
    },
    "playback_stop": {**COMMON, "overlay": "boolean", "stop": "string"},
    "record_start": {
        **COMMON,
        "channels": "!enum single|dual",
        "custom_file_name": "string 40",
        "format": "!enum wav|mp3",
        "max_length": "integer 0..14400",
        "play_beep": "boolean",
        "recording_track": "enum both|inbound|outbound",
        "timeout_secs": "integer 0..14400",
        "transcription": "boolean",
        "transcription_engine": "enum A|B|deepgram/nova-3",
        "transcription_language": "string",
        "transcription_max_speaker_count": "integer 0..",
        "transcription_min_speaker_count": "integer 0..",
        "transcription_profanity_filter": "boolean",
        "transcription_speaker_diarization": "boolean",
        "trim": "enum trim-silence",
    },
    "record_stop": {**COMMON, "recording_id": "uuid"},
    "record_pause": {**COMMON, "recording_id": "uuid"},
    "record_resume": {**COMMON, "recording_id": "uuid"},
    "send_dtmf": {**COMMON, "digits": "!digits", "duration_millis": "integer 100..500"},
    "gather": {**COMMON, **_DIGITS, "gather_id": "string 40", "initial_timeout_millis": "integer 0.."},
    "gather_using_speak": {
        **COMMON,
        **_SPEECH,
        **_DIGITS,
        "invalid_payload": "string",
        "maximum_tries": "integer 1..",
    },
    "gather_stop": COMMON,
    "refer": {
        **COMMON,
        "custom_headers": "pairs",
        "sip_address": "!string",
        "sip_auth_password": "string",
        "sip_auth_username": "string",
        "sip_headers": "pairs",
    },
    "client_state_update": {"client_state": "!base64"},
    "suppression_start": {
        **COMMON,
        "direction": "enum inbound|outbound|both",
        "noise_suppression_engine": (
            "enum Denoiser|DeepFilterNet|Krisp|AiCoustics|aic_l_quail|aic_l_rook|aic_s_quail|aic_s_rook|"
            "quail_voice_focus_s|quail_voice_focus_xs"
        ),
        "noise_suppression_engine_config": "object",
    },
    "suppression_stop": COMMON,
    "transcription_start": {
        **COMMON,
        "transcription_engine": ("enum Google|Telnyx|Deepgram|Azure|xAI|AssemblyAI|Speechmatics|Soniox|Parakeet|A|B"),
        "transcription_engine_config": "object",
        "transcription_tracks": "string",
    },
    "transcription_stop": COMMON,
    "enqueue": {
        **COMMON,
        "keep_after_hangup": "boolean",
        "max_size": "integer 0..",
        "max_wait_time_secs": "integer 0..",
        "queue_name": "!string",
    },
    "leave_queue": COMMON,
    "send_sip_info": {**COMMON, "body": "!string", "content_type": "!string"},
    "switch_supervisor_role": {"role": "!enum barge|whisper|monitor"},
    "fork_start": {**COMMON, "rx": "string", "stream_type": "enum decrypted", "tx": "string"},
    "fork_stop": {**COMMON, "stream_type": "enum raw|decrypted"},
}

PUT_COMMANDS: Final = frozenset({"client_state_update"})
BEFORE_ANSWER: Final = frozenset({"answer", "hangup", "reject", "transfer", "client_state_update"})
"""Commands for a leg that has not been answered. Telnyx docs: most media commands need an answered leg (90034)."""

EVENT_TYPES: Final = frozenset(
    {
        "call.ai_gather.ended",
        "call.ai_gather.message_history_updated",
        "call.ai_gather.partial_results",
        "call.answered",
        "call.bridged",
        "call.conversation.ended",
        "call.conversation_insights.generated",
        "call.cost",
        "call.deepfake_detection.error",
        "call.deepfake_detection.result",
        "call.dtmf.received",
        "call.enqueued",
        "call.fork.started",
        "call.fork.stopped",
        "call.gather.ended",
        "call.hangup",
        "call.hold",
        "call.initiated",
        "call.dequeued",
        "call.machine.detection.ended",
        "call.machine.greeting.ended",
        "call.machine.premium.detection.ended",
        "call.machine.premium.greeting.ended",
        "call.playback.ended",
        "call.playback.started",
        "call.recording.error",
        "call.recording.saved",
        "call.recording.transcription.saved",
        "call.refer.completed",
        "call.refer.failed",
        "call.refer.started",
        "siprec.failed",
        "siprec.started",
        "siprec.stopped",
        "call.speak.ended",
        "call.speak.started",
        "streaming.failed",
        "streaming.started",
        "streaming.stopped",
        "call.unhold",
        "call.transcription",
    }
)

"""The settings that say how a call is conducted: the model, what it is told, and every patience and deadline.

These, and no others, may differ from number to number and from call to call (see `callflow.config.profiles`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from callflow.config import validators as values
from callflow.config.origins import OriginSettings


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Off = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Seconds, or 0 for never."""
Text = Annotated[str, Field(min_length=1)]
Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class CallSettings(OriginSettings):
    # The session of the voice model

    model: Text = "gpt-realtime-2.1"
    voice: Text = "marin"
    """One of the model's voices, or the id of a custom one (`voice_…`)."""
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    instructions: Text = (
        "You are the friendly voice of a small company, speaking with a caller on the telephone. "
        "Keep each answer to one or two short sentences and ask one question at a time. "
        "Repeat names, numbers and dates back to the caller to confirm them. "
        "Speak the caller's language. If you do not know something, say so; never invent an answer."
    )
    output_modalities: Annotated[Literal["audio", "text"], Lower] = "audio"
    engine_audio: Annotated[Literal["pcmu", "pcm24"], Lower] = "pcmu"
    """What audio the model is asked for: the telephone's own, or 24 kHz PCM that is transcoded here."""
    transcription_model: str = "gpt-transcribe"
    """Writes down what the caller says; "": off."""
    transcription_language: Annotated[str, AfterValidator(values.language)] = ""
    transcription_prompt: str = ""
    transcription_logprobs: bool = False
    transcript_seconds: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)] = 2
    """After a call's end, for what the caller said last to be written down; 0: what is not there is not waited for."""
    noise_reduction: Annotated[Literal["near_field", "far_field", "none"], Lower] = "near_field"
    turn_detection: Annotated[Literal["server_vad", "semantic_vad", "none"], Lower] = "server_vad"
    vad_threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    vad_prefix_padding_ms: Annotated[int, Field(ge=0)] = 300
    vad_silence_ms: Annotated[int, Field(ge=0)] = 500
    vad_idle_timeout_ms: Annotated[int, AfterValidator(values.idle_timeout)] = 0
    """The model's own timer for a silent caller, 5000 to 30000; 0: off, because `no_input_seconds` is ours."""
    vad_eagerness: Annotated[Literal["low", "medium", "high", "auto"], Lower] = "auto"
    vad_create_response: bool = True
    vad_interrupt_response: bool = True
    max_output_tokens: Annotated[int | Literal["inf"], BeforeValidator(values.tokens)] = "inf"
    tool_choice: Text = "auto"
    """auto, none, required, or the name of a function."""
    parallel_tool_calls: Annotated[Literal["default", "on", "off"], Lower] = "default"
    reasoning_effort: Annotated[Literal["default", "minimal", "low", "medium", "high", "xhigh"], Lower] = "default"
    truncation: Annotated[float | Literal["auto", "disabled"], BeforeValidator(values.truncation)] = "auto"
    """What becomes of a conversation that is too long; a number is the share of it that is retained."""
    tracing: Annotated[Literal["off", "auto"], Lower] = "off"
    prompt_id: str = ""
    """Of a reusable prompt: no longer served, so it is accepted and not sent."""
    prompt_version: str = ""
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.8
    """The interface has no such parameter any more: accepted and not sent."""

    # What is said

    greeting: str = "Greet the caller and ask how you can help."
    """An instruction to the model for its first turn; "": the model waits for the caller."""
    greeting_protected: bool = False
    """The greeting cannot be interrupted."""
    disclosure: str = ""
    """A sentence that is said word for word before the greeting, and cannot be interrupted."""
    clip_language: Text = "en"

    # What is kept

    record: bool = False
    """A stereo recording of the call: the caller left, what the caller heard right."""
    record_announcement: str = ""
    """A sentence that is said before anything else, and until it was heard in full nothing is recorded."""

    # Turns

    min_interruption_ms: Annotated[int, Field(ge=0)] = 0
    """How long the caller must speak for the agent to stop; 0: at once."""
    no_input_seconds: Off = 10
    """Of silence in the caller's turn until the agent asks; 0: it never asks."""
    no_input_asks: Annotated[int, Field(ge=0)] = 2
    """How often it asks before it says goodbye."""
    hold_seconds: Off = 60
    """An unbroken noise of that length counts as no input."""
    max_call_seconds: Seconds = 3300
    max_call_warning_seconds: Off = 30
    """So long before the end the agent says that the time is nearly up; 0: it does not."""

    # Tools and keys

    tool_timeout_seconds: Seconds = 10
    tool_filler_after_ms: Annotated[int, Field(ge=0)] = 1500
    """After so long the agent says that it is still busy with a tool."""
    mcp_approval: Annotated[Literal["approve", "decline", "ask"], Lower] = "decline"
    """What the model is answered when it asks whether it may use a tool of an MCP server."""
    dtmf_pause_seconds: Seconds = 2
    """After the last digit, before the digits go to the agent."""
    dtmf_end: Annotated[str, AfterValidator(values.key)] = "#"
    """The key that ends an entry at once; "": none does."""
    dtmf_sensitive: bool = False
    """Digits go to the agent and are written down nowhere."""

    # When the engine or the stream fails

    session_seconds: Seconds = 3300
    """After that long a new session of the model takes over, at a moment when nobody speaks."""
    rotation_seconds: Seconds = 60
    """So long before a session's own end a new one takes over at the latest."""
    engine_tries: Annotated[int, Field(ge=0)] = 3
    """New sessions that are tried after one broke."""
    engine_retry_seconds: Seconds = 0.5
    """Between those tries, from the second on."""
    stream_tries: Annotated[int, Field(ge=0)] = 3
    """New media streams that are asked for after one was lost."""
    response_retries: Annotated[int, Field(ge=0)] = 2
    """Further tries of an answer that failed at the model."""
    response_retry_seconds: Seconds = 0.4
    """Before the first of them; doubled for each further one."""
    filler_seconds: Seconds = 1.5
    """Of silence while the model is being restored, until the caller hears "one moment, please"."""
    patience_seconds: Seconds = 2.5
    """The same while the model is merely slow, from the caller's last word."""
    reply_seconds: Seconds = 8
    """From the model's turn to speak until its first word; after it the session counts as lost."""

    # Deadlines

    ring_seconds: Seconds = 20
    """From the first event of a call until it is answered."""
    stream_seconds: Seconds = 10
    """From answered until the media stream has started."""
    start_frame_seconds: Seconds = 5
    """From the opening of a media socket until its `start` frame."""
    engine_seconds: Seconds = 4
    """From the first attempt to reach the model, or from a session's end, until one is ready: over all tries together.
    Then comes the apology of five seconds, so that a call whose model is away has ended after ten."""
    restream_seconds: Seconds = 3
    """For one of the new streams that are asked for after one was lost."""
    stream_grace_seconds: Seconds = 1
    """From the end of a media stream until that counts as lost, not as the call's end."""
    farewell_seconds: Seconds = 8
    """For a spoken last sentence; after it the call is ended in any case."""
    last_words_seconds: Seconds = 15
    """For the agent's own goodbye, from its wish to end the call until that was heard."""
    write_seconds: Seconds = 5
    """For one write to a socket whose peer may have stopped reading."""
    engine_buffer_seconds: Seconds = 10
    """Caller audio kept while the model is not ready; beyond it the model counts as lost."""

    # Audio

    carrier_lead_ms: Annotated[int, Field(ge=20, le=30000)] = 400
    """Speech handed to the carrier ahead of its playing: at most this is still heard after a barge-in."""
    mark_every_ms: Annotated[int, Field(ge=20)] = 200
    """Distance between two marks, that is how exactly we know what the caller has heard."""
    reorder_frames: Annotated[int, Field(ge=0)] = 3
    """20 ms frames of caller audio to wait for one that is late; 0: take them as they come."""
    join_ms: Annotated[int, Field(ge=0, le=1000)] = 0
    """Caller audio that is sent to the model together; 0: each frame as it comes."""
    warm_up_ms: Annotated[int, Field(ge=0, le=2000)] = 0
    """Caller audio that must be there before the first of it is sent to the model."""

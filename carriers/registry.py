"""Make the carriers that the settings turn on: the only place that maps settings to a carrier's config.

Every field is named here, because a carrier's `voice` is the setting `carrier_voice`, and not the `voice` of the model.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from callflow.config.openai_addresses import rest_root
from callflow.config.settings import Settings
from callflow.contracts.carrier import Carrier


if TYPE_CHECKING:
    from carriers.openai_sip.carrier import OpenAISipConfig
    from carriers.telnyx.carrier import TelnyxConfig
    from carriers.twilio.config import TwilioConfig


def make_carriers(settings: Settings, address: Callable[[], str]) -> list[Carrier]:
    """Make each carrier whose keys are set, and load no other: the check of Telnyx's signatures alone takes 6 MB.
    `address` returns our public address (`https://host`), without a path."""
    carriers: list[Carrier] = []
    if settings.telnyx_on:
        from carriers.telnyx.carrier import Telnyx

        carriers.append(Telnyx(telnyx_config(settings, address)))
    if settings.twilio_on:
        from carriers.twilio.carrier import Twilio

        carriers.append(Twilio(twilio_config(settings, address)))
    if settings.openai_sip_on:
        from carriers.openai_sip.carrier import OpenAISip

        carriers.append(OpenAISip(openai_sip_config(settings)))
    return carriers


def closed_paths(settings: Settings) -> dict[str, str]:
    """Return the paths of webhooks that are refused, because nothing could verify them: each with what to do."""
    if settings.openai_sip_on:
        return {}
    return {"/openai/webhook": "OPENAI_WEBHOOK_SECRET is not set, so no webhook of OpenAI's can be verified"}


def openai_sip_config(settings: Settings) -> OpenAISipConfig:
    """Return what the settings say of OpenAI's SIP, which is a part of its REST API."""
    from carriers.openai_sip.carrier import OpenAISipConfig

    return OpenAISipConfig(
        api_key=settings.openai_api_key.get_secret_value(),
        webhook_secret=settings.openai_webhook_secret.get_secret_value(),
        calls_url=f"{rest_root(settings)}/realtime/calls",
        sip_uri=settings.openai_sip_uri,
        seconds=settings.command_seconds,
        retries=settings.command_retries,
    )


def telnyx_config(settings: Settings, address: Callable[[], str]) -> TelnyxConfig:
    """Return what the settings say of Telnyx. `address`: as for `make_carriers`."""
    from carriers.telnyx.carrier import TelnyxConfig

    return TelnyxConfig(
        api_key=settings.telnyx_api_key.get_secret_value(),
        public_key=base64.b64decode(settings.telnyx_public_key) or None,
        address=address,
        api_base=settings.telnyx_api_base,
        allow_unsigned=settings.allow_unsigned_webhooks,
        voice=settings.carrier_voice,
        language=settings.carrier_language,
        sentences=sentences(settings),
        target_legs=settings.stream_target_legs,
        connection_id=settings.telnyx_connection_id,
        from_number=settings.telnyx_from_number,
        machine_detection=settings.telnyx_machine_detection,
        recording_hosts=settings.recording_hosts.split(),
        seconds=settings.command_seconds,
        retries=settings.command_retries,
    )


def twilio_config(settings: Settings, address: Callable[[], str]) -> TwilioConfig:
    """Return what the settings say of Twilio. `address`: as for `make_carriers`."""
    from carriers.twilio.config import TwilioConfig

    shared = [key.rpartition(":") for key in settings.twilio_shared_keys.get_secret_value().split(",")]
    return TwilioConfig(
        account_sid=settings.twilio_account_sid,
        auth_tokens=settings.twilio_auth_token.get_secret_value().split(","),
        address=address,
        api_key=settings.twilio_api_key,
        api_secret=settings.twilio_api_secret.get_secret_value(),
        shared_keys={name: secret for name, _, secret in shared if secret},
        api_base=settings.twilio_api_base,
        allow_unsigned=settings.allow_unsigned_webhooks,
        media_signature=settings.twilio_media_signature,
        voice=settings.carrier_voice,
        language=settings.carrier_language,
        sentences=sentences(settings),
        greeting_text=settings.twilio_greeting_text,
        pause_seconds=math.ceil(settings.twilio_pause_seconds),
        after_text=settings.twilio_after_text,
        resume_seconds=math.ceil(settings.twilio_resume_seconds),
        from_number=settings.twilio_from_number,
        default_mode=settings.twiml_default_mode,
        recording_hosts=settings.recording_hosts.split(),
        seconds=settings.command_seconds,
        retries=settings.command_retries,
    )


def make_phone(settings: Settings, address: Callable[[], str], *, account: str, token: str, api_base: str) -> Carrier:
    """Make the line of the phone in the operators' page: an emulated carrier at `api_base`, which `account` and `token`
    identify. `address`: returns where its webhooks come in, with a path. Every request must be signed."""
    from carriers.twilio.phone import Phone

    config = replace(
        twilio_config(settings, address),
        account_sid=account, auth_tokens=[token], api_key="", api_secret="", shared_keys={}, api_base=api_base,
        allow_unsigned=False, media_signature="require", from_number="", recording_hosts=(),
    )  # fmt: skip
    return Phone(config)


def page_without_server(settings: Settings) -> str:
    """Return a document that Twilio plays when no server answers: a sentence, and whom it rings then."""
    from carriers.twilio.failover import document
    from carriers.twilio.twiml import Voice

    usual = settings.one_moment_text if settings.fallback_number else settings.apology_text
    voice = Voice(settings.carrier_voice, settings.carrier_language)
    return document(settings.fallback_text or usual, settings.fallback_number, settings.goodbye_text, voice)


def sentences(settings: Settings) -> Mapping[str, str]:
    """Return the text of each sentence that a carrier may be told to speak, by its name in the `Speak` command."""
    return {
        "sorry": settings.apology_text,
        "one-moment": settings.one_moment_text,
        "goodbye": settings.goodbye_text,
        "busy": settings.busy_text,
        "unavailable": settings.unavailable_text,
    }

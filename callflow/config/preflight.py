"""Find what keeps the server from starting, in its settings alone."""

from __future__ import annotations

from callflow.config import control_endpoint, paths, validators
from callflow.config.settings import Settings


def check_serve(settings: Settings) -> list[str]:
    """Return a line for each problem that keeps `serve` from starting; empty when nothing does."""
    problems: list[str] = []
    if not settings.openai_api_key:
        problems.append(
            "OPENAI_API_KEY is not set: put it into .env, or try `python server.py demo`, which needs no key"
        )
    problems += _check_carriers(settings)
    token = settings.console_token.get_secret_value()
    if not token and not validators.is_loopback(settings.console_host):
        problems.append(
            f'CONSOLE_TOKEN is not set, but CONSOLE_HOST="{settings.console_host}" can be reached from other machines:'
            " set a token of at least 16 characters, or CONSOLE_HOST=127.0.0.1"
        )
    if named := settings.console_tokens.get_secret_value():
        if not token:
            problems.append("CONSOLE_TOKENS is set, but CONSOLE_TOKEN is not: without it nobody may see everything")
        elif token in {entry.rpartition(":")[2] for entry in named.split(",")}:
            problems.append("CONSOLE_TOKENS has the token of CONSOLE_TOKEN: each must be another one")
    if token and len(token) < validators.TOKEN_CHARACTERS:
        problems.append(f"CONSOLE_TOKEN has {len(token)} characters: use at least {validators.TOKEN_CHARACTERS}")
    if settings.events_url and not settings.events_secret.get_secret_value():
        problems.append(
            f"EVENTS_SECRET is not set, but EVENTS_URL is, and nothing is sent unsigned: {validators.MAKE_SECRET}"
        )
    elif settings.lookup_url and not settings.events_secret.get_secret_value():
        problems.append(
            "EVENTS_SECRET is not set, but CALLER_LOOKUP is an address, and nothing is asked unsigned: "
            f"{validators.MAKE_SECRET}"
        )
    problems += control_endpoint.problems(settings)
    problems += settings.recording_problems()
    problems += settings.cluster_problems(
        settings.media_server, settings.database_url, (settings.port, settings.console_port), settings.data_dir
    )
    hosts = {settings.host, settings.console_host}
    if (
        settings.port
        and settings.port == settings.console_port
        and (len(hosts) == 1 or hosts & validators.EVERY_ADDRESS)
    ):
        problems.append(f"CONSOLE_PORT={settings.console_port} is also PORT: give the console a port of its own")
    return [*problems, *paths.problems(settings)]


def _check_carriers(settings: Settings) -> list[str]:
    """Return the problems of the carriers. One without any of its keys is off; some of its keys are a mistake."""
    problems: list[str] = []
    telnyx = settings.telnyx_api_key or settings.telnyx_public_key
    twilio = settings.twilio_account_sid or settings.twilio_auth_token
    if not twilio and (settings.twilio_api_key or settings.twilio_api_secret):
        problems.append(
            "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set, but an API key of Twilio's is: set all of them"
        )
    elif not telnyx and not twilio and not settings.openai_sip_on:
        problems.append(
            "No carrier is set up: put TELNYX_API_KEY and TELNYX_PUBLIC_KEY into .env,"
            " or TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
        )
    if telnyx and not settings.telnyx_api_key:
        problems.append("TELNYX_API_KEY is not set, but TELNYX_PUBLIC_KEY is: set both, or neither to leave Telnyx off")
    elif telnyx and not settings.telnyx_on:
        problems.append(
            "TELNYX_PUBLIC_KEY is not set, but TELNYX_API_KEY is: copy it from Telnyx (Keys & Credentials, Public Key)"
        )
    if twilio and not settings.twilio_account_sid:
        problems.append(
            "TWILIO_ACCOUNT_SID is not set, but TWILIO_AUTH_TOKEN is: set both, or neither to leave Twilio off"
        )
    elif twilio and not settings.twilio_on:
        problems.append(
            "TWILIO_AUTH_TOKEN is not set, but TWILIO_ACCOUNT_SID is: copy it from Twilio's console (Account Info);"
            " it verifies webhooks, which an API key cannot"
        )
    if bool(settings.twilio_api_key) != bool(settings.twilio_api_secret):
        given, missing = ("KEY", "SECRET") if settings.twilio_api_key else ("SECRET", "KEY")
        problems.append(f"TWILIO_API_{missing} is not set, but TWILIO_API_{given} is: set both, or neither")
    return problems

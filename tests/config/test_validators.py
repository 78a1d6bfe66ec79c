"""Values of another kind than the one that is wanted: what they are, and what to write."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr

from callflow.config import validators
from tests.config.test_settings import Here, here, problems


__all__ = ["here"]  # a fixture


SID = "AC" + "1" * 32


SECONDS = "must be a number of seconds above 0, and 86400 at most"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('voice = {name = "a"}', "VOICE must be text in quotes, and not empty; this is a table"),
        ("voice.name = 1", "VOICE must be text in quotes, and not empty; this is a table"),
        ('greeting = ["a"]', "GREETING must be text in quotes; this is a list"),
        ("[[port]]", "PORT must be a whole number from 0 to 65535, for example 6000; this is a list"),
        ("[port]", "PORT must be a whole number from 0 to 65535, for example 6000; this is a table"),
        ("max_output_tokens = [1]",
         'MAX_OUTPUT_TOKENS must be "inf" or a whole number from 1 to 4096; this is a list'),
        ("log_level = []", 'LOG_LEVEL must be "debug", "info", "warning" or "error"; this is a list'),
        ('console_token = ["Zq9"]', "CONSOLE_TOKEN must be text in quotes; this is a list"),
        ('answer_seconds = "10s"',
         f'ANSWER_SECONDS="10s" {SECONDS}, for example 20; write it without a unit'),
        ('answer_seconds = "1,5"',
         f'ANSWER_SECONDS="1,5" {SECONDS}, for example 20; a fraction is written with a point',
         ),
        ('vad_threshold = "50%"',
         'VAD_THRESHOLD="50%" must be a number from 0 to 1, for example 0.5; write it as 0.5'),
        ('host = "127.0.0.1:80"',
         "HOST must be without a port, which has a setting of its own, for example 127.0.0.1"),
        ('transcription_language = "english"',
         'TRANSCRIPTION_LANGUAGE="english" must be a language as in "en" or "en-US"'),
        ('carrier_language = "English-(US)"',
         'CARRIER_LANGUAGE="English-(US)" must be a language as in "en" or "en-US"'),
        ('dtmf_end = "hash"', 'DTMF_END="hash" must be a key of a telephone, such as "#", or ""'),
        ('tools_file = ""', 'TOOLS_FILE="" must be text in quotes, and not empty'),
        ('profiles = "sales"', "settings.toml: profiles are tables of their own, each with a name: [profiles.sales]"),
        ("[[profiles]]", "settings.toml: profiles are tables of their own, each with a name: [profiles.sales]"),
        ('twilio_account_sid = "AC123"',
         'TWILIO_ACCOUNT_SID="AC123" the Account SID of Twilio\'s console; this has 5 characters, and not 34'),
        (f'twilio_account_sid = "AC{"z" * 32}"',
         "TWILIO_ACCOUNT_SID=\"ACzz must be AC and 32 hexadecimal digits: the Account SID of Twilio's console"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_told_with_what_it_is(line: str, said: str, here: Here) -> None:
    here(toml=line)
    (told,) = problems()
    name, _, what = said.partition(" ")
    assert told.startswith(name), told
    assert told.endswith(what), told


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("OPENAI_API_KEY=KEY0123456789ABCDEF0123_abc", "the key of an OpenAI account; this looks like one of Telnyx"),
        ("TELNYX_API_KEY=sk-proj-abcdefghijklmnopqrstuv", "an API key of Telnyx; this looks like one of OpenAI"),
        ("TWILIO_AUTH_TOKEN=sk-proj-abcdefghijklmnopqrstuv", "this looks like one of OpenAI"),
        (f"TWILIO_AUTH_TOKEN={SID}", "this looks like the SID of an account or of an API key"),
        (f"TWILIO_API_KEY={SID}", "must be SK and 32 hexadecimal digits"),
        ("TWILIO_API_KEY=SK12", "must be SK and 32 hexadecimal digits"),
    ],
)
def test_a_key_in_the_place_of_another_is_told_and_not_shown(env: str, said: str, here: Here) -> None:
    here(env=env)
    (told,) = problems()
    assert said in told
    assert env.partition("=")[2] not in told or "TWILIO_API_KEY" in env


@pytest.mark.parametrize("given", ["", "authorization=Bearer%20x", "a=b, c=d==", " a=b ,"])
def test_headers_for_a_collector(given: str) -> None:
    found = validators.collector_headers(SecretStr(given)).get_secret_value()
    assert found == given.replace(" ", "").rstrip(",")


@pytest.mark.parametrize(
    ("given", "hint"), [("abc", "name=value"), ("a=b,c", "name=value"), ("=b", "name=value"), ("a=Bearer x", "%20")]
)
def test_odd_headers_for_a_collector(given: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        validators.collector_headers(SecretStr(given))


@pytest.mark.parametrize(
    "given",
    ["", "https://you.example/events?key=1", "http://127.0.0.1:8080/", "http://localhost/a", "http://[::1]:80/",
     "https://user:word@you.example/"],
)  # fmt: skip
def test_where_events_may_be_sent(given: str) -> None:
    assert validators.events_url(given) == given


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("http://you.example/", "https"), ("http://10.0.0.1/", "https"), ("http://127.0.0.1.you.example/", "https"),
        ("you.example", "https"), ("https://", "host"), ("https://a/#b", "fragment"), ("ftp://a/", "https"),
    ],
)  # fmt: skip
def test_where_events_may_not_be_sent(given: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        validators.events_url(given)


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize("given", ["", whsec(24), whsec(64), f"{whsec(32)}, {whsec(33)}"])
def test_secrets_that_sign_events(given: str) -> None:
    assert validators.events_secret(SecretStr(given)).get_secret_value() == given.replace(" ", "")


@pytest.mark.parametrize("given", [whsec(23), whsec(65), whsec(32)[6:], "whsec_", "whsec_!!", f"{whsec(32)},word"])
def test_a_secret_that_cannot_sign_events_says_how_one_is_made(given: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes; this makes one: python3 -c") as refused:
        validators.events_secret(SecretStr(given))
    assert given.split(",")[-1] not in str(refused.value) or given == "whsec_"


def test_the_command_that_makes_a_secret_makes_one(capsys: pytest.CaptureFixture[str]) -> None:
    command = validators.MAKE_SECRET.partition('"')[2].removesuffix('"')
    exec(command)
    made = capsys.readouterr().out.strip()
    assert validators.events_secret(SecretStr(made)).get_secret_value() == made


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("", ""), ("who_calls", "who_calls"), ("tools", "caller_lookup"), ("caller_lookup", "caller_lookup"),
        ("https://you.example/who?key=1", "https://you.example/who?key=1"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
    ],
)  # fmt: skip
def test_what_may_be_asked_about_callers(given: str, taken: str) -> None:
    assert validators.caller_lookup(given) == taken


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("who calls", "function"), ("1st", "function"), ("class", "function"), ("tools.py", "function"),
        ("http://you.example/", "https://"), ("ftp://you.example/", "https"), ("//you.example", "https"),
    ],
)  # fmt: skip
def test_what_may_not_be_asked_about_callers(given: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        validators.caller_lookup(given)

"""The table printed at start: complete, readable at 80 columns, plain when it goes to a file."""

import base64
import io

import pytest
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from callflow.cli.plain_table import render
from callflow.cli.startup_report import start_table
from callflow.config.settings import Settings
from callflow.config.setup_checks import to_do, webhooks


READY = Settings(
    openai_api_key=SecretStr("sk-very-secret-and-long"),
    telnyx_api_key=SecretStr("KEY-very-secret-and-long"),
    telnyx_public_key=base64.b64encode(bytes(range(32))).decode(),
    console_token=SecretStr("token-very-secret-and-long"),
    public_base_url="https://calls.example.org",
)


def shown(table: Table, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def printed(settings: Settings, warnings: list[str] | None = None, width: int = 80) -> str:
    table = start_table(
        settings,
        public=("127.0.0.1", 6000),
        console=("::1", 6001),
        address=settings.public_base_url,
        warnings=warnings or [],
    )
    return "\n".join(render(table, width=width))


def row(text: str, label: str) -> str:
    (line,) = (line for line in text.splitlines() if line.strip().startswith(label + "  "))
    return line.strip().removeprefix(label).strip()


def test_it_says_where_everything_is() -> None:
    text = printed(READY)
    assert row(text, "Callflow") == "http://127.0.0.1:6000  for carriers"
    assert row(text, "console") == "http://[::1]:6001  for operators, with a token"
    assert row(text, "public address") == "https://calls.example.org"
    assert row(text, "Telnyx") == "on"
    assert row(text, "Twilio") == "off"
    assert row(text, "model") == "gpt-realtime-2.1, voice marin"
    assert row(text, "caller's words") == "written down by gpt-transcribe"
    assert row(text, "limits") == "100 calls at once, 55 min each"
    assert row(text, "to do") == "nothing: waiting for calls"
    assert "secret" not in text


def test_a_file_gets_neither_colour_nor_vertical_lines_nor_more_than_80_columns() -> None:
    text = printed(Settings(), warnings=["word " * 40])
    assert "\x1b" not in text
    assert "│" not in text
    assert "…" not in text, "nothing is cut off"
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_off_is_said() -> None:
    text = printed(Settings(transcription_model=""))
    assert row(text, "Telnyx") == "off"
    assert row(text, "public address") == "not set"
    assert row(text, "caller's words") == "not written down"


def test_who_serves_beside_this_process_is_said() -> None:
    assert row(printed(READY.model_copy(update={"workers": 4})), "workers") == "4 processes"
    told = printed(READY.model_copy(update={"node": "a", "cluster_host": "10.0.0.11", "cluster_port": 6010}))
    assert row(told, "node") == "a: one process; other machines reach it at"  # and the rest in the next line
    assert " http://10.0.0.11:6010 and above" in told
    assert "workers" not in printed(READY)


def test_a_setting_is_never_read_as_markup() -> None:
    assert row(printed(READY.model_copy(update={"voice": "[red]x[/]"})), "model").endswith("voice [red]x[/]")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(3600, "1 h"), (7200, "2 h"), (90 * 60, "90 min"), (90, "90 s"), (0.5, "0.5 s")]
)
def test_durations_are_given_in_the_largest_whole_unit(seconds: float, shown: str) -> None:
    assert printed(READY.model_copy(update={"max_call_seconds": seconds})).count(f" {shown} each") == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"public_base_url": ""}, "Set PUBLIC_BASE_URL"),
        ({"public_base_url": "http://localhost:6000"}, "this machine only"),
        ({"public_base_url": "https://[::1]:6000"}, "this machine only"),
        ({"public_base_url": "http://calls.example.org"}, "in the clear"),
        ({"allow_unsigned_webhooks": True}, "anyone can fake a call"),
    ],
)
def test_what_is_left_to_do_is_said(changes: dict[str, object], words: str) -> None:
    settings = READY.model_copy(update=changes)
    (line,) = to_do(settings, settings.public_base_url)
    assert words in line


def test_warnings_come_first_each_in_a_row_of_its_own() -> None:
    text = printed(READY.model_copy(update={"allow_unsigned_webhooks": True}), warnings=["first", "second"])
    rows = [line.split("to do")[1].strip() for line in text.splitlines() if "to do" in line]
    assert rows[:2] == ["first", "second"]
    assert len(rows) == 3


def test_each_carrier_that_is_on_is_told_its_own_address() -> None:
    both = READY.model_copy(
        update={"twilio_account_sid": "AC" + "0" * 32, "twilio_auth_token": SecretStr("a token of Twilio's")}
    )
    alone = {"Telnyx webhook": "https://x.example/webhooks"}
    assert webhooks(READY, "https://x.example") == alone
    assert webhooks(both, "https://x.example") == alone | {
        "Twilio voice webhook": "https://x.example/",
        "Twilio status callback": "https://x.example/twilio/status",
    }
    assert webhooks(Settings(), "https://x.example") == {}
    assert row(printed(both), "Twilio") == "on"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Telnyx takes it out"),
        ({"twilio_account_sid": "AC1", "twilio_auth_token": SecretStr("x")}, "Twilio has no noise suppression"),
    ],
)
def test_who_takes_noise_out_of_the_callers_audio_is_said(changes: dict[str, object], words: str) -> None:
    assert "noise  " not in printed(READY)
    text = printed(READY.model_copy(update={"noise_suppression": "inbound", **changes}), width=160)
    assert words in row(text, "noise")

"""What is wrong in settings.toml is told with its line, and with what to write instead."""

from __future__ import annotations

import tomllib

import pytest

from callflow.config import toml_errors
from callflow.config.loader import load
from callflow.contracts.errors import SettingsError
from tests.config.test_settings import Here, here, problems


__all__ = ["here"]  # a fixture


SLIPS = [
    ("voice = marin", 'must stand in quotes: voice = "marin"'),
    ("voice = marin # a comment", 'must stand in quotes: voice = "marin"'),
    ("turn_detection = server_vad", 'must stand in quotes: turn_detection = "server_vad"'),
    ('voice = "marin', 'quote of the text of voice is not closed: " is missing'),
    ("voice = 'marin", "quote of the text of voice is not closed: ' is missing"),
    ("voice = \"marin'", "begins with \" and ends with '"),
    ("voice = 'marin\"", "begins with ' and ends with \""),
    ("voice = “marin”", "typographic"),
    ('voice = ""marin""', "behind the closing quote of voice"),
    ('voice = "say "hi" now"', 'a quote within a text is written \\"'),
    ('voice = "marin" // cedar', "a comment begins with #"),
    ('voice = "marin" model = "x"', "needs a line of its own"),
    ('voice "marin"', "must be NAME = value"),
    ('voice: "marin"', "=, not a colon: voice = …"),
    ("voice =", "nothing stands behind the = of voice"),
    ("= 5", "no name before the ="),
    ("port == 7", "stands one ="),
    ("port = 7;", "remove the ; at the end of port"),
    ('voice = "x",', "remove the , at the end of voice"),
    ("record = True", "small letters: record = true"),
    ("record = FALSE", "small letters: record = false"),
    ("record = yes", "write true or false: record = true"),
    ("voice = None", "there is no such value"),
    ("answer_seconds = 10s", "without its unit, which the name says: answer_seconds = 10"),
    ("answer_seconds = 10 seconds", "answer_seconds = 10"),
    ("answer_seconds = 1,5", "with a point: answer_seconds = 1.5"),
    ("answer_seconds = .5", "digits on both sides"),
    ("port = 0600", "without leading zeros"),
    ("port = 1.2.3", "is no number"),
    ("// a comment", "a comment begins with #"),
    ("; a comment", "a comment begins with #"),
    ('export VOICE="a"', 'without "export"'),
    ('data_dir = "C:\\data"', "a backslash in data_dir must be written twice"),
    ('redact_patterns = "\\d+"', "between ''' and '''"),
    ('voice = "a"\nvoice = "b"', "voice stands in the file twice (the first time in line 2)"),
    ("[profiles.a]\n[profiles.a]", "a second time"),
    ("[profiles.sales", "between one [ and one ]"),
    ("[profiles.sales]]", "between one [ and one ]"),
    ("[[profiles.sales]", "between one [ and one ]"),
    ("[profiles sales]", "no blanks"),
    ("[]", "a table needs a name"),
    ('numbers = ["+1555"', "the [ is not closed with ] in numbers"),
    ('numbers = ["+1" "+2"]', "a comma is missing between two values of numbers"),
    ("numbers = [+1 555 0100]", 'stand in quotes: numbers = ["+15550100002"]'),
    ("numbers = [0015550100002]", 'stand in quotes: numbers = ["+15550100002"]'),
    ('numbers = "+1", "+2"', "several values stand in brackets"),
    ("numbers = [sales]", "stand in quotes, also in brackets"),
    ('voice = {a = "x"', "the { is not closed with } in voice"),
    ('instructions = """\nHello', 'does not end; close it with """'),
]


@pytest.mark.parametrize(("line", "said"), SLIPS)
def test_a_slip_in_settings_toml_is_told_with_its_line_and_what_to_do(line: str, said: str, here: Here) -> None:
    here(toml=f"# one\n{line}\n")
    (told,) = problems()
    place = 3 if "\n" in line and "instructions" not in line else 2
    assert told.startswith(f"settings.toml, line {place}: "), told
    assert said in told


def test_the_line_is_that_of_the_slip_and_not_where_the_parser_gave_up(here: Here) -> None:
    here(toml='port = 7\n[profiles.sales]\nnumbers = [\n  "+15550100002",\n\nvoice = "x"\n')
    assert problems()[0].startswith("settings.toml, line 3: the [ is not closed")
    here(toml='port = 7\ngreeting = """Hello\n\nvoice = "x"\nspeed = 1\n')
    assert problems()[0].startswith("settings.toml, line 2: the text that begins here")


@pytest.mark.parametrize(
    "line",
    ["openai_api_key = sk-proj-Zq9vendor0123456789", "console_token = Zq9hunter", 'console_token = "Zq9", "b"',
     'console_token = "Zq9', "sk-proj-Zq9vendor0123456789", 'sk-proj-Zq9vendor0123456789: "a"',
     "voice = sk-proj-Zq9vendor01",
     '"sk-proj-Zq9vendor0123" = 1\n"sk-proj-Zq9vendor0123" = 2'],
)  # fmt: skip
def test_a_slip_does_not_show_a_secret(line: str, here: Here) -> None:
    here(toml=line)
    with pytest.raises(SettingsError) as caught:
        load()
    assert "Zq9" not in str(caught.value)


def test_whatever_cannot_be_read_is_told_in_one_line(here: Here) -> None:
    """Every slip once more in any place of a file that is right otherwise."""
    good = 'port = 7\ngreeting = """\nHello\n"""\n[profiles.sales]\nnumbers = [\n  "+15550100002",\n]\n'.splitlines()
    for at in range(len(good) + 1):
        for slip, _ in SLIPS:
            text = "\n".join([*good[:at], slip, *good[at:]])
            try:
                tomllib.loads(text)
            except tomllib.TOMLDecodeError as error:
                line, what = toml_errors.explain(text, error)
                assert 1 <= line <= len(text.splitlines())
                assert what
                assert "\n" not in what

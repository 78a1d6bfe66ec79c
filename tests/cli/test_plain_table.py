"""The table that is printed without rich."""

from __future__ import annotations

import io

import pytest

from callflow.cli.plain_table import Section, render, show
from callflow.cli.safe_output import escaped_output


TABLE = [
    Section([("first", "one two three four five six"), ("2nd", "")]),
    Section([("to do", "x" * 30)], "yellow"),
]
HOSTILE = "a\x1b]0;owned\x07\x9b2J\rb\u202ec\x08\n"


def test_texts_are_folded_and_stand_beside_their_label() -> None:
    assert list(render(TABLE, width=30)) == [
        " ──────────────────────────── ",
        " first  one two three four",
        "        five six",
        " 2nd    ",
        " ──────────────────────────── ",
        " to do  xxxxxxxxxxxxxxxxxxxxx",
        "        xxxxxxxxx",
        " ──────────────────────────── ",
    ]


def test_a_narrow_terminal_still_shows_everything() -> None:
    assert "".join("".join(render(TABLE, width=1)).split()).count("x") == 31


def test_colours_are_for_terminals() -> None:
    coloured = list(render(TABLE, width=30, colours=True))
    assert coloured[1] == " \x1b[1mfirst\x1b[0m  one two three four"
    assert coloured[-3] == " \x1b[1mto do\x1b[0m  \x1b[33mxxxxxxxxxxxxxxxxxxxxx\x1b[0m"


@pytest.mark.parametrize(
    ("is_terminal", "env", "colours"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": ""}, False), (True, {"TERM": "dumb"}, False)],
)
def test_whatever_is_printed_is_shown_as_text(
    is_terminal: bool, env: dict[str, str], colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: is_terminal)
    monkeypatch.setattr("sys.stdout", out)
    with escaped_output():
        show([Section([("label", HOSTILE)])])
    text = out.getvalue()
    assert "a\\x1b]0;owned\\x07\\x9b2J\\rb\\u202ec\\x08\\n" in text
    assert ("\x1b[1m" in text) is colours
    assert text.replace("\n", "").replace("\x1b[1m", "").replace("\x1b[0m", "").isprintable()
    assert text.count("\n") == 3

"""What a command prints cannot be obeyed by the terminal, whoever it came from."""

from __future__ import annotations

import io
import sys

import pytest
from rich.table import Table
from rich.text import Text

from callflow.cli.safe_output import escaped_output
from callflow.cli.terminal import Screen, new_table, print_wide


HOSTILE = "a\x1b]0;owned\x07\x9b2J\rb\u202ec\x08"


def test_whatever_is_printed_is_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    with escaped_output():
        print(HOSTILE, "next")
        print(HOSTILE, file=sys.stderr)
        sys.stdout.writelines([HOSTILE, "\n"])
    out, err = capsys.readouterr()
    for text in (out, err):
        assert text.replace("\n", "").isprintable()
        assert "\\x1b]0;owned\\x07" in text
    assert out.count("\n") == 2, "line breaks of our own stay"


def test_rich_keeps_its_colours_and_shows_all_else() -> None:
    file = io.StringIO()
    screen = Screen(file=file, force_terminal=True, color_system="truecolor", width=200)
    table = Table()
    table.add_column("who", style="bold red")
    table.add_row(Text(HOSTILE))
    screen.print(table)
    screen.print(Text(HOSTILE, style="green"))
    text = file.getvalue()
    assert "\x1b[1;31m" in text
    assert text.count("\\x1b]0;owned") == 2
    assert not {"\x07", "\x9b", "\r", "\u202e", "\x08"} & set(text)
    assert "\x1b]" not in text


def test_a_screen_within_a_guarded_command_keeps_its_colours(capsys: pytest.CaptureFixture[str]) -> None:
    with escaped_output():
        Screen(force_terminal=True, color_system="truecolor").print(Text("x\x9b", style="red"))
    assert capsys.readouterr().out == "\x1b[31mx\\x9b\x1b[0m\n"


@pytest.mark.parametrize("columns", ["80", "200"])
def test_a_long_text_leaves_the_other_columns_of_a_table_whole(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    table = new_table(("began", "call", "with", "cost", "why"), texts=("with", "why"), right=("cost",))
    table.add_row(
        "2026-11-30 12:54", "d53bb793", "sip:" + "a" * 60 + "@trunk.example", "$0.0364", "it was hung up " * 5
    )
    table.add_row("2026-11-30 12:55", "7e791c6f", "+15550100001", "unknown", "")
    print_wide(table)
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert "…" not in told
    assert max(map(len, lines)) <= int(columns)
    for row in ("2026-11-30 12:54", "d53bb793", "$0.0364"), ("2026-11-30 12:55", "7e791c6f", "+15550100001", "unknown"):
        assert any(all(cell in line for cell in row) for line in lines), told


def test_each_row_is_a_line_of_a_pipe_however_long_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of more than 200 columns were folded, and a script that reads lines took pieces for rows."""
    monkeypatch.delenv("COLUMNS", raising=False)
    table = new_table(("call", "why"), texts=("why",))
    table.add_row("d53bb793", "it was hung up " * 40)
    table.add_row("7e791c6f", "")
    print_wide(table)
    rows = [line for line in capsys.readouterr().out.splitlines() if "─" not in line]
    assert [row.split()[0] for row in rows] == ["call", "d53bb793", "7e791c6f"]
    assert "it was hung up " * 39 in rows[1]

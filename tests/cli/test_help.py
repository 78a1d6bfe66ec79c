"""`--help` of every command, and what odd words are answered."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from callflow.cli.arguments import make_parser, parse
from callflow.cli.parser import Parser


def parsers(parser: Parser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Parser]]:
    yield words, parser
    for name, command in parser.commands().items():
        yield from parsers(command, (*words, name))


COMMANDS = dict(parsers(make_parser()))


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "server.py")
def test_every_option_tells_what_it_is_and_its_default(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as caught:
        parse([*words, "--help"])
    assert caught.value.code in (0, None)
    shown = " ".join(capsys.readouterr().out.split())
    formatter = COMMANDS[words]._get_formatter()
    options = [action for action in COMMANDS[words]._actions if action.option_strings]
    for action in options:
        if action.default == argparse.SUPPRESS:  # --help and --version say something, and stop
            continue
        line = formatter._expand_help(action)
        assert line in shown
        assert "default: " in line, f"{action.option_strings[-1]}: {line}"
        if isinstance(action.default, (int, float, str)) and not isinstance(action.default, bool):
            assert f"(default: {action.default})" in line


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "server.py")
@pytest.mark.parametrize("odd", ["--nonsense", "--nonsense=1", "-z"])
def test_an_option_that_does_not_exist_is_one_line(
    words: tuple[str, ...], odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse([*words, odd])
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert odd.partition("=")[0] in said.err


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "server.py")
@pytest.mark.exhaustive
def test_a_number_out_of_its_range_is_one_line(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [
        action.option_strings[-1]
        for action in COMMANDS[words]._actions
        if action.option_strings and action.type is not None and action.metavar in ("PORT", "N", "S")
    ]
    for option in numbers:
        for odd in ("x", "-1", "1e99", "", "٣", "9" * 5000, "nan", "0x10"):
            with pytest.raises(SystemExit) as caught:
                parse([*words, f"{option}={odd}"])
            assert caught.value.code == 2, (option, odd)
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert len(said) < 600
            assert option in said


@pytest.mark.parametrize("typed", ["two\nlines", "x" * 10_000, "\x1b[31mred"])
def test_what_was_typed_is_repeated_in_one_line(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["bench", "--calls", typed])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert len(said) < 600

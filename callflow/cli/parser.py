"""A parser of command lines that says in one line what is wrong, and what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from callflow.cli.option_types import may_be_shown
from callflow.contracts import secret_text


_HELP: Final = ("-h", "--help")
_WORD: Final = re.compile(r"[^\s'\",()]+")
_MOST_WORD: Final = 24
"""Characters of a mistyped word that is repeated."""
_MOST_TOLD: Final = 400
"""Characters of what is wrong, which may repeat what was typed."""


class Parser(argparse.ArgumentParser):
    """argparse's, which says in one line what is wrong and what was probably meant."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", _Formatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        """Print the error in one line, without what may be a secret, and exit with 2."""
        message = message.removeprefix("argument ").replace(": must be", " must be")
        message = message.replace("\n", "\\n")
        if (
            "invalid choice" in message or "unrecognized" in message
        ):  # argparse's own words, which repeat what it was given
            message = _WORD.sub(lambda word: "…" if secret_text.may_be_secret(word[0]) else word[0], message)
        if len(message) > _MOST_TOLD:
            message = f"{message[:_MOST_TOLD]} …"
        stop = "" if message.endswith("?") else "."
        self.exit(2, f"{self.prog}: {message}{stop} `python {self.prog} --help` shows what there is.\n")

    def commands(self) -> dict[str, Parser]:
        """Return the parser of each command behind this one, by the command's name."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return dict(action.choices)
        return {}

    def options(self) -> list[str]:
        """Return all options of this command, such as `--port`."""
        return [option for action in self._actions for option in action.option_strings]

    def takes_value(self, option: str) -> bool:
        """Return whether a value follows this option."""
        return any(option in action.option_strings and action.nargs is None for action in self._actions)


class _Formatter(argparse.HelpFormatter):
    """Every option tells its default, unless its help does so in words of its own."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        silent = action.default in (None, "", False, argparse.SUPPRESS) or "default" in text
        return text if silent or not action.option_strings else f"{text} (default: %(default)s)"


def check_words(parser: Parser, words: list[str]) -> None:
    """Refuse unknown options and commands by their names: argparse takes the value behind an unknown option for a
    command, and says that instead. Exits with 2 and one line."""
    while words:
        word = words.pop(0)
        name, _, given = word.partition("=")
        if name in _HELP or word == "--":
            return
        if word.startswith("-") and word != "-" and not _is_number(word):
            if name not in parser.options():
                parser.error(_unknown("option", name, parser.options()))
            if not given and parser.takes_value(name):
                words[:1] = []
        elif commands := parser.commands():
            if word not in commands:
                parser.error(_unknown("command", word, commands))
            parser = commands[word]


def _unknown(kind: str, word: str, names: Sequence[str] | dict[str, Parser]) -> str:
    meant = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=0.5)
    if word in ("help", "version"):
        meant = [f"--{word}"]
    shown = f'"{word}"' if meant or may_be_shown(word, _MOST_WORD) else "like that"
    return f"there is no {kind} {shown}" + (f": did you mean {meant[0]}?" if meant else f"; there is {_listed(names)}")


def _listed(names: Sequence[str] | dict[str, Parser]) -> str:
    return ", ".join(name for name in names if name != "-h")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True

"""Say what is wrong with a line of settings.toml and how to correct it, for people who have not learnt TOML. Pure.

Python's parser names a character only. Here the line is searched once more for common mistakes. Values are not quoted,
because they may be secret, except for a plain word.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

from callflow.contracts import secret_text


_QUOTES: Final = "“”„‟«»‘’‚"  # noqa: RUF001 - these are meant
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*|\"[^\"]*\"|'[^']*')\s*")
_WORD: Final = re.compile(r"[A-Za-z][\w./:+ -]{0,60}")
_OPENS: Final = r"\s*[\w.\"'-]+\s*=\s*[\[{]"
_TEXT: Final = "\"(?:[^\"\\\\\n]|\\\\.)*\"|'[^'\n]*'"
_TRIPLE: Final = re.compile("\"\"\"|'''")


def explain(text: str, error: tomllib.TOMLDecodeError) -> tuple[int, str]:
    """Return the number of the wrong line, from 1, and what to do about it."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    place = re.search(r"\(at line (\d+), column (\d+)\)$", str(error))
    number = min(int(place[1]), len(lines)) if place else len(lines)
    message = re.sub(r" \(at .*\)$", "", str(error))
    if opened := _open_text(lines):
        return opened
    if begun := _open_bracket(lines, number):
        return _unclosed(lines, begun, 0)
    if "Unclosed array" in message or "Unclosed inline table" in message:
        return _unclosed(lines, number, int(place[2]) if place else 0)
    if not place:
        number = _last_statement(lines)
    return number, _slip(lines, number, message)


def _slip(lines: list[str], number: int, message: str) -> str:
    line = lines[number - 1]
    if line.lstrip().startswith("["):
        return _table(line.strip(), message)
    if "twice" in message:
        return "this table stands in the file a second time; put its settings together in one"
    key = _KEY.match(line)
    name = key[1] if key else ""
    if "overwrite" in message:
        first = next(
            (i for i, each in enumerate(lines, 1) if i < number and re.match(rf"\s*{re.escape(name)}\s*=", each)), 0
        )
        where = f" (the first time in line {first})" if first else ""
        return f"{_shown(name)} stands in the file twice{where}; keep one of the two"
    if re.match(r"\s*(//|;|--|/\*)", line):
        return "a comment begins with #"
    rest = line[key.end() :] if key else ""
    if key is None or not rest.startswith("="):
        return _no_assignment(line, name, rest)
    return _value(name, rest[1:].strip(), message)


def _no_assignment(line: str, name: str, rest: str) -> str:
    if re.match(r"\s*(export|set)\s", line):
        return f'a line is NAME = value here, without "{line.split()[0]}"'
    if rest.startswith(":"):
        return f"between a name and its value stands =, not a colon: {_shown(name)} = …"
    if line.lstrip().startswith("="):
        return "there is no name before the ="
    return 'a line must be NAME = value (a text in quotes: voice = "marin"), or a comment that begins with #'


def _value(name: str, value: str, message: str) -> str:
    given = _without_comment(value)
    setting = _shown(name)
    if not given:
        return f'nothing stands behind the = of {setting}; write "" for an empty text, or put a # before the line'
    if given[0] in "=>":
        return f"between a name and its value stands one =: {setting} = …"
    if given[-1] in ";," and "newline" in message:
        return f"nothing stands behind a value: remove the {given[-1]} at the end of {setting}"
    if re.match(rf"({_TEXT}|[+\d]+)\s*,", given) and not re.match(r"\d+,\d+$", given):
        return f"several values stand in brackets: {setting} = […, …]"
    if any(each in _QUOTES for each in re.sub(_TEXT, "", given)):
        return f'the quotes of {setting} are typographic ones; use plain ones: "'
    if given.lower() in ("true", "false"):
        return f"write {given.lower()} in small letters: {setting} = {given.lower()}"
    if given.lower() in ("yes", "on", "no", "off"):
        return f"write true or false: {setting} = {'true' if given.lower() in ('yes', 'on') else 'false'}"
    if given.lower() in ("none", "null", "nil"):
        return f'there is no such value; write "" for an empty text, or put a # before the line of {setting}'
    if "Unescaped" in message:
        return f"a backslash in {setting} must be written twice, or the text put between ''' and '''"
    if re.match(r"[+-]?\d+,\d+$", given):
        return f"a fraction is written with a point: {setting} = {given.replace(',', '.')}"
    if unit := re.match(r"([+-]?\d+(?:\.\d+)?)\s*[A-Za-z%]+$", given):
        return f"a number stands without its unit, which the name says: {setting} = {unit[1]}"
    if re.match(r"[+-]?0\d|\.\d|\d+\.$", given):
        return f"this is no number; write it without leading zeros, and with digits on both sides of a point: {setting}"
    if (
        _WORD.fullmatch(given)
        and "=" not in given
        and not secret_text.may_be_secret(given)
        and not secret_text.names_secret(name)
    ):
        return f'a text must stand in quotes: {setting} = "{given}"'
    if re.match(r"(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\w.+-]+)\s+[\w.-]+\s*=", given):
        return f"each setting needs a line of its own, and another one stands behind the value of {setting}"
    if re.match("\"(?:[^\"\\\\]|\\\\.)*\"|'[^']*'", given) and "newline" in message:
        return (
            f"something stands behind the closing quote of {setting}; a comment begins with #, and a quote within a"
            ' text is written \\"'
        )
    if "Illegal character" in message:
        return f"{setting} holds a character that cannot be seen, and cannot stand there; write its value anew"
    if given[0] == "[":
        return f'texts and telephone numbers stand in quotes, also in brackets: {setting} = ["…", "…"]'
    if re.match("[0-9+-]", given):
        return f"the value of {setting} is no number; if it is a text, it must stand in quotes"
    if "Invalid value" in message and not re.match("[\"'{]", given):
        return f'a text must stand in quotes: {setting} = "…"'
    return f"the value of {setting} cannot be read ({message[:1].lower()}{_plain(message[1:])})"


def _table(line: str, message: str) -> str:
    if "twice" in message:
        return "this table stands in the file a second time; put its settings together in one"
    if "overwrite" in message or ("array" in message.lower() and "declaration" not in message):
        return "this name is used already, for something else"
    if re.match(r"\[+\s*\]", line):
        return "a table needs a name: [profiles.sales]"
    if re.match(r"\[[^\[\]]*\s[^\[\]]*\]", line):
        return "a table's name has no blanks: [profiles.sales]"
    return "the name of a table stands between one [ and one ]: [profiles.sales]"


def _unclosed(lines: list[str], number: int, column: int) -> tuple[int, str]:
    """Return the line where the bracket was opened that is not closed, and what to do about it."""
    begun = next((i for i in range(number, 0, -1) if re.match(_OPENS, lines[i - 1])), number)
    key = _KEY.match(lines[begun - 1])
    setting = _shown(key[1] if key else "")
    near = lines[number - 1][max(column - 2, 0) :]
    if begun == number and re.match(r"[\d\s]*\d[\d\s()-]*\]", near):
        return begun, f'telephone numbers stand in quotes: {setting} = ["+15550100002"]'
    if begun == number and re.search(r"[\"']\s+[\"']", lines[begun - 1]):
        return begun, f"a comma is missing between two values of {setting}"
    brackets = "{ is not closed with }" if "{" in lines[begun - 1].split("=", 1)[1][:3] else "[ is not closed with ]"
    return begun, f"the {brackets} in {setting}, or a comma between two values is missing; texts stand in quotes"


def _open_bracket(lines: list[str], number: int) -> int:
    """Return the number of the line with a bracket that is still open in this line; 0: there is none."""
    begun = next((i for i in range(number - 1, 0, -1) if re.match(_OPENS, lines[i - 1])), 0)
    bare = re.sub(_TEXT, "", "\n".join(lines[begun - 1 : number - 1])) if begun else ""
    bare = re.sub("#.*", "", bare)
    return begun if sum(map(bare.count, "[{")) > sum(map(bare.count, "]}")) else 0


def _open_text(lines: list[str]) -> tuple[int, str] | None:
    """Find a quote that is not closed in its line (three quotes: in the file): its line, and what to do about it."""
    inside, begun = "", 0
    for number, line in enumerate(lines, 1):
        at = 0
        while at < len(line):
            if inside:
                end = line.find(inside, at)
                if end < 0:
                    break
                at, inside = end + 3, ""
                continue
            if line[at] == "#":
                break
            triple = _TRIPLE.match(line, at)
            if triple:
                inside, begun, at = triple[0], number, at + 3
            elif line[at] in "\"'":
                closed = re.compile(r'"(?:[^"\\]|\\.)*"' if line[at] == '"' else "'[^']*'").match(line, at)
                if closed is None:
                    return number, _open_quote(line, at)
                at = closed.end()
            else:
                at += 1
    if inside:
        return begun, f"the text that begins here with {inside} does not end; close it with {inside}"
    return None


def _open_quote(line: str, at: int) -> str:
    quote, end = line[at], line.rstrip()[-1]
    key = _KEY.match(line)
    setting = f" of {_shown(key[1])}" if key and key.end() <= at else ""
    if end in "\"'" and end != quote:
        return f"the text{setting} begins with {quote} and ends with {end}; use the same at both ends"
    if quote == '"' and line.rstrip().endswith('\\"'):
        return f'the text{setting} ends with \\", and that is a quote within it; write \\\\" at the end'
    return (
        f"the quote of the text{setting} is not closed: {quote} is missing at its end (a text of several lines stands"
        f" between {quote * 3} and {quote * 3})"
    )


def _last_statement(lines: list[str]) -> int:
    return next((i for i in range(len(lines), 0, -1) if lines[i - 1].strip()), 1)


def _without_comment(value: str) -> str:
    """Return a value without its comment. A value with quotes is returned unchanged: within them # is a character."""
    return value if re.search("[\"']", value) else value.partition("#")[0].strip()


def _shown(name: str) -> str:
    return name if name and len(name) <= 40 and not secret_text.may_be_secret(name) else "this setting"


def _plain(text: str) -> str:
    return text if text.isprintable() else "…"

"""What nobody is to read is taken out, and nothing else is touched."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from callflow.config.loader import load
from callflow.contracts.errors import SettingsError
from callflow.journal import redaction
from callflow.journal.redaction import CARD, REMOVED, Redactor
from callflow.switchboard.redactors import redactor


VISA, AMEX = "4111111111111111", "378282246310005"


@pytest.mark.parametrize(
    "text",
    [
        VISA, "4111 1111 1111 1111", "4111-1111-1111-1111", "4111, 1111, 1111, 1111", f"it is {VISA}.", AMEX,
        f"{VISA} 12/27 123", f"call 5550100 {VISA}", "4111.1111.1111.1111", f"card:{VISA}",
    ],
)  # fmt: skip
def test_a_card_number_is_taken_out_however_it_is_said(text: str) -> None:
    found = Redactor().text(text)
    assert CARD in found
    assert not any(group in found for group in ("1111", "378282"))


ARABIC = "".join(chr(0x0660 + int(digit)) for digit in VISA)
WIDE = "".join(chr(0xFF10 + int(digit)) for digit in VISA)


@pytest.mark.parametrize(
    "text",
    [
        ARABIC, f"رقم البطاقة {ARABIC[:4]} {ARABIC[4:8]} {ARABIC[8:12]} {ARABIC[12:]} شكرا", WIDE,
        "4111\u00a01111\u00a01111\u00a01111", "4111\u20131111\u20131111\u20131111",
        "4111\u20111111\u20111111\u20111111",
    ],
    ids=["Arabic", "in a sentence", "full width", "blanks that do not break", "dashes", "hyphens that do not break"],
)  # fmt: skip
def test_a_card_number_is_taken_out_in_whatever_script(text: str) -> None:
    found = Redactor().text(text)
    assert CARD in found
    assert len(found) < len(text)
    assert not any(character.isdigit() for character in found)
    growing = Redactor().unfinished(text[: len(text) // 2 + 2])
    assert sum(character.isdigit() for character in growing) <= 3, "the first half of it is told"
    assert json.loads(Redactor().data(json.dumps([text], ensure_ascii=False))) == [found]


def test_digits_of_other_scripts_are_all_known() -> None:
    zeros = [chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) == "Nd" and chr(code).isdecimal()]
    known = {chr(code) for code in redaction._PLAIN if chr(redaction._PLAIN[code]).isdigit()}
    assert {each for each in zeros if not each.isascii()} <= known
    assert all(unicodedata.decimal(each) == int(chr(redaction._PLAIN[ord(each)])) for each in known)


def test_other_scripts_stay_as_they_are() -> None:
    text = "房间 \uff14\uff11\uff12 三晚\u00a0\u2013 第\u0661\u0662 层"
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "text", ["4111111111111112", "+15550100001", "MZ41111111111111111", "ab4111111111111111cd", "2026-11-25T12:00:00",
             "v3:4111111111111111x", "0000000000000000", "room 12, 3 nights, 145.00",
             '{"prices":[12, 15, 18, 21, 30, 48, 50, 61, 75, 90, 14, 99]}', "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8"],
)  # fmt: skip
def test_other_numbers_stay(text: str) -> None:
    assert Redactor().text(text) == text


def test_patterns_of_the_settings_are_taken_out_too() -> None:
    assert Redactor([r"\b\d{3}-\d{2}-\d{4}\b"]).text("My number is 123-45-6789.") == f"My number is {REMOVED}."
    assert Redactor(cards=False).text(VISA) == VISA


def test_json_stays_json() -> None:
    arguments = json.dumps({"card": VISA, "as_number": int(VISA), "name": "Ann", "lines": [{"n": f"no {VISA}"}]})
    told = Redactor().fields({"event": "tool_called", "id": f"call_{VISA}", "arguments": arguments})
    assert json.loads(told["arguments"]) == {
        "card": CARD,
        "as_number": CARD,
        "name": "Ann",
        "lines": [{"n": f"no {CARD}"}],
    }
    assert told["id"] == f"call_{VISA}", "names of things are not words"


@pytest.mark.parametrize(
    "name",
    ["text", "heard_text", "unheard_text", "digits", "arguments", "output", "reason", "message", "detail", "changes"],
)
@pytest.mark.parametrize("shape", ["text", "nested"])
def test_every_field_that_holds_words_is_looked_through(name: str, shape: str) -> None:
    words, told = f"it is {VISA}", f"it is {CARD}"
    event = {"event": "any", name: words if shape == "text" else {"a": [words]}}
    assert Redactor().fields(event)[name] == (told if shape == "text" else {"a": [told]})
    assert Redactor().fields({"event": "any", "cuts": [event]})["cuts"][0][name] == Redactor().fields(event)[name]


def test_a_text_that_still_grows_does_not_show_its_beginning() -> None:
    redact = Redactor()
    for length in range(4, 17):
        shown = redact.fields({"event": "heard", "so_far": f"Your card {VISA[:length]}"})["so_far"]
        assert VISA[:4] not in shown, shown
    assert redact.unfinished("Room 12") == "Room 12"


def test_lists_of_cuts_are_looked_through() -> None:
    cut = {"item": "i", "heard_text": f"It is {VISA}", "unheard_text": "", "heard_ms": 10}
    assert Redactor().fields({"event": "interrupted", "cuts": [cut]})["cuts"][0]["heard_text"] == f"It is {CARD}"


def test_a_card_that_was_being_said_when_it_was_interrupted_is_in_neither_half() -> None:
    cut = {"item": "i", "heard_text": "Your card 4111 1111", "unheard_text": "1111 1111, is that right?"}
    told = Redactor().fields({"event": "interrupted", "cuts": [cut]})["cuts"][0]
    assert (told["heard_text"], told["unheard_text"]) == ("Your card", f"{CARD}, is that right?")
    whole = {"heard_text": "You said room 12, then", "unheard_text": f"{VISA}."}
    assert Redactor().fields(whole) == {**whole, "unheard_text": f"{CARD}."}


@pytest.mark.parametrize(
    "text",
    [
        f"nr:\n{VISA}", f"nr:\t{VISA}", f"Nr.\u00a0{VISA}", "4111/1111/1111/1111", "über\n4111 1111 1111 1111\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_json_escapes_hides_no_card(text: str, ascii_only: bool) -> None:
    output = json.dumps({"note": text}, ensure_ascii=ascii_only).replace("/", "\\/")  # as PHP writes it
    for told in (Redactor().data(output), Redactor().text(output), Redactor().text(output[:-1])):
        assert CARD in told
        assert "1111" not in told
    assert CARD in Redactor().text(repr(text)), "the log shows it as repr does"


def test_json_may_escape_whatever_it_likes() -> None:
    escaped = "".join(f"\\u{ord(each):04x}" for each in VISA)
    for hidden in (escaped, r"4111\u002d1111\u002d1111\u002d1111"):
        assert json.loads(Redactor().data(f'{{"note": "{hidden}"}}')) == {"note": CARD}


def test_cards_are_taken_out_of_names_and_from_whole_numbers_of_every_kind() -> None:
    named = {f"{VISA}": 1, "5500 0055 5555 5559": [2], int(VISA): 3, "name": float(VISA), "place": 48.13715412345678}
    told = Redactor().data(named)
    assert not any(str(card) in repr(told) for card in (VISA, "5500", "4111"))
    assert [told["name"], told["place"]] == [CARD, 48.13715412345678]
    assert len(told) == len(named), "two names that look alike now have become one"
    assert json.loads(Redactor().data(json.dumps({VISA: 1}))) == {CARD: 1}
    twice = f'{{"card": "{VISA}", "card": "none"}}'
    assert VISA not in Redactor().data(twice)


def test_numbers_in_json_stay_numbers_and_its_text_stays_as_it_is() -> None:
    for output in ('{"prices":[12,15.50],  "ok" : true}', "[4111, 1111, 1111, 1111]", '["\\u00e9\\n", null]', "[NaN]"):
        assert Redactor([r"secret"]).data(output) == output


ODD = [
    "[" * 2000, '{"a":' * 1200, "[" * 500 + "]" * 500, "[" + "1" * 5000 + "]", '["\ud800"]', "\ud800", "[NaN]",
    "{}", "", "\0", 10**5000, -(10**5000), float("nan"), float("-inf"), 1e300, b"\xff", None, True,
    (1, {2}), {(1,): {None: 3}},
]  # fmt: skip


@pytest.mark.proof
@pytest.mark.parametrize("redact", [Redactor(), Redactor(["[0-9a]+", r"\C", "\ud800"]), Redactor(["x*"], cards=False)])
@pytest.mark.exhaustive
def test_no_value_is_too_odd(redact: Redactor) -> None:
    deep: object = VISA
    for _ in range(4_000):
        deep = [deep]
    for value in [*ODD, deep]:
        redact.data(value)
        for name in ("text", "so_far", "cuts", "other"):
            redact.fields({name: value, "heard_text": value, "unheard_text": value})
    for value in ODD:
        if isinstance(value, str):
            redact.text(value)
            redact.unfinished(value)
            hidden = f'{{"a":"{VISA}","b":[{value}]}}'
            if redact.text(VISA) != VISA:
                assert VISA not in redact.data(hidden)
    assert VISA not in repr(Redactor().data(deep))


def test_json_that_is_nested_deep_is_looked_through_all_the_same() -> None:
    for depth in (10, 150, 300, 900, 5000):
        assert Redactor().data("[" * depth + VISA + "]" * depth).count(CARD) == 1
    nested: list[object] = [VISA]
    for _ in range(300):
        nested = [nested]
    assert Redactor().data(nested) == REMOVED, "however deep the caller itself is"


# --- Patterns of the settings


@pytest.mark.parametrize(
    ("pattern", "text", "told"),
    [
        (r"\d+", "12 a 3", "[removed] a [removed]"),
        (r"\w+@\w+\.com", "to ann@example.com.", "to [removed]."),
        ("Müller", "Frau Müller", "Frau [removed]"),
        ("(?i)müller", "FRAU MÜLLER", "FRAU [removed]"),
        (r"\pN+", "room ٣٤", "room [removed]"),
        (r"\d+", "room ٣٤", "room ٣٤"),
        ("x*", "axxb", "a[removed]b"),
        ("^a", "aaa", "[removed]aa"),
        (r"\bno\b", "no know no", "[removed] know [removed]"),
        (r"\C", "é\ud800", "[removed][removed]"),
        (r"\C\z", "aé", "a[removed]"),
        (r"a\C", "aéb", "[removed]b"),
        (".", "\ud83d\n", "[removed]\n"),
        (r"(a)(b)?\x{e9}", "abéaé", "[removed][removed]"),
    ],
)
def test_patterns_are_those_of_re2(pattern: str, text: str, told: str) -> None:
    assert Redactor([pattern]).text(text) == told


def test_each_pattern_looks_at_what_was_said_and_not_at_what_another_has_left() -> None:
    assert Redactor([r"\d{3}", r"\d{3}-\d{2}", "[a-z]"]).text("123-45 6789") == f"{REMOVED} {REMOVED}9"
    assert Redactor(["."] * 20).text("abc") == REMOVED * 3


def test_patterns_are_taken_out_of_json_as_it_is_meant_and_of_numbers_and_names() -> None:
    redact = Redactor(["Müller", r"^\d{4}$", r"7\.5"])
    told = redact.data(json.dumps({"who": "Müller", "Müller": "1234", "pin": 1234, "not": "12345", "share": 7.5}))
    assert json.loads(told) == {"who": REMOVED, REMOVED: REMOVED, "pin": REMOVED, "not": "12345", "share": REMOVED}


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?<=a)b", "(", "a++"])
def test_what_is_no_pattern_is_refused(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="RE2 says"):
        Redactor([pattern])
    assert capfd.readouterr().err == "", "RE2 itself wrote to the log"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?<=nr )a", "RE2 says: invalid perl operator (?<=; it has no look-around"),
        ("a(?!nr )", "RE2 says: invalid perl operator (?!; it has no look-around"),
        (r"(nr)a\1", r"RE2 says: invalid escape sequence \1; it has no back-references"),
        ("(?P<n>nr)(?P=n)", "RE2 says: invalid perl operator (?P; it has no back-references"),
        (r"nr\Z", r"RE2 says: invalid escape sequence \Z"),
        ("(nr", "RE2 says: missing )"),
        ("(nr){1001}", "RE2 says: invalid repetition size"),
        (r"\d*", "it matches where there is nothing: perhaps + is meant for *"),
    ],
)
def test_the_settings_name_the_line_of_a_pattern_that_cannot_be_used(pattern: str, reason: str, tmp_path: Path) -> None:
    written = tmp_path / "settings.toml"
    written.write_text(f"redact_patterns = '''\n\\bno\\b\n\n{pattern}\nyes\n'''\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(toml=written, env_file=None)
    problem = f"(settings.toml) has a regular expression in line 3 that cannot be used ({reason})"
    assert str(caught.value).endswith(problem)
    assert "nr" not in problem, "what it quotes is not what was given"


def test_patterns_stand_in_the_settings_one_per_line(tmp_path: Path) -> None:
    written = tmp_path / "settings.toml"
    written.write_text("redact_patterns = '''\n\\bno\\b\n\n[0-9]+\n'''\n", encoding="utf-8")
    assert redactor(load(toml=written, env_file=None)).text("no 12 know") == f"{REMOVED} {REMOVED} know"


@pytest.mark.process
def test_re2_is_only_loaded_where_there_are_patterns() -> None:
    script = (
        "import sys; from callflow.config import settings; from callflow.journal import redaction;"
        "redaction.Redactor(); settings.Settings();"
        "assert 're2' not in sys.modules; settings.Settings(redact_patterns='a');"
        "assert 're2' in sys.modules, 'it would be loaded on the loop'"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

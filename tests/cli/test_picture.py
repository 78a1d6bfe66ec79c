"""The picture of a call: what it shows is what happened, and the one in the README is up to date."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import wave
import xml.etree.ElementTree as ET
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import server
from callflow.cli.picture.data import picture_of
from callflow.cli.picture.drawing import COLUMNS, CallPicture, TurnPair, Wait, Words, draw, read
from tests.cli.test_demo import ROOT, start


PICTURE = ROOT / "docs" / "call.svg"
README = (ROOT / "README.md").read_text(encoding="utf-8")
AGAIN = f"rm {PICTURE.relative_to(ROOT)} && scripts/demo --scenario interruption --picture {PICTURE.relative_to(ROOT)}"
_SVG = "{http://www.w3.org/2000/svg}"


def shown(svg: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(f"{_SVG}text"))


def words_of(svg: str) -> str:
    return " ".join("".join(element.itertext()) for element in shown(svg))


# The README's


@dataclass(frozen=True)
class Told:
    out: str
    err: str
    code: int
    folder: Path


PROOFS = re.findall(r"^\| [^|]+ \| `([^`]+)` \|$", README.partition("## Hear it")[0], re.MULTILINE)
CONSOLE = "scripts/demo --console"  # goes on until Ctrl-C: see test_demo_console.py
DEMOS = [command for command in PROOFS if command.startswith("scripts/demo") and command != CONSOLE]
INTERRUPTED = "scripts/demo --scenario interruption --picture"


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Told]]:
    """The demos of the README's first lines, side by side. About 45 s: told in real time."""
    folders = {command: tmp_path_factory.mktemp("demo") for command in DEMOS}
    plays = {command: start(folder, *shlex.split(command)[1:]) for command, folder in folders.items()}
    try:
        yield {
            command: Told(*play.communicate(timeout=120), play.returncode, folders[command])
            for command, play in plays.items()
        }
    finally:
        for play in plays.values():
            play.kill()


def test_what_the_readme_claims_is_five_lines_each_with_its_command() -> None:
    assert len(PROOFS) == 5
    assert INTERRUPTED in DEMOS


@pytest.mark.alone  # to within 40 ms they show what was heard, which needs a core
@pytest.mark.proof
@pytest.mark.process
@pytest.mark.parametrize("command", DEMOS)
def test_the_demos_that_the_readme_names_show_what_it_claims(command: str, demos: dict[str, Told]) -> None:
    told = demos[command]
    assert told.code == 0, f"{command}: exit {told.code}\n{told.out}\n{told.err}"
    assert "did not happen" not in told.out


@pytest.mark.process
@pytest.mark.parametrize("command", [command for command in PROOFS if command not in (*DEMOS, CONSOLE)])
def test_the_other_commands_that_the_readme_names_are_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = shlex.split(command)
    if program == "scripts/test":
        # These tests run with all others; here, that the words choose some.
        asked = [sys.executable, "-m", "pytest", "-q", "--collect-only", *words]
        found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert found.returncode == 0, found.stdout
        return
    assert [program, words[0]] == ["python", "server.py"]
    assert server.main([*words[1:-1], str(ROOT / words[-1])]) == 0
    assert "as recorded" in capsys.readouterr().out


def test_the_picture_in_the_readme_is_drawn_by_this_code() -> None:
    assert f"]({PICTURE.relative_to(ROOT)})" in README
    kept = PICTURE.read_text(encoding="utf-8")
    again = f"python -m callflow.cli.picture.drawing {PICTURE.relative_to(ROOT)}"
    assert draw(read(kept)) == kept, f"the drawing has changed: run `{again}`"
    assert len(kept) < 150_000


def structure(picture: CallPicture) -> list[Any]:
    """All of it but what differs from call to call: moments, milliseconds, how far a sentence came."""
    return [
        (
            [words.text for words in each.caller],
            each.wait is not None,
            [((words.text or words.unheard).split()[:3], words.by_caller, words.is_note) for words in each.agent],
        )
        for each in picture.exchanges
    ]


@pytest.mark.proof
@pytest.mark.process
def test_the_picture_in_the_readme_is_what_the_demo_draws_today(demos: dict[str, Told]) -> None:
    told = demos[INTERRUPTED]
    [drawn] = told.folder.glob("*.svg")
    assert str(drawn) in told.out
    new, kept = read(drawn.read_text(encoding="utf-8")), read(PICTURE.read_text(encoding="utf-8"))
    assert structure(new) == structure(kept), f"the demo has changed: run `{AGAIN}`"
    assert (new.carrier, new.ended, new.made_by) == (kept.carrier, kept.ended, kept.made_by)
    assert abs(new.seconds - kept.seconds) < 10


@pytest.mark.proof
@pytest.mark.process
def test_the_picture_agrees_with_what_was_to_be_heard(demos: dict[str, Told]) -> None:
    """Its marks against its waves: the marks come from the server's record, the waves from the telephone."""
    [drawn] = demos[INTERRUPTED].folder.glob("*.svg")
    picture = read(drawn.read_text(encoding="utf-8"))

    def loudest(peaks: str, since: float, until: float) -> int:
        first, last = (int(at / picture.seconds * COLUMNS) for at in (since, until))
        return max(int(peaks[2 * column : 2 * column + 2], 16) for column in range(first, last + 1))

    cuts = [words for each in picture.exchanges for words in each.agent if words.cut_at is not None]
    assert [cut.by_caller for cut in cuts] == [True] * 3
    for cut in cuts:
        assert cut.cut_at is not None
        assert loudest(picture.agent, cut.cut_at - 0.6, cut.cut_at) > 30, "the agent spoke until then"
        assert loudest(picture.agent, cut.cut_at + 0.25, cut.cut_at + 0.7) < 10, "and was silent then"
        assert loudest(picture.caller, cut.cut_at - 0.2, cut.cut_at + 0.7) > 30, "because the caller spoke"
        assert 0 < cut.heard_ms < cut.of_ms
        assert cut.unheard
    for each in picture.exchanges:
        if each.wait is not None:
            ended, heard = each.wait_until - each.wait.total / 1000, each.wait_until
            assert loudest(picture.caller, ended - 0.5, ended) > 30, "the wait begins with the caller's last word"
            assert loudest(picture.agent, ended + 0.2, heard - 0.2) < 10, "there is no answer in it"
            assert loudest(picture.agent, heard, heard + 0.5) > 30, "and it ends with one"


# Drawing


ODD = {
    "markup": "<script>alert(1)</script> & ]]>",
    "control characters": "\x00\x1b[31m\u202e",
    "wide letters": "日本語" * 40,
    "one long word": "w" * 900,
    "from right to left": "مرحبا",
    "signs": "🙂 " * 90,
    "nothing": "",
}


def some(*exchanges: TurnPair, **others: Any) -> CallPicture:
    chosen: dict[str, Any] = {"carrier": "telnyx", "seconds": 20.0, "caller": "00ff" * (COLUMNS // 2), **others}
    return CallPicture(agent="80" * COLUMNS, exchanges=exchanges, **chosen)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_whatever_was_said_is_text_and_stays_on_the_page(odd: str) -> None:
    cut = Words(4.0, odd, f"{odd} unheard", 5.0, True, 900, 1800)
    each = TurnPair((Words(1.0, odd),), (cut, Words(6.0, odd, is_note=True)), Wait(500, 200, 1, 2), 4.0)
    svg = draw(some(each, ended=odd, made_by="scripts/demo"))
    svg.encode()
    for element in shown(svg):
        fitted = float(element.get("textLength") or 0.0)
        assert fitted >= 0
        assert float(element.get("x", "0")) + fitted <= 977, "".join(element.itertext())
    assert "<script" not in svg
    assert draw(read(svg)) == svg


def test_a_picture_needs_nothing_from_elsewhere_and_is_told_in_words_too() -> None:
    svg = draw(some(TurnPair((), (Words(0.5, "Hello there."),)), ended="it was over"))
    for foreign in ("<script", "foreignObject", "<image", "href", "@import", "url(", "var("):
        assert foreign not in svg
    assert re.findall(r"https?://[^\"' ]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme:dark" in svg
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    said = (root.findtext(f"{_SVG}title") or "", root.findtext(f"{_SVG}desc") or "")
    assert "20 s" in said[0]
    assert "the agent: “Hello there.”" in said[1]
    assert "it was over" in said[1]


def test_heard_words_stand_before_the_mark_and_unheard_ones_behind_it() -> None:
    cut = Words(1.0, "We are open from nine", "in the morning until six", 3.0, True, 554, 3580)
    svg = draw(some(TurnPair((), (cut,))))
    pieces = {"".join(element.itertext()): element for element in shown(svg)}
    heard, unheard = pieces["We are open from nine"], pieces["in the morning until six"]
    assert (heard.get("class"), unheard.get("class")) == (None, "unheard")
    paths = ET.fromstring(svg).iter(f"{_SVG}path")
    marks = [element.get("d", "") for element in paths if element.get("class") == "mark"]
    assert len(marks) == 2, "one among the words, one among the voices"
    x = float(marks[1].removeprefix("M").split()[0])
    assert float(heard.get("x", "")) + float(heard.get("textLength", "")) < x < float(unheard.get("x", ""))
    assert "interrupted: 0.55 s heard of 3.58 s" in words_of(svg)


def test_what_was_heard_is_told_to_its_end_and_the_rest_as_far_as_there_is_room() -> None:
    long = " ".join(f"word{number}" for number in range(120))
    heard = words_of(draw(some(TurnPair((), (Words(1.0, long, "never", 3.0, True, 9, 10),)))))
    assert "word119" in heard
    unheard = words_of(draw(some(TurnPair((), (Words(1.0, "Well", long, 3.0, True, 1, 10),)))))
    assert "word119" not in unheard
    assert "…" in unheard


def test_something_else_is_no_picture_of_a_call() -> None:
    with pytest.raises(ValueError, match="not a picture"):
        read("<svg/>")


# From the notes about a call


def recording(seconds: float, *, loud_from: float = 0.0) -> io.BytesIO:
    """The caller is silent; the agent is loud from then on."""
    count = int(seconds * 8000)
    both = array("h", bytes(4 * count))
    for at in range(int(loud_from * 8000), count):
        both[2 * at + 1] = 8000
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(both.tobytes())
    file.seek(0)
    return file


def noted(*events: tuple[float, dict[str, Any]], seconds: float = 30.0) -> CallPicture:
    return picture_of([(1000.0 + at, event) for at, event in events], [(1000.0, recording(seconds))])


def turn(at: float, who: str, text: str, **more: Any) -> tuple[float, dict[str, Any]]:
    return at, {"event": "turn", "who": who, "item": f"{who}-{text[:5]}", "text": text, "ago_ms": 0, **more}


def test_the_waves_are_those_of_the_recording() -> None:
    picture = picture_of([], [(0.0, recording(10.0, loud_from=5.0))])
    half = COLUMNS // 2
    assert picture.seconds == 10.0
    assert picture.caller == "00" * COLUMNS
    assert picture.agent == "00" * half + "ff" * half
    draw(picture)


def test_a_recording_in_parts_is_drawn_on_one_axis() -> None:
    picture = picture_of([], [(50.0, recording(2.0)), (56.0, recording(4.0))])
    fifth = COLUMNS // 5
    assert picture.seconds == 10.0
    assert set(re.findall("..", picture.agent[: 2 * fifth])) == {"ff"}
    assert set(re.findall("..", picture.agent[2 * fifth + 2 : 6 * fifth])) == {"00"}
    assert set(re.findall("..", picture.agent[6 * fifth + 4 :])) == {"ff"}


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.02])
def test_a_call_without_a_sound_is_drawn_too(seconds: float) -> None:
    picture = noted(seconds=seconds)
    assert picture.exchanges == ()
    ET.fromstring(draw(picture))


def test_an_answer_goes_with_what_it_answers_and_with_its_wait() -> None:
    parts = {"detection_ms": 500, "engine_ms": 225, "own_ms": 0, "carrier_ms": 2}
    picture = noted(
        (0.0, {"event": "began", "carrier": "twilio"}),
        turn(1.0, "agent", "Hello."),
        (3.0, {"event": "caller_speaks"}),
        turn(5.0, "caller", "Are you open?"),
        (5.9, {"event": "latency", "item": "agent-Yes. ", **parts}),
        (6.0, {"event": "heard", "item": "agent-Yes. ", "ms": 200, "of_ms": 900, "done": False}),
        turn(6.1, "agent", "Yes. We are.", ago_ms=100),
        (9.0, {"event": "ended", "cause": "agent"}),
    )
    greeting, answer = picture.exchanges
    assert (picture.carrier, picture.ended) == ("twilio", "the agent ended it, after its last words")
    assert (greeting.caller, [words.text for words in greeting.agent]) == ((), ["Hello."])
    assert [(words.at, words.text) for words in answer.caller] == [(3.0, "Are you open?")]
    assert [(words.at, words.text) for words in answer.agent] == [(5.8, "Yes. We are.")]
    assert answer.wait == Wait(500, 225, 0, 2)
    assert answer.wait_until == 5.8


@pytest.mark.parametrize(
    ("direction", "ended"),
    [("inbound", "the caller gave up before it was answered"), ("outbound", "we gave up before it was answered")],
)
def test_why_a_call_ended_depends_on_who_called(direction: str, ended: str) -> None:
    began = {"event": "began", "carrier": "twilio", "direction": direction}
    assert noted((0.0, began), (1.0, {"event": "ended", "cause": "canceled"})).ended == ended


def test_words_that_the_model_wrote_and_did_not_say_before_it_was_gone_were_not_heard() -> None:
    text = "We are open from nine in the morning until six in the evening, Monday to Friday, and on Saturdays"
    picture = noted(
        (2.38, {"event": "heard", "item": f"agent-{text[:5]}", "ms": 2380, "of_ms": 2380, "done": True}),
        (1.0, {"event": "engine_lost", "retry": True}),
        (4.0, {"event": "filler", "clip": "one-moment"}),
        (6.0, {"event": "engine_ready"}),
        turn(20.0, "agent", text, whole=False, ago_ms=19_000),
    )
    [each] = picture.exchanges
    said, *happened = each.agent
    assert 0 < len(said.text.split()) < 12
    assert f"{said.text} {said.unheard}" == text
    assert (said.at, said.cut_at, said.heard_ms, said.by_caller) == (0.0, 2.38, 2380, False)
    assert [words.is_note for words in happened] == [True] * 3
    assert "cut off: 2.38 s heard" in words_of(draw(picture))


def test_what_was_never_heard_has_its_mark_before_it() -> None:
    cut = {"item": "one", "heard_ms": 0, "received_ms": 0, "heard_text": "", "unheard_text": "Goodbye then."}
    picture = noted((3.0, {"event": "cut_off", "cuts": [cut]}))
    [each] = picture.exchanges
    assert [(words.text, words.unheard) for words in each.agent] == [("", "Goodbye then.")]
    assert "Goodbye then." in words_of(draw(picture))


def test_of_a_long_sentence_that_was_cut_off_the_words_around_the_cut_are_shown() -> None:
    heard, unheard = (" ".join(f"{kind}{number}" for number in range(300)) for kind in "hu")
    cut = {"item": "one", "heard_ms": 900, "received_ms": 1800, "heard_text": heard, "unheard_text": unheard}
    picture = noted((3.0, {"event": "interrupted", "by_caller": True, "cuts": [cut]}))
    [each] = picture.exchanges
    [words] = each.agent
    assert words.text.startswith("… ")
    assert words.text.endswith(" h299")
    assert words.unheard.startswith("u0 ")
    assert words.unheard.endswith(" …")


def test_half_a_character_is_no_reason_to_fail() -> None:
    half = {"event": "tool_called", "tool": "\ud83d"}
    draw(noted(turn(1.0, "agent", "\ud800"), turn(2.0, "caller", "\udfff"), (3.0, half)))


def test_keys_tools_and_sessions_stand_where_they_happened() -> None:
    picture = noted(
        turn(1.0, "agent", "Your number?"),
        (4.0, {"event": "digits", "digits": "••••"}),
        (5.0, {"event": "tool_called", "tool": "find"}),
        (6.0, {"event": "tool_finished", "tool": "find", "ok": False, "ms": 7}),
        (7.0, {"event": "engine_rotated", "session": 2}),
        (8.0, {"event": "call_recovered", "found": "live"}),
    )
    said = words_of(draw(picture))
    for what in ("(keys: ••••)", "(calls find)", "(find fails after 7 ms)", "replaced", "the process died"):
        assert what in said


def test_a_long_call_is_drawn_as_far_as_it_is_readable() -> None:
    notes = [
        turn(second, ("caller", "agent")[second % 2], f"{second} " + "word " * 2000, item=str(second))
        for second in range(600)
    ]
    picture = noted(*notes, seconds=60.0)
    assert picture.more == 260
    svg = draw(picture)
    assert "and 260 more" in words_of(svg)
    assert words_of(svg).count("…") >= 40, "and it says where words are left out"
    assert len(svg) < 250_000


# The option


@pytest.mark.parametrize("what", ["not an svg", "is there", "a folder", "under a file", "empty"])
def test_a_picture_that_cannot_be_kept_is_refused_before_the_call(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        "not an svg": "call.png",
        "is there": "there.svg",
        "a folder": "folder.svg",
        "under a file": "there.svg/a.svg",
    }
    (tmp_path / "there.svg").write_text("mine")
    (tmp_path / "folder.svg").mkdir()
    asked = str(tmp_path / names[what]) if what in names else ""
    words = ["demo", "--out", str(tmp_path / "demo.wav"), "--picture", asked]
    try:
        code: Any = server.main(words)
    except SystemExit as stopped:
        code = stopped.code
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "--picture" in said.err
    assert (tmp_path / "there.svg").read_text() == "mine"


@pytest.mark.parametrize("out", [".", "/", "x" * 300 + ".wav", "call.svg"])
def test_beside_a_recording_that_cannot_be_kept_there_is_no_picture(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert server.main(["demo", "--out", out, "--picture"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "--out" in said.err
    assert list(tmp_path.iterdir()) == []

"""One call as a picture: both voices on one time axis, what each side said, and what of it was heard. Pure.

The picture is an SVG that holds its own data, so that it can be drawn again:

    python -m callflow.cli.picture.drawing docs/call.svg
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, unescape

import msgspec

from callflow.cli.picture.text import GAP, lines, plain, width


@dataclass(frozen=True)
class Wait:
    """From the caller's last word to the first sound of the answer, in ms."""

    noticed: int
    model: int
    own: int
    carrier: int

    @property
    def total(self) -> int:
        """All of it, in ms."""
        return self.noticed + self.model + self.own + self.carrier


@dataclass(frozen=True)
class Words:
    """What one side said in a turn, and how much of it was heard."""

    at: float
    """Seconds from the beginning of the recording, as all times here."""
    text: str
    """As far as it was heard."""
    unheard: str = ""
    cut_at: float | None = None
    """When it was broken off."""
    by_caller: bool = False
    heard_ms: int = 0
    of_ms: int = 0
    is_note: bool = False
    """Nobody said it: it happened."""


@dataclass(frozen=True)
class TurnPair:
    """What the caller said, how long an answer took, and what it was. The first one is the greeting."""

    caller: tuple[Words, ...]
    agent: tuple[Words, ...]
    wait: Wait | None = None
    wait_until: float = 0.0
    """When the answer was first heard, in seconds as `Words.at`."""

    @property
    def at(self) -> float:
        """When its first word began."""
        return min(words.at for words in (*self.caller, *self.agent))


@dataclass(frozen=True)
class CallPicture:
    """Everything that the picture of one call shows. The SVG holds it as JSON, so that it can be drawn again."""

    carrier: str
    seconds: float
    caller: str
    """How loud it was: two hexadecimal digits for each of equally long stretches, 00 to ff."""
    agent: str
    exchanges: tuple[TurnPair, ...]
    more: int = 0
    """Exchanges that are left out."""
    ended: str = ""
    made_by: str = ""
    """The command that draws such a picture."""


COLUMNS: Final = 446
"""Stretches of the time axis, of two units each."""
_WIDTH, _EDGE, _AXIS, _UNIT = 1000, 24, 84, 2
_CALLER_Y, _AGENT_Y, _WAIT_Y, _TICKS_Y, _HALF = 122, 188, 155, 226, 27
_CALLER_X, _WAIT_X, _AGENT_X = 84, 346, 532
_SIZE, _SMALL, _LINE = 13.5, 12.5, 19
_BAR: Final = 92
"""The longest wait, in units."""
_MOST_LINES: Final = 3
_PARTS: Final = (("noticed", "noticed"), ("model", "model"), ("own", "Callflow"), ("carrier", "carrier"))
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)

_LIGHT: Final = {
    "page": "#ffffff", "edge": "#d8dee4", "ink": "#1f2328", "dim": "#59636e", "unheard": "#9aa4ae",
    "caller": "#9a6700", "agent": "#0969da", "cut": "#cf222e", "left": "#c69026", "right": "#4493f8",
    "noticed": "#768390", "model": "#8250df", "own": "#1a7f37", "carrier": "#bf3989",
}  # fmt: skip
_DARK: Final = {
    "page": "#0d1117", "edge": "#30363d", "ink": "#e6edf3", "dim": "#9198a1", "unheard": "#6a727c",
    "caller": "#d29922", "agent": "#58a6ff", "cut": "#ff7b72", "left": "#bb8009", "right": "#388bfd",
    "noticed": "#7d8590", "model": "#a371f7", "own": "#3fb950", "carrier": "#db61a2",
}  # fmt: skip
_STROKES: Final = ("page", "edge", "left", "right")
_TOLD: Final = 'role="img" aria-labelledby="title desc"'
_FONT: Final = "-apple-system,BlinkMacSystemFont,'Segoe UI',Helvetica,Arial,sans-serif"
_DATA: Final = re.compile(r'<metadata id="call">(.*?)</metadata>', re.DOTALL)


def draw(picture: CallPicture) -> str:
    """Return the picture as an SVG document."""
    rows, bottom = _rows(picture)
    height = bottom + 44
    body = [*_head(picture), *_voices(picture), *rows, *_foot(picture, height)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_TOLD}>',
            f'<title id="title">A call of {picture.seconds:.0f} s: what was said, and how much of it was heard</title>',
            f'<desc id="desc">{plain(" ".join(_described(picture)))}</desc>',
            f'<metadata id="call">{escape(msgspec.json.encode(picture).decode())}</metadata>',
            f"<style>{_style()}</style>",
            f'<rect class="page" x=".5" y=".5" width="{_WIDTH - 1}" height="{height - 1}" rx="12"/>',
            *body,
            "</svg>\n",
        ]
    )


def read(svg: str) -> CallPicture:
    """Return what a picture was drawn from. Raises ValueError where it is none of ours."""
    found = _DATA.search(svg)
    if found is None:
        raise ValueError("this is not a picture of a call")
    return msgspec.json.decode(unescape(found[1]), type=CallPicture)


def _style() -> str:
    return (
        f"text{{font:{_SIZE}px {_FONT}}}.s{{font-size:{_SMALL}px}}.b{{font-weight:600}}.i{{font-style:italic}}"
        ".e{text-anchor:end}.m{text-anchor:middle}.h{font-size:20px;font-weight:600}.rule,.voice,.mark{fill:none}"
        ".voice{stroke-width:1.3;stroke-linecap:round}.mark{stroke-width:2;stroke-linecap:round}"
        f"{_colours(_LIGHT)}@media(prefers-color-scheme:dark){{{_colours(_DARK)}}}"
    )


def _colours(scheme: dict[str, str]) -> str:
    """Without variables, which not every viewer knows."""
    fills = "".join(f".{name}{{fill:{colour}}}" for name, colour in scheme.items() if name not in _STROKES)
    return (
        f"text{{fill:{scheme['ink']}}}{fills}.page{{fill:{scheme['page']};stroke:{scheme['edge']}}}"
        f".rule{{stroke:{scheme['edge']}}}.v-caller{{stroke:{scheme['left']}}}.v-agent{{stroke:{scheme['right']}}}"
        f".mark{{stroke:{scheme['cut']}}}"
    )


def _text(x: float, y: float, text: str, classes: str = "", wide: float = 0.0) -> str:
    """`wide`: it takes exactly that room, whatever font there is."""
    kind = f' class="{classes}"' if classes else ""
    fit = f' textLength="{wide:.1f}" lengthAdjust="spacingAndGlyphs"' if wide else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}{fit}>{plain(text)}</text>'


def _bar(x: float, y: float, wide: float, high: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:g}"/>'


# The head and the foot


def _head(picture: CallPicture) -> Iterator[str]:
    yield _text(_EDGE, 42, "What was said, and how much of it was heard", "h")
    yield _text(_EDGE, 64, ", ".join(_summary(picture)), "dim")
    x = float(_WIDTH - _EDGE)
    for key, name in reversed(_PARTS):
        x -= width(name, _SMALL) + 2
        yield _text(x, 64, name, "s dim")
        x -= 13
        yield _bar(x, 55, 9, 9, key)
        x -= 12
    yield _text(x, 64, "the wait for an answer:", "s dim e")


def _summary(picture: CallPicture) -> Iterator[str]:
    yield f"{picture.seconds:.0f} s{f' over {picture.carrier.capitalize()}' if picture.carrier else ''}"
    waits = [each.wait.total for each in picture.exchanges if each.wait is not None]
    if waits:
        spread = f"{min(waits)} to {max(waits)}" if min(waits) < max(waits) else f"{waits[0]}"
        yield f"{len(waits)} {'answers' if len(waits) > 1 else 'answer'} after {spread} ms"
    cuts = [words for words in _cuts(picture) if words.by_caller]
    if cuts:
        yield f"{len(cuts)} interruption{'s' if len(cuts) > 1 else ''}"


def _foot(picture: CallPicture, height: float) -> Iterator[str]:
    y = height - 20
    ended = f"The call ended: {picture.ended}." if picture.ended else ""
    yield _text(_EDGE, y, ended, "s dim")
    yield _text(_WIDTH - _EDGE, y, picture.made_by, "s dim e")


# The voices


def _x(picture: CallPicture, at: float) -> float:
    return _AXIS + COLUMNS * _UNIT * min(max(at / max(picture.seconds, 0.001), 0.0), 1.0)


def _voices(picture: CallPicture) -> Iterator[str]:
    for name, peaks, y in (("caller", picture.caller, _CALLER_Y), ("agent", picture.agent, _AGENT_Y)):
        yield _text(_EDGE, y + 4, name, f"b {name}")
        yield f'<path class="rule" d="M{_AXIS} {y}H{_AXIS + COLUMNS * _UNIT}"/>'
        yield f'<path class="voice v-{name}" d="{_wave(peaks, y)}"/>'
    for each in picture.exchanges:
        if each.wait is not None:
            yield from _wait_on_axis(picture, each)
    for words in _cuts(picture):
        x = _x(picture, words.cut_at or 0.0)
        yield f'<path class="mark" d="M{x:.1f} {_CALLER_Y - 34}V{_AGENT_Y + 30}"/>'
        yield f'<path class="cut" d="M{x - 5:.1f} {_CALLER_Y - 40}h10l-5 7z"/>'
    yield from _ticks(picture)
    yield from _numbers(picture)


def _wave(peaks: str, y: int) -> str:
    bars = []
    for column in range(len(peaks) // 2):
        high = round(int(peaks[column * 2 : column * 2 + 2], 16) / 255 * _HALF, 1)
        if high >= 0.5:
            bars.append(f"M{_AXIS + column * _UNIT + 1} {y - high:g}v{2 * high:g}")
    return "".join(bars)


def _wait_on_axis(picture: CallPicture, each: TurnPair) -> Iterator[str]:
    """To scale, between the caller's last word and the answer."""
    assert each.wait is not None
    at = each.wait_until - each.wait.total / 1000
    for key, _ in _PARTS:
        seconds = getattr(each.wait, key) / 1000
        x, end = _x(picture, at), _x(picture, at + seconds)
        if end - x >= 0.3:
            yield _bar(x, _WAIT_Y - 3, end - x, 6, key)
        at += seconds


def _ticks(picture: CallPicture) -> Iterator[str]:
    step = next((step for step in _STEPS if picture.seconds / step <= 10), _STEPS[-1])
    yield f'<path class="rule" d="M{_AXIS} {_TICKS_Y}H{_AXIS + COLUMNS * _UNIT}"/>'
    for second in range(0, int(picture.seconds) + 1, step):
        x = _x(picture, second)
        yield f'<path class="rule" d="M{x:.1f} {_TICKS_Y}v4"/>'
        yield _text(x, _TICKS_Y + 18, f"{second} s" if second == 0 else str(second), "s dim m")


def _numbers(picture: CallPicture) -> Iterator[str]:
    """Which of the rows below is which: a number where it begins."""
    marks = [_x(picture, words.cut_at or 0.0) for words in _cuts(picture)]
    last = -100.0
    for number, each in enumerate(picture.exchanges, 1):
        x = _x(picture, each.at)
        x = next((mark + 8 for mark in marks if abs(mark - x) < 10), x)
        if x - last >= 16:
            yield _text(x, _CALLER_Y - 32, str(number), "s b dim")
            last = x


# The words


def _cuts(picture: CallPicture) -> list[Words]:
    return [words for each in picture.exchanges for words in each.agent if words.cut_at is not None]


def _rows(picture: CallPicture) -> tuple[list[str], int]:
    y = 278
    drawn = [
        _text(_CALLER_X, y, "The caller said", "s dim"),
        _text(_WAIT_X, y, "waited", "s dim"),
        _text(_AGENT_X, y, "and heard", "s dim"),
    ]
    y += 10
    longest = max((each.wait.total for each in picture.exchanges if each.wait is not None), default=1)
    for number, each in enumerate(picture.exchanges, 1):
        drawn.append(f'<path class="rule" d="M{_EDGE} {y}H{_WIDTH - _EDGE}"/>')
        top = y + 23
        drawn.append(_text(_EDGE, top, str(number), "b dim"))
        drawn.append(_text(_CALLER_X - 12, top, f"{each.at:.1f} s", "s dim e"))
        said, left = _cell(each.caller, _CALLER_X, _WAIT_X - _CALLER_X - 22, top)
        answered, right = _cell(each.agent, _AGENT_X, _WIDTH - _EDGE - _AGENT_X, top)
        drawn += [*said, *answered]
        if each.wait is not None:
            drawn += _wait(each.wait, longest, top)
        y = max(left, right, top + (18 if each.wait is not None else 0)) + 13
    drawn.append(f'<path class="rule" d="M{_EDGE} {y}H{_WIDTH - _EDGE}"/>')
    if picture.more:
        y += 24
        drawn.append(_text(_CALLER_X, y, f"and {picture.more} more, which are not drawn", "s dim"))
    return drawn, y


def _wait(wait: Wait, longest: int, top: int) -> Iterator[str]:
    x = float(_WAIT_X)
    for key, _ in _PARTS:
        wide = _BAR * getattr(wait, key) / max(longest, 1)
        if wide >= 0.3:
            yield _bar(x, top - 9, wide, 9, key)
        x += wide
    yield _text(_WAIT_X + _BAR + 8, top, f"{wait.total} ms", "b")
    figures = ' <tspan class="dim">+</tspan> '.join(
        f'<tspan class="{key}">{getattr(wait, key)}</tspan>' for key, _ in _PARTS
    )
    yield f'<text x="{_WAIT_X}" y="{top + 18}" class="s">{figures}</text>'


def _cell(said: tuple[Words, ...], x: float, room: float, top: int) -> tuple[list[str], int]:
    """Everything that one side said in one exchange; and where its last line is."""
    drawn: list[str] = []
    y = top - _LINE
    for words in said:
        if words.is_note:
            y += _LINE
            drawn.append(_text(x, y, f"({words.text})", "s dim i"))
            continue
        rows = lines(words.text, words.unheard, _SIZE, room, _MOST_LINES)
        mark = (x - 4.0, y + _LINE)
        for row in rows:
            y += _LINE
            for piece in row:
                drawn.append(_text(x + piece.x, y, piece.text, "" if piece.heard else "unheard", piece.width))
                if piece.heard:
                    mark = (x + piece.x + piece.width + GAP / 2, y)
        if words.cut_at is not None:
            drawn.append(f'<path class="mark" d="M{mark[0]:.1f} {mark[1] - 12:.1f}v16"/>')
            y += _LINE
            drawn.append(_text(x, y, _how_much(words), "s cut"))
    return drawn, y


def _how_much(words: Words) -> str:
    why = "interrupted" if words.by_caller else "cut off"
    of = f" of {words.of_ms / 1000:.2f} s" if words.of_ms else ""
    return f"{why}: {words.heard_ms / 1000:.2f} s heard{of}"


# In words


def _described(picture: CallPicture) -> Iterator[str]:
    yield f"{', '.join(_summary(picture))}."
    for each in picture.exchanges:
        for words in each.caller:
            yield f"{words.at:.1f} s: {_told('the caller', words)}"
        if each.wait is not None:
            parts = ", ".join(f"{name} {getattr(each.wait, key)}" for key, name in _PARTS)
            yield f"An answer is heard after {each.wait.total} ms ({parts})."
        for words in each.agent:
            yield f"{words.at:.1f} s: {_told('the agent', words)}"
    if picture.ended:
        yield f"The call ended: {picture.ended}."


def _told(who: str, words: Words) -> str:
    if words.is_note:
        return f"({words.text})."
    told = f"{who}: “{words.text}”"
    if words.cut_at is not None:
        told += f" — {_how_much(words)}; not heard: “{words.unheard}”"
    return f"{told}."


def main() -> int:
    """Draw the given pictures again, each from the data that it holds."""
    for path in map(Path, sys.argv[1:]):
        path.write_text(draw(read(path.read_text(encoding="utf-8"))), encoding="utf-8")
        print(f"{path} has been drawn again")
    return 0


if __name__ == "__main__":
    sys.exit(main())

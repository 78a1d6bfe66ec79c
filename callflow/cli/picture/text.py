"""Words on a picture: how wide they are, and how they break into lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from callflow.contracts import printable


_WIDTHS: Final = {
    222: "'ijl",
    278: " !,./:;I[\\]ft|",
    333: '"()-`r{}',
    389: "*",
    500: "Jckmsvxyz",
    556: "#$0123456789?L_abdeghnopqu–",
    584: "+<=>^~",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    944: "W%@…—",
}
"""Thousandths of an em, of the sans-serif that most machines have; a picture cannot ask which one is there."""
_EM: Final = {letter: width for width, letters in _WIDTHS.items() for letter in letters}
_OTHER, _WIDE, _FIRST_WIDE = 600, 1000, 0x2E80
GAP: Final = 9.0
"""Between what was heard and what was not there is room for a mark."""


def width(text: str, size: float) -> float:
    """Return about how wide a text is drawn, in pixels. `size`: of its letters, in pixels."""
    return sum(_EM.get(letter, _WIDE if ord(letter) >= _FIRST_WIDE else _OTHER) for letter in text) * size / 1000


def plain(text: str) -> str:
    """Return a text in one line, as it may stand in XML."""
    return escape(printable.whole(printable.line(text)), {'"': "&quot;"})


@dataclass(frozen=True)
class Piece:
    """Words of one kind on one line; `x` from where the line begins."""

    x: float
    width: float
    text: str
    heard: bool


def lines(heard: str, unheard: str, size: float, room: float, most: int) -> list[list[Piece]]:
    """Break what was heard and what was not, one after the other, into lines no wider than `room`.

    What was heard is told to its end; of what was not, as much as `most` lines take.
    """
    rows: list[list[tuple[str, bool]]] = [[]]
    used, space, room = 0.0, width(" ", size), room - GAP
    words = [(word, True) for word in _words(heard, size, room)] + [
        (word, False) for word in _words(unheard, size, room)
    ]
    for word, is_heard in words:
        needs = width(word, size)
        if rows[-1] and used + space + needs > room:
            if len(rows) >= most and not is_heard:
                while used + space + width("…", size) > room:
                    last, _ = rows[-1].pop()
                    used -= width(last, size) + space
                rows[-1].append(("…", False))
                break
            rows.append([])
            used = 0.0
        used += needs + (space if rows[-1] else 0.0)
        rows[-1].append((word, is_heard))
    return [_pieces(row, size) for row in rows if row]


def _words(text: str, size: float, room: float) -> list[str]:
    """One that is wider than a line is cut in pieces that are not."""
    most = max(int(room / size), 1)
    return [word[i : i + most] for word in text.split() for i in range(0, len(word), most)]


def _pieces(row: Sequence[tuple[str, bool]], size: float) -> list[Piece]:
    pieces: list[Piece] = []
    x = 0.0
    for kind in (True, False):
        text = " ".join(word for word, is_heard in row if is_heard is kind)
        if text:
            wide = width(text, size)
            pieces.append(Piece(x, wide, text, kind))
            x += wide + GAP
    return pieces

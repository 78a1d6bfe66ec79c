"""Puts the metrics of several nodes together: the text format of Prometheus, with a label for the node. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final


_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?( .+)")
_ABOUT: Final = re.compile(r"# (?:HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) ?")


def merged(texts: Mapping[str, str]) -> str:
    """Return one text with all samples, those of one metric together. `texts`: of each node, by its name."""
    about: dict[str, dict[str, str]] = {}
    """The lines about each metric, one of each kind: nodes of two versions may say it in other words."""
    samples: dict[str, list[str]] = {}
    for node in sorted(texts):
        family = ""
        for line in texts[node].split("\n"):  # no other character ends a line of this format
            if (told := _ABOUT.match(line)) is not None:
                family = told[1]
                about.setdefault(family, {}).setdefault(told[0], line)
            elif (sample := _SAMPLE.fullmatch(line)) is not None:
                labels = f'node="{node}"' + (f",{sample[2]}" if sample[2] else "")
                samples.setdefault(family, []).append(f"{sample[1]}{{{labels}}}{sample[3]}")
    return "".join("\n".join([*about[family].values(), *samples.get(family, ())]) + "\n" for family in about)

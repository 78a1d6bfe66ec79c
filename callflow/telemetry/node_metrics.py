"""Puts the metrics of several nodes together: the text format of Prometheus, with a label for the node. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final


_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?( .+)")
_ABOUT: Final = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*)(?: .*)?")
ANSWERS: Final = "callflow_node_answers"
"""The metric that says of each node whether its samples are there."""


def merged(texts: Mapping[str, str], missing: Collection[str] = ()) -> str:
    """Return one text with all samples, those of one metric together. `texts`: of each node, by its name. `missing`:
    the nodes that have given none."""
    about: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    for node in sorted(texts):
        family = ""
        for line in texts[node].split("\n"):
            if (told := _ABOUT.fullmatch(line)) is not None:
                family = told[2]
                # Each may stand there once, also where two versions of the server say it in other words.
                about.setdefault(family, {}).setdefault(told[1], line)
            elif (sample := _SAMPLE.fullmatch(line)) is not None:
                labels = f'node="{node}"' + (f",{sample[2]}" if sample[2] else "")
                samples.setdefault(family, []).append(f"{sample[1]}{{{labels}}}{sample[3]}")
    if ANSWERS in about:
        samples.setdefault(ANSWERS, []).extend(f'{ANSWERS}{{node="{node}"}} 0.0' for node in missing)
    return "".join("\n".join([*about[family].values(), *samples.get(family, ())]) + "\n" for family in about)

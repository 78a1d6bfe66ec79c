"""`server.py drain NODE`: when it says that a node can be stopped, and when it must not."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.cli import nodes


NONE = {"nodes": [{"name": "a-w1", "calls": 0}], "trouble": ""}
TWO = {"nodes": [{"name": "a-w1", "calls": 2}], "trouble": ""}
AWAY = (503, {"error": "The history cannot be read."})


class Port:
    """The operators' port, which answers one after the other, the last of them for ever."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        self._answers = list(answers)

    def ask(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.mark.parametrize(
    ("answers", "code", "says"),
    [
        ([(200, TWO), (200, NONE)], 0, "it can be stopped"),
        ([(200, TWO), AWAY, AWAY, (200, NONE)], 0, "it can be stopped"),
        ([(200, TWO), AWAY], 1, "not known: The history cannot be read."),
        ([(200, TWO), (200, NONE | {"trouble": "OSError: away"})], 1, "not known: OSError: away"),
        ([(200, TWO)], 1, "still has 2 calls"),
    ],
)
def test_a_node_can_be_stopped_only_when_it_is_known_to_have_no_call(
    answers: list[tuple[int, dict[str, Any]]], code: int, says: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """An answer without nodes, and one from before the database went away, once counted as none."""
    monkeypatch.setattr(nodes, "_LOOK_SECONDS", 0.001)
    assert nodes._wait(Port(*answers), "a-w1", 0.05) == code  # type: ignore[arg-type]
    told = capsys.readouterr()
    assert says in told.out + told.err
    assert ("can be stopped" in told.out) == (code == 0)

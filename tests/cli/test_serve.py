"""Who serves: this process alone, or workers."""

from __future__ import annotations

import pytest

from callflow.cli import serve, workers
from callflow.config.settings import Settings


class _OneProcessError(Exception):
    pass


@pytest.mark.parametrize(
    ("several", "told"), [({}, "alone"), ({"workers": 2}, "workers"), ({"cluster_port": 6010}, "workers")]
)
def test_a_machine_of_several_is_a_node_also_with_one_process(
    several: dict[str, int], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone(*_: object) -> None:
        raise _OneProcessError

    monkeypatch.setattr(workers, "serve_with_workers", lambda *_: 7)
    monkeypatch.setattr(serve, "bind", alone)
    settings = Settings(**several)  # type: ignore[arg-type]
    if told == "alone":
        with pytest.raises(_OneProcessError):
            serve._run(settings, {}, "", yes=False)
    else:
        assert serve._run(settings, {}, "", yes=False) == 7

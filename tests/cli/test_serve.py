"""Who serves: this process alone, or workers."""

from __future__ import annotations

import gc

import pytest

from callflow import __main__ as command_line
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
    monkeypatch.setattr(serve, "bind_both", alone)
    settings = Settings(**several)  # type: ignore[arg-type]
    if told == "alone":
        with pytest.raises(_OneProcessError):
            serve._run(settings, {}, "", yes=False)
    else:
        assert serve._run(settings, {}, "", yes=False) == 7


def test_no_garbage_is_collected_from_the_first_module_of_a_start_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "serve", lambda *_, **__: 1 if gc.isenabled() else 7)
    assert command_line.main([]) == 7
    assert gc.isenabled()


def test_the_main_process_of_workers_collects_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives as long as they do, and no call waits for it."""
    monkeypatch.setattr(workers, "serve_with_workers", lambda *_: 7 if gc.isenabled() else 1)
    gc.disable()
    try:
        assert serve._run(Settings(workers=2), {}, "", yes=False) == 7
    finally:
        gc.enable()

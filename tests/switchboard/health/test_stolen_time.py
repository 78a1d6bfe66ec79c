"""Who takes processor time away from this process, as Linux tells it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from callflow.switchboard.health.stolen_time import stolen_time


@pytest.mark.parametrize(
    ("groups", "file", "text"),
    [
        (
            "0::/system.slice/callflow.service\n",
            "system.slice/callflow.service/cpu.stat",
            "nr_periods 9\nthrottled_usec",
        ),
        ("0::/../../x\n", "cpu.stat", "throttled_usec"),
        ("3:cpu,cpuacct:/docker/x\n", "cpu,cpuacct/docker/x/cpu.stat", "nr_throttled 4\nthrottled_time"),
    ],
    ids=["version 2", "version 2, in a container", "version 1"],
)
def test_the_limit_of_a_group_and_the_host_of_a_machine_are_told(
    tmp_path: Path, groups: str, file: str, text: str
) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    in_a_second = 10**6 if "usec" in text else 10**9
    for name, content in (
        ("proc/self/cgroup", groups), ("proc/stat", f"cpu  1 2 3 4 5 6 7 {7 * ticks} 0 0\ncpu0 1 2\n"),
        (f"sys/fs/cgroup/{file}", f"{text} {2 * in_a_second}\n"),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert stolen_time(tmp_path) == (2.0, 7.0)


def test_where_nothing_is_told_nothing_was_taken(tmp_path: Path) -> None:
    assert stolen_time(tmp_path) == (0.0, 0.0)

"""Keeps tests/repeated.txt, the list of tests that failed beside others and passed alone.

.ci/repeated.py check           fails when a test stands there twice
.ci/repeated.py note FAILED…    adds the tests of pytest's cache files FAILED, with today's date; then checks
"""

from __future__ import annotations

import datetime
import json
import sys
from collections import Counter
from pathlib import Path


LIST = Path(__file__).parents[1] / "tests" / "repeated.txt"


def entries() -> list[tuple[str, str]]:
    """(date, test) of each line, oldest first. A test's name may hold spaces."""
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [(date, name) for date, _, name in (line.partition(" ") for line in lines)]


def check() -> int:
    twice = [name for name, count in Counter(name for _, name in entries()).items() if count > 1]
    for name in twice:
        print(f"tests/repeated.txt has {name} more than once: mend it, and take its lines out.", file=sys.stderr)
    return 1 if twice else 0


def note(failed: list[Path]) -> int:
    names = sorted({name for file in failed for name in json.loads(file.read_text(encoding="utf-8"))})
    today = datetime.datetime.now(datetime.UTC).date()
    with LIST.open("a", encoding="utf-8") as file:
        file.writelines(f"{today} {name}\n" for name in names)
    print("\nFailed beside others and passed alone; noted in tests/repeated.txt, which is to be committed:")
    print(*(f"    {name}" for name in names), sep="\n")
    return check()


if __name__ == "__main__":
    sys.exit(note([Path(name) for name in sys.argv[2:]]) if sys.argv[1] == "note" else check())

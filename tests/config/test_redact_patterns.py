"""Patterns of RE2: compiled, or refused with a reason that quotes nothing of what was written but an operator."""

from __future__ import annotations

import pytest

from callflow.config.redact_patterns import compile_pattern, pattern_problem


@pytest.mark.parametrize("pattern", ["a+", "[0-9]{3}", "(?i)secret", r"\bword\b", "é+", r"\p{Greek}+", "\ud800"])
def test_what_finds_something_can_be_used(pattern: str) -> None:
    assert pattern_problem(pattern) == ""


def test_text_is_searched_as_bytes_of_utf_8() -> None:
    found = compile_pattern("caf.").search("ein café".encode())
    assert found.span() == (4, 9)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(?=secret)", "no look-around"), ("(?<!secret)x", "no look-around"), (r"(secret)\1", "no back-references"),
        (r"(?P=secret)", "no back-references"), ("secret(", "missing"), ("[secret", "missing"), ("*secret", "RE2 says"),
        ("secret{9999}", "RE2 says"), (r"secret\y", "RE2 says"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_has_a_reason_without_the_pattern(pattern: str, told: str) -> None:
    problem = pattern_problem(pattern)
    assert told in problem
    assert "secret" not in problem
    assert len(problem) < 150


@pytest.mark.parametrize("pattern", ["", "a*", "x?", "(a|)", "^*"])
def test_what_matches_nothing_would_remove_everything(pattern: str) -> None:
    assert "matches where there is nothing" in pattern_problem(pattern)

"""Under which name a finding is known from one look to the next."""

from __future__ import annotations

from callflow.contracts.diagnostics import Finding


def test_a_finding_is_known_by_its_key_or_by_what_it_is_about() -> None:
    assert Finding("the webhook of +15550100001", "wrong", "it points elsewhere").name == "the webhook of +15550100001"
    assert Finding("2 numbers", "note", "they are unused", key="unused numbers").name == "unused numbers"
    assert Finding("a", "ok", "b") == Finding("a", "ok", "b")

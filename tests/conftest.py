"""What all tests share: how hard hypothesis looks. `--hypothesis-profile=thorough` looks much harder."""

from __future__ import annotations

from hypothesis import settings


settings.register_profile("suite", max_examples=50, deadline=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile("suite")

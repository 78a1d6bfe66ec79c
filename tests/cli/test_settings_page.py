"""docs/settings.md is what the settings say of themselves."""

from __future__ import annotations

import re
from typing import Annotated

import pytest
from pydantic import Field

from callflow.cli import settings_page
from callflow.config.call_settings import CallSettings
from callflow.config.cluster_settings import ClusterSettings
from callflow.config.documentation import Documented, documented
from callflow.config.origins import OriginSettings
from callflow.config.recording_settings import RecordingSettings
from callflow.config.setting_names import ALIASES
from callflow.config.settings import Settings


BOTH = [each for part in (CallSettings, ClusterSettings, RecordingSettings, Settings) for each in documented(part)]


def test_the_page_is_up_to_date() -> None:
    page = settings_page.PAGE.read_text(encoding="utf-8")
    assert page == settings_page.render(), f"the settings have changed: run `{settings_page.COMMAND}`"


def test_every_setting_has_a_text_and_a_heading_and_stands_there_once() -> None:
    assert [each.name for each in BOTH] == list(Settings.model_fields)
    assert [each.name for each in BOTH if not each.text or not each.heading] == []
    named = re.findall(r"^\| `(\w+)` \| .* \| .* \| .* \|$", settings_page.render(), re.MULTILINE)
    assert sorted(name.lower() for name in named) == sorted(Settings.model_fields)


@pytest.mark.parametrize("each", BOTH, ids=lambda each: each.name)
def test_a_text_is_a_sentence_that_names_only_settings_that_there_are(each: Documented) -> None:
    assert re.match(r"[`\"A-Z0-9]", each.text)
    assert re.search(r"[.\"]$|\.\)$", each.text)
    assert not re.search(r"<class|typing\.", each.text)
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", each.text)) - {"near_field", "far_field"}
    values = {"server_vad", "semantic_vad", "openai_realtime", "openai_live"}
    assert named - set(Settings.model_fields) - values == set()


def test_every_other_name_is_on_the_page() -> None:
    assert all(f"`{name.upper()}`" in settings_page.render() for name in ALIASES)


class Some(OriginSettings):
    # First

    one: Annotated[int, Field(ge=0)] = 1
    """Number one
    of two."""

    # Second

    two: str = "x"
    three: bool = False
    """The last. A pipe: `a|b`."""


def test_headings_and_texts_are_read_from_the_class() -> None:
    assert list(documented(Some)) == [
        ("one", "First", "Number one of two."),
        ("two", "Second", ""),
        ("three", "Second", "The last. A pipe: `a|b`."),
    ]

"""What of the present settings has no effect: told together, whoever finds it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from callflow.config.settings import Settings
from callflow.switchboard.setting_warnings import setting_warnings


def test_what_configs_prices_and_tools_find_stands_in_one_list() -> None:
    asked: list[Any] = []

    def of_tools(profiles: Any) -> list[str]:
        asked.append(profiles)
        return ["a tool that is not there"]

    profiles = {"": Settings(max_daily_usd=5, model="a-model-of-tomorrow"), "sales": Settings()}
    rules = SimpleNamespace(profiles=SimpleNamespace(all=lambda: profiles))
    configs: Any = SimpleNamespace(warnings=["a setting that does nothing"], rules=rules)
    tools: Any = SimpleNamespace(warnings_of=of_tools)
    first, price, last = setting_warnings(configs, tools)
    assert (first, last) == ("a setting that does nothing", "a tool that is not there")
    assert "the price of a-model-of-tomorrow is not known" in price
    assert asked == [profiles]

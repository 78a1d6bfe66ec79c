"""From the settings to the config of a room: every field of it, by name, or an error at once."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from callflow.config.settings import Settings


Config = TypeVar("Config")


def from_settings(config: type[Config], settings: Settings, **own: Any) -> Config:
    """Make a config: each of its fields has the value of the setting of that name, or is given in `own`.

    Raises TypeError for a field that is neither, and for one that is given and does not exist.
    """
    names = {each.name for each in dataclasses.fields(config)}  # type: ignore[arg-type]
    unknown = [name for name in names - own.keys() if name not in type(settings).model_fields]
    if unknown:
        raise TypeError(f"{config.__name__}: there is no setting {', '.join(sorted(unknown))}")
    return config(**{name: getattr(settings, name) for name in names - own.keys()}, **own)

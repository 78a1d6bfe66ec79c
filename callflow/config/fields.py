"""Makes the config of a package from the settings: each field has the value of the setting of the same name."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from callflow.config.settings import Settings


Config = TypeVar("Config")


def from_settings(config: type[Config], settings: Settings, **own: Any) -> Config:
    """Make a config dataclass: each field is the setting of the same name, unless its value is given in `own`.

    Raises TypeError for a field that is no setting and not in `own`, and for a name in `own` that is no field.
    """
    names = {each.name for each in dataclasses.fields(config)}  # type: ignore[arg-type]
    unknown = [name for name in names - own.keys() if name not in type(settings).model_fields]
    if unknown:
        raise TypeError(f"{config.__name__}: there is no setting {', '.join(sorted(unknown))}")
    return config(**{name: getattr(settings, name) for name in names - own.keys()}, **own)

"""Settings that know from which layer each of their values came: the base of `CallSettings` and `Settings`."""

from __future__ import annotations

from pydantic import PrivateAttr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class OriginSettings(BaseSettings):
    """Frozen settings with an origin for each value. `callflow.config.loader` fills in the origins."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        str_strip_whitespace=True,
        hide_input_in_errors=True,  # it may be a secret
        defer_build=True,  # of the parts that `Settings` is made of, nobody checks values apart
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the only source: the arguments of the constructor."""
        # load() merges the layers itself, because it knows the aliases and notes where each value came from.
        return (init_settings,)

    def origin(self, name: str) -> str:
        """Return where a value came from: `command line`, `environment`, `.env`, `settings.toml` or `default`.

        A value that was written under another name says so: `.env, as PUBLIC_URL`.
        """
        return self._origins.get(name, "default")

"""Where settings come from, for every process: arguments, then `OPSGATE_*`, then `opsgate.toml`.

Each layer declares its own settings class on top of this one; no setting is declared here.
"""

from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

CONFIG_FILE = "opsgate.toml"


class FileSettings(BaseSettings):
    """Settings that one file may hold and the environment overrides."""

    model_config = SettingsConfigDict(env_prefix="OPSGATE_", toml_file=CONFIG_FILE, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))

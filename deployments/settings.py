"""The settings of the web process: environment `OPSGATE_*` over one `opsgate.toml`.

Each layer declares what it needs to be told (`agent_api`, `approvals_ui`, `flows`); this joins those
of the web process and adds addresses. Built once by an entry point and handed on. Secrets are not
settings: a setting may name the file that holds one.
"""

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from agent_api.settings import ApiSettings
from approvals_ui.settings import PagesSettings

CONFIG_FILE = "opsgate.toml"


class WebSettings(ApiSettings, PagesSettings):
    """What the web process needs to know."""

    model_config = SettingsConfigDict(
        env_prefix="OPSGATE_", toml_file=CONFIG_FILE, extra="ignore", frozen=True
    )

    database_url: str = Field(description="libpq URL of Opsgate's database; a unix socket by ?host=/dir")
    web_host: str = Field(default="127.0.0.1", description="address the web process listens on")
    web_port: int = Field(default=8080, ge=1, le=65535)

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

"""What the pages need to know of their installation."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class PagesSettings(BaseSettings):
    """Settings of the web pages, prefix `OPSGATE_`."""

    model_config = SettingsConfigDict(env_prefix="OPSGATE_", extra="ignore", frozen=True)

    public_url: str = "http://127.0.0.1:8080"
    """Where people reach the pages; https makes the cookies secure."""

    prefect_api_url: str | None = None
    """Prefect's API, as this process reaches it; None: no dashboards, no links to runs."""

    prefect_auth_file: Path | None = None
    """A file with Prefect's auth string; never the string itself in an environment."""

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers reach the pages by TLS, so that cookies must not travel without it."""
        return self.public_url.startswith("https://")

"""What the API can be told: built by the entry point and passed in, never global."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseSettings):
    """Settings of the HTTP surface, from `OPSGATE_*`."""

    model_config = SettingsConfigDict(env_prefix="OPSGATE_", extra="ignore")

    public_url: str = "http://127.0.0.1:8080"
    """Where people reach us; with https the session cookie is sent over TLS only."""
    audit_public_keys_file: Path | None = None
    """Whose signatures on checkpoints of the audit chain count (docs/audit.md)."""
    minimum_agent_version: str = "0.1.0"
    max_body_bytes: int = 4 * 1024 * 1024

    @property
    def secure_cookies(self) -> bool:
        """Whether cookies are marked `Secure`."""
        return self.public_url.startswith("https://")

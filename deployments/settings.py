"""The settings of the web process: environment `OPSGATE_*` over one `opsgate.toml`.

Each layer declares what it needs to be told (`agent_api`, `approvals_ui`, `flows`); this joins those
of the web process and adds addresses. Built once by an entry point and handed on. Secrets are not
settings: a setting may name the file that holds one.
"""

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from agent_api.settings import ApiSettings
from approvals_ui.settings import PagesSettings
from store.settings import CONFIG_FILE, FileSettings

SomeFile = Annotated[Path | None, BeforeValidator(lambda given: given or None)]
"""A file, or none: an empty variable unsets what opsgate.toml says."""


def _network(text: str) -> str:
    """An address is the network of itself; no name, and no sign for everybody."""
    return str(ipaddress.ip_network(text.strip()))


Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...],
    NoDecode,  # an environment variable holds them with commas between, not JSON
    BeforeValidator(
        lambda given: [each for each in given.split(",") if each.strip()] if isinstance(given, str) else given
    ),
]
"""Addresses and networks, for example `192.0.2.7, 10.1.0.0/16`."""


class WebSettings(FileSettings, ApiSettings, PagesSettings):
    """What the web process needs to know."""

    # Named again: pydantic merges the bases' configurations, the last one wins.
    model_config = SettingsConfigDict(
        toml_file=CONFIG_FILE, env_prefix="OPSGATE_", extra="ignore", frozen=True
    )

    database_url: str = Field(description="libpq URL of Opsgate's database; a unix socket by ?host=/dir")
    sealing_key_file: Path | None = Field(
        default=None, description="the keys that seal secret values at rest (docs/secrets.md)"
    )
    web_host: str = Field(default="127.0.0.1", description="address the web process listens on")
    web_port: int = Field(default=8080, ge=1, le=65535)
    web_tls_cert: SomeFile = Field(default=None, description="PEM file: certificate, then its chain")
    web_tls_key: SomeFile = Field(default=None, description="PEM file: the certificate's private key")
    web_plain_http: bool = Field(
        default=False, description="serve beyond loopback without TLS: something in front speaks it"
    )
    web_trusted_proxies: Networks = Field(
        default=(), description="proxies whose X-Forwarded-For is believed: their addresses or networks"
    )

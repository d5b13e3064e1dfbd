"""What the engine's processes are told: where the store and Prefect are, and their limits."""

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from store.settings import FileSettings

WORK_POOL = "opsgate"
WORKER_TYPE = "opsgate"


def networks(given: object) -> list[str]:
    """Networks as a list, or one text with commas; `ValueError` for what is none."""
    parts = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else [given]
    return [str(ipaddress.ip_network(str(part).strip())) for part in parts if str(part).strip()]


class EngineSettings(FileSettings):
    """`OPSGATE_*` in the environment, or the same names in `opsgate.toml`."""

    database_url: str
    prefect_api_url: str
    prefect_auth_file: Path | None = None
    """A file with Prefect's auth string; never the string itself in an environment."""
    sealing_key_file: Path | None = None
    """The keys that seal secret values at rest; the same file as the web process has."""
    audit_key_file: Path | None = None
    """The key that signs checkpoints of the audit chain; None: it is chained and not signed."""
    public_url: str = ""
    """Where people reach our pages; linked from Prefect."""
    notice_networks: Annotated[list[str], NoDecode, BeforeValidator(networks)] = Field(default=[])
    """Networks and addresses that notices may go to though they are not public, by commas: of a mail relay
    on this machine, say, or of a chat server in the house."""
    worker_limit: int = Field(default=200, ge=0)
    """Flow runs one worker process runs at once. 0: it only keeps, other workers run."""
    engine_steps: bool = False
    """Whether workflows may run steps on this worker's own host (`@engine`), with its user's rights."""
    hot_seconds: float = Field(default=30.0, ge=0)
    """How long a step waits for its jobs in memory before the flow run suspends (design section 4)."""

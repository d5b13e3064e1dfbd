"""What a job asks a host to do: one strict model per job type.

Pure models, shared with the server: it builds and validates payloads by them, the agent
refuses a payload that does not validate. Values of users travel only in `environment`,
as data, never spliced into `content` or `command`; secret ones not in a payload at all.
Must not import anything but pydantic and the standard library.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_VALUE_BYTES = 64 * 1024
"""Largest single value handed to a job (design section 7)."""

EnvironmentName = Annotated[str, Field(pattern=r"^(PARAM_[A-Z0-9_]+|OPSGATE_V[0-9]+)$")]
"""Names are ours: a caller can't set PATH, LD_PRELOAD or BASH_ENV."""


SecretName = Annotated[str, Field(pattern=r"^PARAM_[A-Z0-9_]+_FILE$")]
"""The variable that says in which file a job reads a secret value."""

MAX_SECRETS = 64
"""Most secret values of one job: each is a descriptor."""


class Payload(BaseModel):
    """What every payload has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: int = Field(default=300, ge=1, le=7 * 24 * 3600)
    requires_elevation: bool = False


class ScriptPayload(Payload):
    """Run a script's text with an interpreter; parameters arrive as `PARAM_<NAME>`."""

    type: Literal["script"] = "script"
    language: Literal["bash", "python", "powershell"]
    content: str
    environment: dict[EnvironmentName, str] = Field(default_factory=dict)
    secrets: tuple[SecretName, ...] = Field(default=(), max_length=MAX_SECRETS)
    """Names only: the values travel sealed, in `JobMessage.sealed`."""


class CommandPayload(Payload):
    """Run one command line; values arrive as `OPSGATE_V<n>` and are referred to by the text."""

    type: Literal["command"] = "command"
    command: str
    shell: Literal["bash", "powershell"] | None = None
    """None: by the host's operating system (POSIX bash, Windows PowerShell)."""
    environment: dict[EnvironmentName, str] = Field(default_factory=dict)


JobPayload = Annotated[ScriptPayload | CommandPayload, Field(discriminator="type")]
"""The closed union of payloads; a further job type is one more member."""

"""What a job asks a host to do: one strict model per job type.

Pure models, shared with the server: it builds and validates payloads by them, the agent
refuses a payload that does not validate. Values of users travel only in `environment`, as data,
never spliced into `content` or `command`; secret ones not in a payload at all. The other types hold
names, each of a form that can be neither an option nor shell text.
Must not import anything but pydantic and the standard library.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

MAX_VALUE_BYTES = 64 * 1024
"""Largest single value handed to a job (design section 7)."""

OWN_WORDS = "own_words"
"""The kind of an error whose message is a sentence of ours; its context holds a `fix`."""

EnvironmentName = Annotated[str, Field(pattern=r"^(PARAM_[A-Z0-9_]+|OPSGATE_V[0-9]+)$")]
"""Names are ours: a caller can't set PATH, LD_PRELOAD or BASH_ENV."""


SecretName = Annotated[str, Field(pattern=r"^PARAM_[A-Z0-9_]+_FILE$")]
"""The variable that says in which file a job reads a secret value."""

MAX_SECRETS = 64
"""Most secret values of one job: each is a descriptor."""


def _secrets(most: int) -> Any:
    """A field of secrets' names. When there are none it is not written: an agent of before the field refuses
    what it does not know, and for a job without secrets it need not know it."""
    return Field(default_factory=list, max_length=most, exclude_if=lambda names: not names)


def _wrong(message: str, fix: str) -> PydanticCustomError:
    return PydanticCustomError(OWN_WORDS, "{message}", {"message": message, "fix": fix})


def _of_form(pattern: str, message: str, fix: str) -> AfterValidator:
    """A text that matches as a whole. The refusal shows nothing of it."""
    whole = re.compile(pattern)

    def check(text: str) -> str:
        if whole.fullmatch(text) is None:
            raise _wrong(message, fix)
        return text

    return AfterValidator(check)


_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


def _check_host(text: str) -> str:
    if len(text) <= 253 and _HOST_NAME.fullmatch(text):
        return text
    try:
        if "%" not in text:
            return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    raise _wrong(
        "This is neither the name nor the address of a host.", "Write for example `web-1` or `192.0.2.7`."
    )


HostName = Annotated[str, AfterValidator(_check_host)]
"""A host by its name or its IPv4 or IPv6 address."""

ServiceName = Annotated[
    str,
    _of_form(
        r"[A-Za-z0-9_][A-Za-z0-9_.@:+-]{0,127}",
        "A service's name has letters, digits, `_ . @ : + -`, and does not begin with a sign.",
        "Write the name as the host knows it, for example `cron`.",
    ),
]
ProcessName = Annotated[
    str,
    _of_form(
        r"[A-Za-z0-9_][A-Za-z0-9_.@:+-]{0,63}",
        "A process's name has letters, digits, `_ . @ : + -`, and does not begin with a sign.",
        "Write the program's name without its folder, for example `nginx`.",
    ),
]
PackageName = Annotated[
    str,
    Field(max_length=200),
    # Not ending in + or -: apt-get would read that as 'install it' and 'remove it'.
    _of_form(
        r"[A-Za-z0-9](?:[A-Za-z0-9+._:-]*[A-Za-z0-9])?(?:\+\+|=[A-Za-z0-9](?:[A-Za-z0-9+._:~-]*[A-Za-z0-9])?)?",
        "A package is a name, with `=VERSION` behind it if it must be that one.",
        "Write for example `curl` or `curl=7.88.1-10`.",
    ),
]
AccountName = Annotated[
    str,
    _of_form(
        r"[A-Za-z_][A-Za-z0-9_.-]{0,31}",
        "A name of a user or group has letters, digits, `_ . -`, begins with a letter or `_`, "
        "and is at most 32 long.",
        "Write the name as the host knows it, for example `deploy`.",
    ),
]
ShellPath = Annotated[
    str,
    Field(max_length=200),
    _of_form(
        r"(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)+",
        "This is not the whole path of a program.",
        "Write for example `/bin/bash`.",
    ),
]


class Payload(BaseModel):
    """What every payload has."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    timeout_seconds: int = Field(default=300, ge=1, le=7 * 24 * 3600)
    requires_elevation: bool = False


class TextPayload(Payload):
    """What runs a text of the user's has besides."""

    model_config = ConfigDict(strict=False)  # as it has always been read

    environment: dict[EnvironmentName, str] = Field(default_factory=dict)
    run_as: AccountName | None = None
    """A user of the host (POSIX) whose rights, groups and home the processes have."""

    @field_validator("run_as")
    @classmethod
    def _one_right(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and info.data.get("requires_elevation"):
            raise _wrong(
                "A job has the rights of one user: `run_as` and `requires_elevation` exclude each other.",
                "Leave out one of them; root is `requires_elevation`.",
            )
        return name


class ScriptPayload(TextPayload):
    """Run a script's text with an interpreter; parameters arrive as `PARAM_<NAME>`."""

    type: Literal["script"] = "script"
    language: Literal["bash", "python", "powershell"]
    content: str
    secrets: list[SecretName] = _secrets(MAX_SECRETS)
    """Names only: the values travel sealed, in `JobMessage.sealed`."""


class CommandPayload(TextPayload):
    """Run one command line; values arrive as `OPSGATE_V<n>` and are referred to by the text."""

    type: Literal["command"] = "command"
    command: str
    shell: Literal["bash", "powershell"] | None = None
    """None: by the host's operating system (POSIX bash, Windows PowerShell)."""


class ByAction(Payload):
    """A payload whose other fields depend on its `action`, which is declared before them."""

    model_config = ConfigDict(validate_default=True)

    takes: ClassVar[Mapping[str, str]]
    """Of each action the fields that it needs, and with a `?` those that it may have."""

    @field_validator("*")
    @classmethod
    def _fits_the_action(cls, value: Any, info: ValidationInfo) -> Any:
        name, action = info.field_name, info.data.get("action")
        if action is None or not any(name in words.replace("?", "").split() for words in cls.takes.values()):
            return value
        words = cls.takes[action].split()
        if not value and name in words:
            raise _wrong(f"`{name}` is missing: the action `{action}` needs it.", f"Add `{name}`.")
        if value and name not in words and f"{name}?" not in words:
            known = ", ".join(f"`{word.rstrip('?')}`" for word in words) or "nothing else"
            raise _wrong(f"The action `{action}` has no `{name}`.", f"Leave it out: it takes {known}.")
        return value


class ServiceControlPayload(Payload):
    """Start, stop, restart, enable, disable a service of the host, or tell how it is."""

    type: Literal["service_control"] = "service_control"
    action: Literal["start", "stop", "restart", "enable", "disable", "status"]
    service: ServiceName


class ProcessControlPayload(Payload):
    """End processes: `kill` asks them to, `force_kill` does not ask. By pid, or all of a name."""

    model_config = ConfigDict(validate_default=True)

    type: Literal["process_control"] = "process_control"
    action: Literal["kill", "force_kill"]
    pid: Annotated[int, Field(ge=2, le=2**22)] | None = None
    name: ProcessName | None = None

    @field_validator("name")
    @classmethod
    def _one_of_both(cls, name: str | None, info: ValidationInfo) -> str | None:
        if "pid" in info.data and (info.data["pid"] is None) == (name is None):
            raise _wrong("A process is named by `pid` or by `name`, one of them.", "Write one of them.")
        return name


class NetworkDiagnosticPayload(ByAction):
    """Look at the network from the host."""

    takes = {
        "ping": "host count?",
        "traceroute": "host",
        "nslookup": "host record_type? server?",
        "dig": "host record_type? server?",
        "netstat": "",
        "port_check": "host port",
    }

    type: Literal["network_diagnostic"] = "network_diagnostic"
    action: Literal["ping", "traceroute", "nslookup", "dig", "netstat", "port_check"]
    host: HostName | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    count: Annotated[int, Field(ge=1, le=100)] | None = None
    record_type: Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"] | None = None
    server: HostName | None = None
    """The name server to ask; None: the host's own."""


class SoftwareInstallPayload(ByAction):
    """Install, remove or upgrade packages; an upgrade without packages patches the whole host."""

    takes = {"install": "packages no_refresh?", "remove": "packages", "upgrade": "packages? no_refresh?"}

    type: Literal["software_install"] = "software_install"
    action: Literal["install", "remove", "upgrade"]
    packages: Annotated[list[PackageName], Field(max_length=100)] = Field(default_factory=list)
    no_refresh: bool = False
    """Go by the lists of packages that the host has, instead of fetching them anew."""
    timeout_seconds: int = Field(default=1800, ge=1, le=7 * 24 * 3600)


class UserControlPayload(ByAction):
    """Create, delete, enable, disable a local user, or replace the password.

    No password is ever written here: a new one is made up on the host, or comes sealed.
    """

    takes = {
        "create": "user shell? groups? no_home? system?",
        "delete": "user remove_home?",
        "enable": "user",
        "disable": "user",
        "reset_password": "user secrets?",
    }

    type: Literal["user_control"] = "user_control"
    action: Literal["create", "delete", "enable", "disable", "reset_password"]
    user: AccountName | None = None
    shell: ShellPath | None = None
    groups: Annotated[list[AccountName], Field(max_length=100)] = Field(default_factory=list)
    no_home: bool = False
    system: bool = False
    remove_home: bool = False
    secrets: list[Literal["PARAM_PASSWORD_FILE"]] = _secrets(1)
    """The name of the password, when it travels sealed, in `JobMessage.sealed`."""


class GroupControlPayload(ByAction):
    """Create or delete a local group, or change who is in it."""

    takes = {
        "create": "group",
        "delete": "group",
        "add_members": "group members",
        "remove_members": "group members",
    }

    type: Literal["group_control"] = "group_control"
    action: Literal["create", "delete", "add_members", "remove_members"]
    group: AccountName | None = None
    members: Annotated[list[AccountName], Field(max_length=100)] = Field(default_factory=list)


JobPayload = Annotated[
    ScriptPayload
    | CommandPayload
    | ServiceControlPayload
    | ProcessControlPayload
    | NetworkDiagnosticPayload
    | SoftwareInstallPayload
    | UserControlPayload
    | GroupControlPayload,
    Field(discriminator="type"),
]
"""The closed union of payloads; a further job type is one more member."""

"""A privileged identity as people write it: whose credential it is, where in which vault, who may use it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from definitions.names import Name, check_kind, check_name
from definitions.problems import Problem, has_errors
from definitions.reading import kind_of, not_json, read
from definitions.references import RESERVED_ROOTS
from definitions.steps.approval import ApprovalType, Approver
from definitions.steps.step import Minutes

Source = Literal["kv_password", "kv_ssh_key", "database_static"]
CredentialType = Literal["password", "ssh_key", "database"]
CREDENTIAL_TYPES: dict[Source, CredentialType] = {
    "kv_password": "password",
    "kv_ssh_key": "ssh_key",
    "database_static": "database",
}
"""What a source gives."""

FIELDS: dict[Source, str] = {
    "kv_password": "password",
    "kv_ssh_key": "private_key",
    "database_static": "password",
}
"""Under which name the secret stands there, unless the identity says another."""

_WHEREABOUTS = ("source", "vault", "path", "mount", "field", "username", "domain", "host")
"""What says whose credential it is, and where it lies."""

_IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
Flag = Annotated[bool, Field(strict=True)]
Rotator = Literal["vault", "host"]


class IdentityApproval(BaseModel):
    """Whose yes it takes to use the identity: the same as of an approval step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    approval_type: ApprovalType = "one_of_many"
    approvers: tuple[Approver, ...] = Field(min_length=1, max_length=500)
    timeout_minutes: Minutes = 60
    allow_self: Flag = False
    """Whether the person it is checked out for may vote, and who started the instance that asks."""


class Identity(BaseModel):
    """What an identity file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=_IDENTIFIER)]
    """Also a variable of workflows: `{{db_admin.username}}`."""
    vault: Name
    source: Source
    path: Annotated[str, Field(min_length=1, max_length=500)]
    """With the mount: `secret/web/deploy`, `database/app`."""
    mount: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The beginning of `path` that is the mount; None: its first part."""
    field: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    username: Annotated[str, Field(min_length=1, max_length=256)]
    domain: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    host: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Where the account lives, if it is one of a host."""
    requires_approval: Flag = False
    approval: IdentityApproval | None = None
    rotate_after_use: Flag = False
    max_checkout_minutes: Annotated[int, Field(strict=True, ge=1, le=43_200)] = 60
    exclusive: Flag = False
    used_by: tuple[Approver, ...] = Field(default=(), max_length=500)
    """Who may use it, as approvers are named; empty: whoever may start workflows."""

    @property
    def credential_type(self) -> CredentialType:
        """What it is a credential of."""
        return CREDENTIAL_TYPES[self.source]

    @property
    def place(self) -> tuple[str, str]:
        """The mount, and the path within it."""
        mount = self.mount if self.mount is not None else self.path.partition("/")[0]
        return mount, self.path[len(mount) + 1 :]

    @property
    def rotated_by(self) -> Rotator | None:
        """Who gives it a new credential: its vault alone, or its host, whose account has the password."""
        if self.why_not_rotated is not None:
            return None
        return "vault" if self.source == "database_static" else "host"

    @property
    def why_not_rotated(self) -> str | None:
        """None if Opsgate can have its credential replaced, else why it can't."""
        problem = _against_rotation(self)
        return None if problem is None else problem.message

    def moved_from(self, before: "Identity") -> list[str]:
        """The fields in which it names another account, or another place of its credential."""
        return [name for name in _WHEREABOUTS if getattr(self, name) != getattr(before, name)]

    def document(self) -> dict[str, object]:
        """The canonical document: `parse_identity` gives this identity back for it."""
        return {"kind": "identity", **self.model_dump(mode="json")}


def parse_identity(document: object) -> tuple[Identity | None, list[Problem]]:
    """The identity, if the document has the right shape, and everything found on the way."""
    odd = not_json(document)
    if odd or not isinstance(document, dict):
        message = f"An identity is an object with named fields, not {kind_of(document)}."
        fix = "Write `name`, `vault`, `source`, `path` and `username`."
        return None, odd or [_problem("", "wrong-type", message, fix)]
    rest = {key: value for key, value in document.items() if value is not None and key != "kind"}
    problems = [*check_kind(document, "identity"), *check_name(document)]
    approval, of_approval = rest.pop("approval", None), []
    if approval is not None:
        of_approval = read(IdentityApproval, approval, "/approval", "rule of approval")[1]
        rest["approval"] = {"approvers": ["role:admin"]} if of_approval else approval
    made, found = read(Identity, rest, "", "identity")
    problems += [*found, *of_approval]
    if made is not None:
        problems += _check(made)
    return (None if has_errors(problems) else made), problems


def _check(identity: Identity) -> list[Problem]:
    """What the parts of an identity have against each other."""
    problems: list[Problem] = []

    def wrong(pointer: str, code: str, message: str, fix: str) -> None:
        problems.append(_problem(pointer, code, message, fix))

    if identity.name in RESERVED_ROOTS or identity.name.startswith("step_"):
        message = f"`{identity.name}` is a variable of every workflow."
        wrong("/name", "reserved-name", message, "Choose another name.")
    mount, path = identity.place
    parts = identity.path.split("/")
    if not identity.path.isprintable() or not path or any(part in ("", ".", "..") for part in parts):
        message = "A path has the mount and what is in it: `secret/web/deploy`."
        wrong("/path", "bad-form", message, "Write it so, without a slash at its ends.")
    elif identity.mount is not None and not identity.path.startswith(f"{mount}/"):
        wrong(
            "/mount", "bad-form", "`path` does not begin with the mount.", "Write the mount first in `path`."
        )
    for name in ("username", "domain"):
        value = getattr(identity, name)
        if value is not None and (not value.isprintable() or value.startswith("-") or value != value.strip()):
            message = f"`{name}` is no name of an account."
            wrong(f"/{name}", "bad-form", message, "Leave out blanks at its ends and control characters.")
    if identity.requires_approval and identity.approval is None:
        message = "It requires an approval, and nobody is named who gives it."
        wrong("/approval", "missing-field", message, "Add `approval` with `approvers`.")
    against = _against_rotation(identity)
    if identity.rotate_after_use and against is not None:
        problems.append(against)
    return problems


def _against_rotation(identity: Identity) -> Problem | None:
    """Why Opsgate can't have its credential replaced. An agent sets passwords of its host's own accounts."""
    place, code = "/rotate_after_use", "not-possible"
    if identity.source == "database_static":
        return None
    if identity.source == "kv_ssh_key":
        message = "A key is replaced where it is accepted, which Opsgate does not do: it can't be rotated."
        return _problem(place, code, message, "Leave it out.")
    if identity.domain is not None:
        message = "The password of an account of a domain is set in the domain, which Opsgate does not do."
        return _problem(place, code, message, "Leave it out; or `domain`, if the account is the host's own.")
    if identity.host is None:
        message = "The password of an account is set on its host, and none is named."
        return _problem("/host", "missing-field", message, "Add `host`.")
    if identity.username == "root":
        message = "An agent does not set the password of root: its host could be out of reach then."
        return _problem(place, code, message, "Leave it out, or name an account that may become root.")
    return None


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)

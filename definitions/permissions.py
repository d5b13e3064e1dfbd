"""Who may do what: the permissions of the manual, and the one rule that applies them.

`may` answers with the reason why not; `require` raises it. Every use-case of the store calls
`require` with an action named here, every route of the API and the pages declares one.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from definitions.errors import NotPermitted

PERMISSIONS: dict[str, str] = {
    "jobs.view": "View jobs and job details",
    "jobs.manage": "Create, cancel, retry, delete jobs",
    "scripts.view": "View scripts, libraries, and execution history",
    "scripts.manage": "Create/update/delete scripts, execute scripts, manage libraries",
    "workflows.view": "View workflow definitions, instances, and approvals",
    "workflows.manage": "Create/update/delete workflows, start instances, respond to approvals",
    "pam_vaults.view": "View vaults, identities, and checkouts",
    "pam_vaults.manage": "Manage vaults and identities, rotate credentials, end checkouts",
    "hosts.view": "View hosts, their agents and groups",
    "hosts.manage": "Tag and decommission hosts, make organisation secrets",
    "users.manage": "Manage users, roles, and other people's tokens",
    "audit.view": "Read the audit trail",
}
"""Each permission and what it grants. The first eight are the manual's."""

ROLES: dict[str, frozenset[str]] = {
    "admin": frozenset(PERMISSIONS),
    "operator": frozenset(
        {
            "jobs.view",
            "jobs.manage",
            "scripts.view",
            "scripts.manage",
            "workflows.view",
            "workflows.manage",
            "hosts.view",
        }
    ),
    "approver": frozenset({"jobs.view", "scripts.view", "workflows.view", "workflows.manage", "hosts.view"}),
    "viewer": frozenset({"jobs.view", "scripts.view", "workflows.view", "hosts.view"}),
}
"""The roles every installation starts with."""


@dataclass(frozen=True)
class Actor:
    """Who acts: a person, an agent on a host, or Opsgate itself."""

    kind: Literal["user", "agent", "system"]
    id: int | None
    name: str
    permissions: frozenset[str] = field(default_factory=frozenset)
    host_id: int | None = None
    """With `agent`: the only host it may speak for."""
    until: datetime | None = field(default=None, compare=False)
    """When what they were recognised by ends, if it was a token that does: what they make by it to be
    recognised by must not outlive it."""

    @property
    def person(self) -> int | None:
        """The id of the person, or None when none acts: what rows keep of who made them."""
        return self.id if self.kind == "user" else None


SYSTEM = Actor("system", None, "opsgate", frozenset(PERMISSIONS))
"""Opsgate itself: deadlines, the engine, the first set-up."""


def may(actor: Actor, permission: str) -> str | None:
    """None if the actor may; otherwise one sentence that says why not."""
    if permission not in PERMISSIONS:
        raise ValueError(f"unknown permission {permission!r}")
    if permission in actor.permissions:
        return None
    return f"{actor.name} lacks the permission {permission} ({PERMISSIONS[permission].lower()})."


def require(actor: Actor, permission: str) -> None:
    """Raise `NotPermitted` with the reason unless the actor may."""
    refusal = may(actor, permission)
    if refusal is not None:
        raise NotPermitted(refusal)

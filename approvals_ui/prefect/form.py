"""The resume form that people fill in: made here from the store, and read back. Pure.

Prefect keeps a form of its own beside the suspended run. People are not shown that one: whoever has the
key of Prefect's API could change it, and have somebody approve what they did not read. Each request is
named with the beginning of its digest, so that an answer to what was asked before is never counted for
what is asked now.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from approvals_ui.frozen import host_names, host_notes
from approvals_ui.in_words import moment
from definitions.errors import Invalid
from definitions.harmless import markdown, visible
from definitions.step_words import APPROVAL_TYPES
from store.approval_runs import Asked
from store.approval_views import ApprovalView, Decision

MAX_COMMENT = 2000
_TITLE = 80
_DECISIONS: dict[object, Decision] = {"approve": "approve", "reject": "reject"}


class Reply(NamedTuple):
    """A filled-in form."""

    request: ApprovalView
    decision: Decision
    comment: str


def name_of(view: ApprovalView) -> str:
    """How the form names a request: its title, its number, the beginning of its digest."""
    title = " ".join(visible(view.title).split())
    shown = title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
    return f"{shown} (approval {view.id}, {view.digest[:12]})"


def schema(pending: Sequence[ApprovalView]) -> bytes:
    """The form's fields, as JSON schema. Nothing is filled in but the request, when there is only one."""
    names = [name_of(view) for view in pending]
    request: dict[str, Any] = {
        "type": "string",
        "title": "Request",
        "description": "What you decide on",
        "enum": names,
        "position": 0,
    }
    if len(names) == 1:
        request["default"] = names[0]
    decision = {
        "type": "string",
        "title": "Decision",
        "description": "Your decision; it is final",
        "enum": list(_DECISIONS),
        "position": 1,
    }
    comment = {
        "type": "string",
        "title": "Comment",
        "description": "Why; may be left out",
        "maxLength": MAX_COMMENT,
        "position": 2,
    }
    return json.dumps(
        {
            "title": "Decide",
            "type": "object",
            "properties": {"request": request, "decision": decision, "comment": comment},
            "required": ["request", "decision"],
        }
    ).encode()


def description(pending: Sequence[ApprovalView], site: str) -> bytes:
    """What is asked, of whom, until when, and whether this person is: Markdown, as a JSON string."""
    parts = [part for view in pending for part in _asked(view, site) if part]
    return json.dumps("\n\n".join(parts)).encode()


def _asked(view: ApprovalView, site: str) -> list[str]:
    until = moment(view.deadline) if view.deadline is not None else "no deadline"
    hosts = ", ".join(markdown(name) for name in host_names(view)) or "none"
    notes = "".join(f" ({markdown(note)})" for note in host_notes(view))
    kind = APPROVAL_TYPES.get(view.approval_type, view.approval_type)
    set_going = ", ".join(f"{hand.did} by {markdown(hand.name)}" for hand in view.set_going)
    return [
        f"**{markdown(view.title)}**",
        markdown(view.description),
        f"Workflow {markdown(view.workflow_name)}, instance {view.instance_id}, {set_going}. "
        f"Hosts: {hosts}{notes}.",
        f"Until: {until}. Decides: {kind}. {markdown(view.sentence)}",
        f"**{markdown(view.why_not)}**" if view.why_not is not None else "",
        f"Everything that will run: [approval {view.id} in Opsgate]({site}/approvals/{view.id})",
    ]


def read(body: bytes, asked: Asked) -> Reply:
    """The reply that Prefect's dialog sends; `Invalid` with one sentence for the person in front of it."""
    try:
        given = json.loads(body).get("run_input")
    except (ValueError, AttributeError, RecursionError):
        given = None
    fields = given if isinstance(given, dict) else {}
    decision = _DECISIONS.get(fields.get("decision")) if isinstance(fields.get("decision"), str) else None
    if decision is None:
        raise Invalid("Choose approve or reject.")
    comment = fields.get("comment") or ""
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT:
        raise Invalid(f"A comment is text of at most {MAX_COMMENT} characters.")
    named = fields.get("request")
    request = next((view for view in asked.requests if name_of(view) == named), None)
    if request is None:
        raise Invalid(
            "Choose what you decide on."
            if named is None
            else "What is asked has changed since you opened this form. Close it, open it again, and look."
        )
    return Reply(request, decision, comment)

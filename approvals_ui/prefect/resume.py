"""A resume in Prefect's dashboards is the signed-in person's vote, by the same use-case as everywhere.

Prefect's dialog shows the reason of a REJECT and stays open, and closes on an ACCEPT: so whatever did not
decide is answered as a REJECT, also a vote that counts. The resume itself only follows a decision, and
is a hint: the keeper wakes the instance without it.
"""

import json
from uuid import UUID

import httpx2
import structlog
from starlette.responses import Response

from approvals_ui.prefect import form
from approvals_ui.prefect.upstream import Upstream
from definitions.errors import OpsgateError, Unavailable
from definitions.lifecycles.approval import ApprovalStatus
from definitions.permissions import Actor
from store import approval_runs, approvals
from store.connection import Database

_log = structlog.get_logger("opsgate.prefect")
PATIENCE_SECONDS = 5.0
"""How long the person waits for Prefect: the vote stands, and the instance goes on, whatever it says."""
_DECIDED = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)


async def vote(db: Database, actor: Actor, upstream: Upstream, run: UUID, body: bytes) -> Response:
    """Count the filled-in form as a vote, and resume the run if that decided."""
    asked = await approval_runs.of_flow_run(db, actor, run)
    if asked is None:
        return rejected("This run is no instance of Opsgate's, so there is nothing to decide here.")
    if not asked.requests:
        return rejected("Nothing waits for a decision here: it goes on by itself when its work is done.")
    try:
        reply = form.read(body, asked)
        view = reply.request
        counted = await approvals.vote(
            db, actor, view.id, reply.decision, reply.comment, view.digest, via="prefect"
        )
    except OpsgateError as refused:
        return rejected(refused.message)
    if counted.status not in _DECIDED:
        return rejected(counted.sentence)
    return await _resume(upstream, run, reply)


async def _resume(upstream: Upstream, run: UUID, reply: form.Reply) -> Response:
    """Resume the run. What the person wrote stays here: nothing of the user's goes into Prefect."""
    said = f"Decided in Opsgate: approval {reply.request.id}."
    body = json.dumps({"run_input": {"decision": reply.decision, "comment": said}}).encode()
    url = httpx2.URL(f"{upstream.api}/flow_runs/{run}/resume")
    try:
        headers = {"Content-Type": "application/json"}
        answer = await upstream.ask(
            "POST", url, body=body, headers=headers, again=False, patience=PATIENCE_SECONDS
        )
        taken = answer.status == 201
    except Unavailable as error:
        taken = False
        _log.info("a resume was not taken", flow_run=str(run), reason=error.message)
    return Response(answer.body, 201, media_type="application/json") if taken else _accepted()


def rejected(reason: str) -> Response:
    """Prefect's shape for a resume that did not happen, whose reason its dialog shows."""
    return _orchestration("REJECT", {"type": "reject_details", "reason": reason}, 200)


def _accepted() -> Response:
    """Prefect's shape for a resume that happened: the gate is decided, and the keeper wakes the run."""
    return _orchestration("ACCEPT", {"type": "accept_details"}, 201)


def _orchestration(status: str, details: dict[str, str], code: int) -> Response:
    body = json.dumps({"state": None, "status": status, "details": details})
    return Response(body, code, media_type="application/json")

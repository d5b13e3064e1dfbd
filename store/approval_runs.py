"""The approval requests behind a flow run: what a person is asked who looks at it in Prefect.

Decides nothing: that is `store.votes`.
"""

from dataclasses import dataclass
from uuid import UUID

from definitions.lifecycles.approval import ApprovalStatus
from definitions.permissions import Actor, require
from store import approval_views
from store.approval_views import ApprovalView
from store.connection import Database


@dataclass(frozen=True)
class Asked:
    """An instance, and every request it ever had, the oldest first, as one person sees them."""

    instance_id: int
    requests: list[ApprovalView]

    @property
    def pending(self) -> list[ApprovalView]:
        """Those that wait for a decision."""
        return [request for request in self.requests if request.status == ApprovalStatus.PENDING]


async def of_flow_run(db: Database, actor: Actor, flow_run_id: UUID) -> Asked | None:
    """The requests of the instance that runs as this flow run; None if no instance of ours does."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        instance_id = await tx.fetchval("SELECT id FROM instances WHERE flow_run_id = $1", flow_run_id)
        if instance_id is None:
            return None
        found = await approval_views.select(tx, actor, "WHERE r.instance_id = $1 ORDER BY r.id", instance_id)
    return Asked(instance_id, found)

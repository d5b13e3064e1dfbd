"""`/api/v1/checkouts`: who holds which identity, and ending that."""

from typing import Annotated

from fastapi import Query

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Id, Paging, SomeId
from definitions.lifecycles.checkout import CheckoutStatus
from store import checkout_lists, checkouts
from store.checkout_lists import CheckoutDetail, CheckoutView
from store.pages import Page

router = GuardedRouter(prefix="/api/v1/checkouts", tags=["credentials"])


@router.get("", permission="pam_vaults.view")
async def listing(
    db: Db,
    actor: Person,
    window: Paging,
    status: Annotated[list[CheckoutStatus] | None, Query()] = None,
    identity: Annotated[str | None, Query(max_length=200)] = None,
    instance: SomeId = None,
) -> Page[CheckoutView]:
    """Checkouts, newest first."""
    return await checkout_lists.listing(
        db, actor, status=status or (), identity=identity, instance=instance, **vars(window)
    )


@router.get("/{checkout_id}", permission="pam_vaults.view")
async def show(db: Db, actor: Person, checkout_id: Id) -> CheckoutDetail:
    """One checkout, with what the audit trail says of it."""
    return await checkout_lists.show(db, actor, checkout_id)


@router.post("/{checkout_id}/checkin", permission="pam_vaults.manage")
async def check_in(db: Db, actor: Person, checkout_id: Id) -> CheckoutDetail:
    """End it, whatever its workflow does."""
    await checkouts.end_by_hand(db, actor, checkout_id)
    return await checkout_lists.show(db, actor, checkout_id)

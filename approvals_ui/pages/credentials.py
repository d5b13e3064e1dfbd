"""`/credentials`: who holds which identity, the identities, and the vaults they lie in. Shows no credential.

What is saved of them is `opsgate apply`'s; here a checkout is ended, an identity rotated, a vault tried out.
"""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import RedirectResponse, Response

from agent_api.authentication import Db, Person
from agent_api.ids import Id
from agent_api.problem_responses import status_of
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.errors import OpsgateError
from definitions.lifecycles.checkout import ENDED, STATES, CheckoutStatus
from definitions.permissions import Actor, may
from store import checkout_lists, checkouts, vaults
from store.connection import Database
from store.identities import IDENTITIES
from store.vaults import VAULTS
from tasks import rotation, vault_tests
from tasks.rotation import Rotated
from tasks.vault_tests import VaultTest

router = pages_router()
OPEN = tuple(status for status in CheckoutStatus if status not in ENDED)
Text = Annotated[str, Query(max_length=200)]


@router.get("/credentials", permission="pam_vaults.view")
async def show_checkouts(
    request: Request, db: Db, actor: Person, status: Text = "", identity: Text = "", after: str | None = None
) -> Response:
    """Checkouts, the newest first; by status and identity."""
    wanted = [CheckoutStatus(status)] if status in list(CheckoutStatus) else []
    name = identity.strip()
    found = await checkout_lists.listing(db, actor, status=wanted, identity=name or None, after=after or None)
    asked = {"status": status if wanted else "", "identity": name}
    statuses = [str(each) for each in CheckoutStatus]
    return page(request, "checkouts.html", found=found, asked=asked, statuses=statuses)


@router.get("/credentials/checkouts/{checkout_id}", permission="pam_vaults.view")
async def show_checkout(request: Request, db: Db, actor: Person, checkout_id: Id) -> Response:
    """One, with its trail."""
    return await _checkout(request, db, actor, checkout_id)


@router.post("/credentials/checkouts/{checkout_id}/checkin", permission="pam_vaults.manage")
async def check_in(request: Request, db: Db, actor: Person, checkout_id: Id) -> Response:
    """End it, whatever its workflow does."""
    try:
        await checkouts.end_by_hand(db, actor, checkout_id)
    except OpsgateError as refused:
        return await _checkout(request, db, actor, checkout_id, refused)
    return RedirectResponse(f"/credentials/checkouts/{checkout_id}", 303)


@router.get("/credentials/identities", permission="pam_vaults.view")
async def show_identities(request: Request, db: Db, actor: Person, after: str | None = None) -> Response:
    """Identities, the newest first, with who holds each."""
    found = await IDENTITIES.listing(db, actor, after=after or None)
    holders = await checkout_lists.holders(db, actor, [row.name for row in found.items])
    return page(request, "identities.html", found=found, holders=holders)


@router.get("/credentials/identities/{ref}", permission="pam_vaults.view")
async def show_identity(request: Request, db: Db, actor: Person, ref: str) -> Response:
    """One, with its versions and open checkouts."""
    return await _identity(request, db, actor, ref)


@router.post("/credentials/identities/{ref}/rotate", permission="pam_vaults.manage")
async def rotate(request: Request, db: Db, actor: Person, ref: str) -> Response:
    """Have its credential replaced, and say what came of it."""
    try:
        return await _identity(request, db, actor, ref, done=await rotation.rotate(db, actor, ref))
    except OpsgateError as refused:
        return await _identity(request, db, actor, ref, refused=refused)


@router.get("/credentials/vaults", permission="pam_vaults.view")
async def show_vaults(request: Request, db: Db, actor: Person, after: str | None = None) -> Response:
    """Vaults, the newest first."""
    return page(request, "vaults.html", found=await VAULTS.listing(db, actor, after=after or None))


@router.get("/credentials/vaults/{ref}", permission="pam_vaults.view")
async def show_vault(request: Request, db: Db, actor: Person, ref: str) -> Response:
    """One, with its versions and what lies in it."""
    return await _vault(request, db, actor, ref)


@router.post("/credentials/vaults/{ref}/test", permission="pam_vaults.manage")
async def try_out(request: Request, db: Db, actor: Person, ref: str) -> Response:
    """Sign in to it, and say what came of that."""
    return await _vault(request, db, actor, ref, tried=await vault_tests.try_out(db, actor, ref))


async def _checkout(
    request: Request, db: Database, actor: Actor, checkout_id: int, refused: OpsgateError | None = None
) -> Response:
    view = await checkout_lists.show(db, actor, checkout_id)
    return page(
        request,
        "checkout.html",
        status_of(refused) if refused else 200,
        checkout=view,
        means=STATES[view.status],
        may_end=view.status in OPEN and may(actor, checkouts.MANAGE) is None,
        refused=refused,
    )


async def _identity(
    request: Request,
    db: Database,
    actor: Actor,
    ref: str,
    *,
    done: Rotated | None = None,
    refused: OpsgateError | None = None,
) -> Response:
    view = await IDENTITIES.show(db, actor, ref)
    return page(
        request,
        "identity.html",
        status_of(refused) if refused else 200,
        identity=view,
        versions=(await IDENTITIES.versions(db, actor, str(view.id))).items,
        open=await checkout_lists.listing(db, actor, status=OPEN, identity=str(view.id)),
        may_manage=may(actor, IDENTITIES.changes) is None,
        done=done,
        refused=refused,
    )


async def _vault(
    request: Request, db: Database, actor: Actor, ref: str, tried: VaultTest | None = None
) -> Response:
    view = await VAULTS.show(db, actor, ref)
    return page(
        request,
        "vault.html",
        vault=view,
        versions=(await VAULTS.versions(db, actor, str(view.id))).items,
        identities=await vaults.contents(db, actor, view.name),
        may_manage=may(actor, VAULTS.changes) is None,
        tried=tried,
    )

"""Holding an instance's lease for the length of a segment.

A lease lives as long as its worker's heartbeat. So one that could not be given back, because the
store was away at that moment, must not be forgotten: a healthy worker would keep the instance from
everybody, for ever. The heartbeat gives it back once the store answers (`flows.process.beat`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect.flow_runs import Pause  # type: ignore[attr-defined]  # Prefect re-exports it undeclared

from definitions.errors import NotFound
from flows.process import EngineProcess, log
from store.engine import leases
from store.engine.leases import Lease


@asynccontextmanager
async def held_lease(process: EngineProcess, instance_id: int) -> AsyncIterator[Lease]:
    """Take the lease, and give it back at the end of the block, whatever happens to the store."""
    if instance_id in process.engaged:
        raise leases.LeaseHeld(f"Instance {instance_id} is being run by this worker already.")
    process.engaged.add(instance_id)
    try:
        lease = await leases.take(process.db, instance_id, process.worker_id)
    except (leases.LeaseHeld, leases.AlreadyEnded, NotFound):
        process.engaged.discard(instance_id)
        raise
    except BaseException:
        process.unreleased.add(instance_id)  # the answer was lost; the lease may be ours
        raise
    went_well = False
    try:
        yield lease
        went_well = True
    except Pause:
        went_well = True
        raise
    finally:
        await _give_back(process, lease, went_well)


async def _give_back(process: EngineProcess, lease: Lease, went_well: bool) -> None:
    try:
        await leases.release(process.db, lease, went_well=went_well)
    except BaseException as error:
        process.unreleased.add(lease.instance_id)
        if not isinstance(error, Exception):
            raise
        log.warning("a lease is given back when the store answers", instance=lease.instance_id)
    else:
        process.engaged.discard(lease.instance_id)

"""Secret values in the store, always sealed: of jobs, instances' secret inputs, addresses of notices.

They are sealed in the transaction that makes the job, the instance or the channel, each for it alone: a
row copied elsewhere does not open. They are kept no longer than they can be used:

- a job's until it has completed or is cancelled. One that failed or timed out can be retried, so it
  keeps them for RETRY_DAYS at most, and, of a step, until its instance ends; then it can't be retried;
- an instance's until it ends. Running it again therefore takes its secret inputs anew;
- a channel's as long as the channel.
"""

from collections.abc import Mapping

from store.connection import Database, Row, Tx
from store.sealing import SealingKeys, required

RETRY_DAYS = 7
"""How long after its end a job that needs secret values can be retried."""

ERASE_OLD = f"""UPDATE jobs SET sealed_values = NULL
    WHERE sealed_values IS NOT NULL AND ended_at < now() - interval '{RETRY_DAYS} days'"""
"""For the keeper, once a day."""

ERASE_OF_INSTANCE = """erased AS (
    UPDATE jobs SET sealed_values = NULL WHERE instance_id = $1 AND sealed_values IS NOT NULL)"""
"""For the statement that ends instance $1: none of its jobs can be retried any more."""


async def keep_of_job(tx: Tx, keys: SealingKeys | None, job_id: int, values: Mapping[str, str]) -> None:
    """Seal a new job's values, by the variable of the script; raises `Unavailable` without a key."""
    sealed = required(keys).seal(("job", job_id), values)
    await tx.execute("UPDATE jobs SET sealed_values = $2 WHERE id = $1", job_id, sealed)


def of_job(keys: SealingKeys | None, job_id: int, sealed: bytes) -> dict[str, str]:
    """A job's values; raises `Unavailable`."""
    return required(keys).open(("job", job_id), sealed)


def are_erased(job: Row) -> bool:
    """Whether a job needs secret values that are not there any more."""
    return job["sealed_values"] is None and bool(job["payload"].get("secrets"))


async def keep_of_instance(
    tx: Tx, keys: SealingKeys | None, instance_id: int, values: Mapping[str, str]
) -> None:
    """Seal a new instance's secret inputs; raises `Unavailable` without a key."""
    sealed = required(keys).seal(("instance", instance_id), values)
    await tx.execute("UPDATE instances SET sealed_inputs = $2 WHERE id = $1", instance_id, sealed)


async def of_instance(db: Database, instance_id: int) -> dict[str, str]:
    """An instance's secret inputs that were given; raises `Unavailable`."""
    sealed = await db.fetchval("SELECT sealed_inputs FROM instances WHERE id = $1", instance_id)
    return {} if sealed is None else required(db.keys).open(("instance", instance_id), sealed)


async def keep_of_channel(tx: Tx, keys: SealingKeys | None, channel_id: int, url: str) -> None:
    """Seal a new channel's address; raises `Unavailable` without a key."""
    sealed = required(keys).seal(("notice channel", channel_id), {"url": url})
    await tx.execute("UPDATE notice_channels SET sealed_url = $2 WHERE id = $1", channel_id, sealed)


def of_channel(keys: SealingKeys | None, channel_id: int, sealed: bytes) -> str:
    """A channel's address; raises `Unavailable`."""
    return required(keys).open(("notice channel", channel_id), sealed)["url"]

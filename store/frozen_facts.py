"""What an approval request freezes of its instance, put together here and nowhere else: versions, inputs,
hosts, who started it, and the steps that a yes sets going.

Of secret inputs an instance has a mark only; it never changes its inputs.
"""

from definitions.parameters import Value
from definitions.resuming import Resumption
from store import approval_ahead
from store.connection import Tx


async def of_instance(
    tx: Tx, instance_id: int, step_id: str, resumption: Resumption | None = None
) -> dict[str, Value]:
    """The facts at a gate of the instance, as JSON; or as it goes on beside that, by `resumption`."""
    row = await tx.fetchrow(
        "SELECT i.*, w.name FROM instances i JOIN workflows w ON w.id = i.workflow_id WHERE i.id = $1",
        instance_id,
    )
    if row is None:
        raise RuntimeError(f"instance {instance_id} does not exist")
    pins = {int(key): version for key, version in row["pinned_scripts"].items()}
    scripts = await tx.fetch("SELECT id, name FROM scripts WHERE id = ANY ($1) ORDER BY name", list(pins))
    hosts = await tx.fetch(
        "SELECT name FROM hosts WHERE id = ANY ($1) ORDER BY array_position($1, id)", row["host_ids"]
    )
    return {
        "instance": instance_id,
        "workflow": {"id": row["workflow_id"], "name": row["name"], "version": row["workflow_version"]},
        "scripts": {script["name"]: pins[script["id"]] for script in scripts},
        "libraries": {name: pin["version"] for name, pin in sorted(row["pinned_libraries"].items())},
        "inputs": row["inputs"],
        "hosts": [host["name"] for host in hosts],
        "started_by": row["started_by_name"],
        "ahead": await approval_ahead.freeze(tx, row, step_id, resumption),
        **({} if resumption is None else {"goes_on": list[Value](resumption.again)}),
    }

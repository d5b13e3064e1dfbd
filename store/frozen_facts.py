"""What an approval request freezes of its instance: versions, inputs, hosts, who started it.

Secret inputs are shown as a marker; the instance itself never changes its inputs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from definitions.parameters import Value
from definitions.secret_values import MASK
from store.connection import Tx


def masked(parameters: Iterable[Mapping[str, Any]], inputs: Mapping[str, Value]) -> dict[str, Value]:
    """Inputs as they may be shown: secret ones, by the workflow's declarations, as a marker."""
    secret = {parameter["name"] for parameter in parameters if parameter.get("type") == "secret"}
    return {name: MASK if name in secret and value is not None else value for name, value in inputs.items()}


async def of_instance(tx: Tx, instance_id: int) -> dict[str, Value]:
    """The facts, as JSON."""
    row = await tx.fetchrow(
        """SELECT i.workflow_id, i.workflow_version, w.name, i.inputs, i.host_ids, i.pinned_scripts,
                  i.started_by_name, coalesce(v.definition -> 'inputs', '[]') AS parameters
           FROM instances i JOIN workflows w ON w.id = i.workflow_id
           JOIN workflow_versions v ON v.workflow_id = i.workflow_id AND v.version = i.workflow_version
           WHERE i.id = $1""",
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
        "inputs": masked(row["parameters"], row["inputs"]),
        "hosts": [host["name"] for host in hosts],
        "started_by": row["started_by_name"],
    }

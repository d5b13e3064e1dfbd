"""What a browser may ask of Prefect through us: a closed list of reads, and where else a write is done.
Three writes are not Prefect's here but ours: the resume form, a recurring job's switch, its Run button.

Pure. Whatever is not listed never reaches Prefect, so a route of a later version is refused until somebody
has looked at it. Left out on purpose: blocks and variables (they may hold secrets), the server's settings,
reads that note something (`get_scheduled_flow_runs`, `get_runs`) or call others (`collections`), and the
validation of forms (it resolves variables and Jinja in what it is sent; `resume` judges the form).
"""

import json
import re
from enum import StrEnum

_PARTS = {
    "id": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "name": r"[\w][\w .:@+-]{0,254}",
    "form": r"suspended-[a-z0-9-]{1,64}-(?:schema|description)",
}


def _pattern(route: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda part: f"(?P<{part[1]}>{_PARTS[part[1]]})", route)


def _any_of(*routes: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(_pattern(route)) for route in routes)


READS = {
    "GET": _any_of(
        "health",
        "admin/version",
        "artifacts/{id}",
        "artifacts/{name}/latest",
        "automations/{id}",
        "automations/related-to/{name}",
        "concurrency_limits/{id}",
        "deployments/{id}",
        "events/filter/next",
        "flow_runs/{id}",
        "flow_runs/{id}/graph-v2",
        "flow_runs/{id}/input/{form}",
        "flow_runs/{id}/logs/download",
        "flows/{id}",
        "task_runs/{id}",
        "ui/task_runs/{id}",
        "v2/concurrency_limits/{id}",
        "work_pools/{name}",
        r"work_pools/{name}/queues/[\w][\w .:@+-]{0,254}",
        "work_queues/{id}",
    ),
    "POST": _any_of(
        "artifacts/(?:latest/)?(?:count|filter)",
        "automations/(?:count|filter)",
        "(?:v2/)?concurrency_limits/filter",
        "deployments/(?:count|filter|paginate)",
        "events/filter",
        "events/count-by/(?:day|time|event|resource)",
        "flow_runs/(?:count|filter|paginate|lateness|history)",
        "flows/(?:count|filter|paginate)",
        "logs/filter",
        "saved_searches/filter",
        "task_runs/(?:count|filter|history|paginate)",
        "ui/flow_runs/(?:count-task-runs|history)",
        "ui/flows/(?:count-deployments|next-runs)",
        "ui/task_runs/(?:count|dashboard/counts)",
        "work_pools/(?:count|filter)",
        "work_pools/{name}/(?:queues|workers)/filter",
        "work_queues/filter",
    ),
}
"""Prefect's routes, below its `/api`, that change nothing and show nothing secret."""

FORM = re.compile(_pattern("flow_runs/{id}/input/{form}"))
RESUME = re.compile(_pattern("flow_runs/{id}/resume"))
SCHEDULE = re.compile(_pattern("deployments/{id}/schedules/[^/]+"))
RUN_NOW = re.compile(_pattern("deployments/{id}/create_flow_run"))
ONE_DEPLOYMENT = re.compile(_pattern("deployments/{id}(?:/.*)?"))
ONE_RUN = re.compile(_pattern("flow_runs/{id}(?:/.*)?"))

_NOTHING: dict[tuple[str, str], object] = {
    **{("POST", f"{kind}/filter"): [] for kind in ("block_documents", "block_types", "block_schemas")},
    ("POST", "block_documents/count"): 0,
    ("POST", "variables/filter"): [],
    ("POST", "variables/count"): 0,
    ("GET", "block_capabilities/"): [],
    ("GET", "admin/storage"): {"default_result_storage_block_id": None},
    # A refusal costs V1 its navigation; the real answer shows paths of the server.
    ("GET", "admin/settings"): {
        "server": {"analytics_enabled": False, "ui": {"show_promotional_content": False}}
    },
    # Both pages ask it before they send a form.
    ("POST", "ui/schemas/validate"): {"valid": True, "errors": []},
}


def own_answer(method: str, path: str) -> bytes | None:
    """What we say in Prefect's place, as JSON, where an error would break its pages; None: nothing."""
    if (method, path) not in _NOTHING:
        return None
    return json.dumps(_NOTHING[method, path]).encode()


def may_read(method: str, path: str) -> bool:
    """Whether this request may go to Prefect as it is."""
    return any(pattern.fullmatch(path) for pattern in READS.get(method, ()))


class Elsewhere(StrEnum):
    """Where what a browser may not do here is done."""

    CANCEL = "Cancel it in Opsgate: {instance}. These dashboards are for looking, and for the resume form."
    KEEP = "Nothing is deleted here: Opsgate keeps the history of its instances. See {instance}."
    START = "Start workflows in Opsgate: {workflows}. A run made here would belong to no instance."
    DEPLOYMENT = "Deployments follow what is defined in Opsgate: change it there, {workflows}."
    RECURRING = "Recurring jobs are changed in Opsgate: {recurring}. Here they can be switched and run."
    POOL = "Work pools and limits are changed by whoever runs the server, with Prefect's command line there."
    SECRETS = "Blocks and variables are not shown here: Opsgate keeps credentials in vaults."
    ANYTHING = "These dashboards are for looking, and for the resume form. Change things in Opsgate: {home}."


_WRITES = (
    (re.compile(r"(?:flow|task)_runs/(?:.+/set_state|bulk_set_state)"), None, Elsewhere.CANCEL),
    (re.compile(r"(?:flow|task)_runs/.+"), "DELETE", Elsewhere.KEEP),
    (re.compile(r"(?:flow_runs|flows)/bulk_delete"), None, Elsewhere.KEEP),
    (re.compile(r"deployments/.+/create_flow_run(?:/bulk)?|flow_runs/"), None, Elsewhere.START),
    (re.compile(r"(?:deployments|flows)/.*"), None, Elsewhere.DEPLOYMENT),
    (re.compile(r"(?:work_pools|work_queues|concurrency_limits|v2)/.*"), None, Elsewhere.POOL),
    (re.compile(r"(?:block_\w+|variables)/.*"), None, Elsewhere.SECRETS),
)


def elsewhere(method: str, path: str) -> Elsewhere:
    """Where this is done instead."""
    for pattern, only, where in _WRITES:
        if (only is None or only == method) and pattern.fullmatch(path):
            return where
    return Elsewhere.ANYTHING

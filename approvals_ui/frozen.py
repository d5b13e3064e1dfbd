"""What a request froze when it was made, in words. Pure."""

from typing import Any

from store.approval_views import ApprovalView


def host_names(view: ApprovalView) -> list[str]:
    """The names of the hosts that a yes reaches: of all steps up to the next gate, each once; of the instance
    where no step names any."""
    named = [host for step in _ahead(view) for host in step.get("hosts", ())]
    hosts = named or view.frozen.get("hosts")
    return list(dict.fromkeys(map(str, hosts))) if isinstance(hosts, list) else []


def host_notes(view: ApprovalView) -> list[str]:
    """What is to be said of the steps' hosts beyond their names."""
    notes = [str(step["hosts_note"]) for step in _ahead(view) if step.get("hosts_note")]
    return list(dict.fromkeys(notes))


def _ahead(view: ApprovalView) -> list[dict[str, Any]]:
    ahead = view.frozen.get("ahead")
    return [step for step in ahead if isinstance(step, dict)] if isinstance(ahead, list) else []

"""What a request froze when it was made, in words. Pure."""

from store.approval_views import ApprovalView


def host_names(view: ApprovalView) -> list[str]:
    """The names of the frozen hosts."""
    hosts = view.frozen.get("hosts")
    if not isinstance(hosts, list):
        return []
    return [str(host["name"]) if isinstance(host, dict) and "name" in host else str(host) for host in hosts]

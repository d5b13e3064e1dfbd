"""Where the dashboards stand on our site, and the policy their pages run under. Pure."""

import re

BASE = "/prefect"
API = f"{BASE}/api"
V2 = f"{BASE}/v2"

_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")


def home(site: str = "") -> str:
    """The dashboards' first page; `site`: the address of ours, without a slash at its end."""
    return f"{site}{BASE}/"


def run_page(flow_run_id: str, site: str = "") -> str:
    """The page of one flow run."""
    return f"{site}{V2}/runs/flow-run/{flow_run_id}"


def policy(host: str) -> str:
    """The content security policy of the dashboards' pages, which Prefect's own code needs.

    Its run graph calls eval; V1 has fonts in data: and workers in blob:. In return its scripts may load
    and call what stands under `/prefect`, not our pages or our API. A host that can't be written into a
    policy (an IPv6 address) leaves the whole site allowed.
    """
    here = f"{host}{BASE}/" if _HOST.fullmatch(host) else "'self'"
    return "; ".join(
        (
            f"default-src {here}",
            f"script-src {here} 'unsafe-eval'",
            f"style-src {here} 'unsafe-inline'",
            f"img-src {here} data: blob:",
            f"font-src {here} data:",
            f"worker-src {here} blob:",
            f"connect-src {here}",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )

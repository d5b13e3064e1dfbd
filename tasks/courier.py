"""The program that hands notices to the services of other people, in a process of its own.

Reads one JSON document from standard input: `{"local": false, "notices": [{"id", "url", "title", "body"}]}`.
Writes a line `{"id", "error"}` for each as soon as it is done; error null: the service has taken it. What it
says of an error never holds an address. Apprise and what it loads stay out of the worker, a service that
hangs is killed with this process, and no connection is made to this machine or to what only it can reach
unless `local`: judged by the address that is connected to, so that no name can lie about it.
"""

import ipaddress
import json
import logging
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyFormat

AT_ONCE = 8
UNREACHED = "The service was not reached, or did not take it."
REFUSED_ADDRESS = "The address leads to the server itself, where notices do not go (OPSGATE_NOTICE_LOCAL)."
NOT_UNDERSTOOD = "The address is not understood by the service it names."

_STATUS = re.compile(r"\berror\s?=\s?(\d{3})\b")


class Here(threading.local):
    """What is known of the notice that this thread sends."""

    reason: str = ""


_here = Here()


class Reasons(logging.Handler):
    """Takes from Apprise's log the status a service has answered. Its other words may hold secrets."""

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the status for the notice of this thread."""
        found = _STATUS.search(record.getMessage())
        if found is not None and not _here.reason:
            _here.reason = f"The service answered {found[1]}."


def leads_home(host: str) -> bool:
    """Whether a numeric address is of this machine, its link, or nobody's."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return True
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast


def keep_from_home() -> None:
    """Refuse every connection of this process to an address that leads home, for good."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "socket.connect":
            return
        address = arguments[1]
        if not isinstance(address, tuple) or leads_home(str(address[0])):
            _here.reason = REFUSED_ADDRESS
            raise PermissionError(REFUSED_ADDRESS)

    sys.addaudithook(watch)


def send(notice: dict[str, Any], asset: AppriseAsset) -> str | None:
    """Hand one notice over; why that failed, or None."""
    _here.reason = ""
    service = Apprise.instantiate(notice["url"], asset=asset, suppress_exceptions=True)
    if service is None:
        return NOT_UNDERSTOOD
    sender = Apprise(asset=asset)
    sender.add(service)
    try:
        taken = sender.notify(title=notice["title"], body=notice["body"], body_format=NotifyFormat.TEXT)
    except Exception:  # a plugin's own mistake
        taken = False
    return None if taken else _here.reason or UNREACHED


def main() -> None:
    """Send what standard input says."""
    task = json.load(sys.stdin)
    log = logging.getLogger("apprise")
    log.handlers, log.propagate = [Reasons()], False
    log.setLevel(logging.WARNING)
    # A redirect would lead where nobody has looked; a webhook answers at its own address.
    asset = AppriseAsset(app_id="Opsgate", async_mode=False, http_redirects=False)
    Apprise.instantiate("json://localhost", asset=asset)  # loads the services once, in one thread
    if not task["local"]:
        keep_from_home()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sending = {pool.submit(send, notice, asset): notice["id"] for notice in task["notices"]}
        for done in as_completed(sending):
            print(json.dumps({"id": sending[done], "error": done.result()}), flush=True)


if __name__ == "__main__":
    main()

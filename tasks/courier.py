"""The program that hands notices to the services of other people, in a process of its own.

Reads one JSON document from standard input: `{"allowed": ["10.1.0.0/16"], "seconds": 15, "notices": [{"id",
"url", "title", "body"}]}`. Writes `{"id", "begun": true}` when it takes one up, and `{"id", "error"}` when it
is done with it; error null: the service has taken it. What it says of an error never holds an address.
Apprise and what it loads stay out of the worker; one that takes longer than `seconds` holds up none of the
others; and no connection is made to this machine, or to a network that is not the public one, unless
`allowed`: judged by the address that is connected to, so that no name can lie about it.
"""

import ipaddress
import json
import logging
import os
import queue
import re
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

from apprise import Apprise, AppriseAsset, NotifyFormat

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

AT_ONCE = 8
UNREACHED = "The service was not reached, or did not take it."
REFUSED_ADDRESS = (
    "The address leads to the server itself or to a private network, where notices do not go "
    "(OPSGATE_NOTICE_NETWORKS)."
)
TOO_SLOW = "The service did not answer within {:g} seconds."
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


_CARRIERS = [ipaddress.ip_network(each) for each in ("64:ff9b::/96", "2001::/32", "2002::/16")]
"""Addresses that hold another one, which is where they lead."""


def leads_home(host: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether a numeric address is of this machine, of a network of its own, or nobody's."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return True
    address = getattr(address, "ipv4_mapped", None) or address
    if any(address in network for network in allowed):
        return False
    if not address.is_global or address.is_multicast or any(address in carrier for carrier in _CARRIERS):
        return True
    return _is_ours(address)


def _is_ours(address: Address) -> bool:
    """Whether it is of an interface of this machine: only to such a one a socket can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def keep_from_home(allowed: Sequence[Network]) -> None:
    """Refuse every connection of this process to an address that leads home, for good."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            return
        address = arguments[1]
        if event != "socket.connect" and address is None:  # over a connection that was looked at
            return
        if not isinstance(address, tuple) or leads_home(str(address[0]), allowed):
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
    keep_from_home([ipaddress.ip_network(each) for each in task["allowed"]])
    hand_over(task["notices"], asset, task["seconds"])
    sys.stdout.flush()
    os._exit(0)  # a thread that still waits for its service is left behind


def hand_over(notices: Sequence[dict[str, Any]], asset: AppriseAsset, seconds: float) -> None:
    """Send them, some side by side, each in a thread of its own: one that hangs is left behind."""
    waiting, running = deque(notices), dict[int, float]()
    done: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()

    def one(notice: dict[str, Any]) -> None:
        done.put((notice["id"], send(notice, asset)))

    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            notice = waiting.popleft()
            running[notice["id"]] = time.monotonic() + seconds
            _say(id=notice["id"], begun=True)
            threading.Thread(target=one, args=(notice,), daemon=True).start()
        try:
            number, error = done.get(timeout=max(0.0, min(running.values()) - time.monotonic()))
        except queue.Empty:
            late = [number for number, until in running.items() if until <= time.monotonic()]
            for number in late:
                del running[number]
                _say(id=number, error=TOO_SLOW.format(seconds))
        else:
            if running.pop(number, None) is not None:
                _say(id=number, error=error)


def _say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()

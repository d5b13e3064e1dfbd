"""The connections of one call to a vault, which can be cut from outside: so a call ends, whatever comes.

A limit for each part of an answer does not hold a server that sends a byte now and then. Knows nothing of
what is asked.

The resolved address is not judged here as that of a notice is: vaults stand in private networks and on this
machine, and who is connected to has to show the certificate of the vault's name, or is on this machine
(`definitions.vault`). What does it for notices holds for a whole process, which the courier has to itself.
"""

import contextlib
import socket
import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection


class Line:
    """Every connection of the sessions made by `session`, until it is cut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._is_cut = False

    def session(self) -> requests.Session:
        """A session whose connections belong to this line. It takes neither proxies nor .netrc of whoever
        runs us."""
        made = requests.Session()
        made.trust_env = False
        for scheme in ("http://", "https://"):
            made.mount(scheme, _Adapter(self))
        return made

    def cut(self) -> None:
        """Break every connection off, also those that are still made; whoever waits for one goes on."""
        with self._lock:
            self._is_cut = True
            for each in self._open:
                _end(each)
            self._open.clear()

    def holds(self, connection: socket.socket) -> None:
        """A connection was made. TLS takes the socket over before it has shaken hands: ours is a second
        handle on the same connection."""
        with self._lock:
            self._open.append(connection.dup())
            if not self._is_cut:
                return
        self.cut()


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class _Adapter(HTTPAdapter):
    def __init__(self, line: Line) -> None:
        self._line = line
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        line = self._line

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                made = super()._new_conn()
                line.holds(made)
                return made

        class Encrypted(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                made = super()._new_conn()
                line.holds(made)
                return made

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class EncryptedPool(HTTPSConnectionPool):
            ConnectionCls = Encrypted

        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}

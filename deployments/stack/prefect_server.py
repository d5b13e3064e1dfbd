"""Prefect's server as a child of the stack, in a home folder of its own.

Holds the settings we ship for it. They are handed over in a profile file that only the owner can
read, because one of them, the auth string, is a secret: not in the environment, not in argv.
"""

import http.client
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from approvals_ui.prefect import places
from deployments.stack.data_folder import DataFolder, write_private
from deployments.stack.processes import Child, Processes

SERVER_SETTINGS = {
    # It loads every paused run every five seconds, and deadlines are ours anyway.
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    # Without flow_runs their history is never deleted.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # People reach its pages through ours, under our sign-in.
    "PREFECT_UI_SERVE_BASE": places.BASE,
    "PREFECT_UI_API_URL": places.API,
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    # Task runs and events are written one by one by default: batches halve the server's cost of a run.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "2",
}
"""What differs from Prefect's defaults, apart from addresses and secrets."""

CLIENT_SETTINGS = {
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "PREFECT_CLIENT_METRICS_ENABLED": "false",
    # Every run and task writes lines at INFO that say what the store says better.
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


class PrefectServer:
    """The server of one data folder, and the home folder of its clients."""

    def __init__(self, folder: DataFolder, port: int, database_url: str) -> None:
        self._folder = folder
        self._port = port
        self._database_url = "postgresql+asyncpg://" + database_url.split("://", 1)[1]
        self._auth = folder.secret_file("prefect-auth", "opsgate:")

    @property
    def url(self) -> str:
        """Where it listens; people look at it through our pages."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_url(self) -> str:
        """Where programs talk to it."""
        return f"{self.url}/api"

    @property
    def auth_file(self) -> Path:
        """The file with the one auth string, which programs of ours read."""
        return self._auth

    @property
    def client_home(self) -> Path:
        """`PREFECT_HOME` for anything that talks to this server."""
        return self._folder.folder("prefect", "client")

    async def start(self, processes: Processes) -> Child:
        """Write the profiles and start; does not wait until it answers (see `answers`)."""
        home = self._folder.folder("prefect", "server")
        auth = self._auth.read_text(encoding="utf-8").strip()
        client = {"PREFECT_API_URL": self.api_url, "PREFECT_API_AUTH_STRING": auth, **CLIENT_SETTINGS}
        _write_profile(self.client_home, client)
        _write_profile(home, {**client, **SERVER_SETTINGS, **self._own_settings(auth)})
        child = Child(
            "prefect-server",
            [sys.executable, "-m", "deployments.stack.prefect_main", "server", "start"],
            self._folder.log("prefect-server"),
            environment=prefect_environment(home),
            folder=home,
            # Asked to stop when its database is gone too, it retries its last writes for a minute.
            death_signal=signal.SIGKILL,
        )
        await processes.start(child)
        return child

    def answers(self) -> bool:
        """Whether the API is up; asked without the auth string, as any load balancer would."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _own_settings(self, auth: str) -> dict[str, str]:
        return {
            "PREFECT_SERVER_API_AUTH_STRING": auth,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(self._port),
            # Any page in the same browser could call the API otherwise.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self.url,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self._database_url,
            # Prefect copies its pages there at start; by default into site-packages.
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self._folder.folder("prefect", "pages")),
        }


def prefect_environment(home: Path) -> Mapping[str, str]:
    """The environment of a process that uses Prefect: ours without any PREFECT_ of somebody else's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**inherited, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"}


def _write_profile(home: Path, settings: Mapping[str, str]) -> None:
    lines = ['active = "opsgate"', "", "[profiles.opsgate]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    write_private(home / "profiles.toml", "\n".join(lines) + "\n")

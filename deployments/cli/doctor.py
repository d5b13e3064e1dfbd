"""`opsgate doctor`: look at this installation from outside and say in words what is wrong.

Checks the way to the server first, then what the server says of itself, then the data folder here.
"""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2

from deployments.cli import profile
from deployments.cli.connection import API, trusting
from deployments.cli.errors import CA_FIX, WrongUse, distrust
from deployments.cli.output import Json, print_json
from deployments.stack.data_folder import default_path


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    good: bool
    what: str
    fix: str = ""


def doctor(*, json: Json = False) -> int:
    """Check server, token, engine, agents and data folder; exit code 1 if anything is wrong."""
    findings = [*_server(), *_settings_file(), *_data_folder()]
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{'ok   ' if finding.good else 'WRONG'} {finding.what}")
            if finding.fix and not finding.good:
                print(f"      fix: {finding.fix}")
    return 0 if all(finding.good for finding in findings) else 1


def _server() -> Iterator[Finding]:
    try:
        known = profile.find()
    except WrongUse as error:
        yield Finding(False, "no server is known", error.message)
        return
    try:
        verify = trusting(known.ca)
    except WrongUse as error:
        yield Finding(False, error.message, "Set OPSGATE_CA, or sign in again: opsgate login --ca FILE")
        return
    headers = {"Authorization": f"Bearer {known.token}"}
    with httpx2.Client(base_url=known.url, timeout=5, headers=headers, verify=verify) as client:
        try:
            ready = client.get("/readyz")
        except httpx2.HTTPError as error:
            untrusted = distrust(error)
            fix = "Start it: opsgate up" if untrusted is None else CA_FIX
            yield Finding(False, f"{known.url} does not answer: {untrusted or error}", fix)
            return
        yield Finding(
            ready.is_success, f"{known.url} is ready (status {ready.status_code})", ready.text[:500]
        )
        me = client.get(f"{API}/me")
        name = me.json().get("name") if me.is_success else None
        yield Finding(me.is_success, f"the token is good, it is {name}'s", "Sign in again: opsgate login")
        if me.is_success:
            yield from _agents(client)


def _agents(client: httpx2.Client) -> Iterator[Finding]:
    answer = client.get(f"{API}/hosts")
    if not answer.is_success:
        return
    for host in answer.json()["items"]:
        yield Finding(
            bool(host["online"]),
            f"host {host['name']} is {'online' if host['online'] else 'offline'}",
            "Is its agent running, and does it reach the server?",
        )


def _settings_file() -> Iterator[Finding]:
    """A misspelled key in opsgate.toml is ignored by every process: say so here."""
    from deployments.settings import WebSettings
    from flows.settings import EngineSettings
    from store.settings import CONFIG_FILE

    path = Path(CONFIG_FILE)
    if not path.exists():
        return
    known = {*WebSettings.model_fields, *EngineSettings.model_fields}
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        yield Finding(False, f"{path} can't be read: {error}", "Mend it.")
        return
    for name in given.keys() - known:
        yield Finding(
            False, f"{path} sets {name!r}, which means nothing", f"Known: {', '.join(sorted(known))}"
        )


def _data_folder() -> Iterator[Finding]:
    path = default_path()
    if not path.is_dir():
        return
    mode = path.stat().st_mode & 0o777
    yield Finding(mode & 0o067 == 0, f"{path} is private (mode {mode:o})", f"chmod 700 {path}")
    loose = [
        file
        for file in [path / profile.NAME, *path.glob("secrets/*"), *path.glob("prefect/*/profiles.toml")]
        if file.exists() and file.stat().st_mode & 0o077
    ]
    for file in loose:
        yield Finding(False, f"{file} can be read by others", f"chmod 600 {file}")
    free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize // 2**20
    yield Finding(free > 500, f"{free} MiB are free for the data", "Make room on that disk.")

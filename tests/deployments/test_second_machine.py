"""Another machine: the agent from its own wheel, in an environment that holds nothing else, over TLS.

The two machines are two bare environments with a folder and a host name each.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.conftest import Opsgate, Server, web_process
from tests.deployments.private_ca import PrivateCa

ROOT = Path(__file__).parents[2]
SERVERS_PACKAGES = ("approvals_ui", "agent_api", "definitions", "deployments", "flows", "store", "tasks")
TELLS_WHO_RUNS_IT = "kind: script\nname: who\nlanguage: bash\ncontent: tr '\\0' ' ' < /proc/$PPID/cmdline\n"

pytestmark = pytest.mark.timeout(300)


def outside() -> dict[str, str]:
    """The environment with pip's settings, without what leads to this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OPSGATE_"))}


def run(*command: str | Path, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin,
        env=outside(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@dataclass
class Machine:
    """A bare environment with the agent in it, and the agent's folder."""

    host: str
    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def program(self) -> Path:
        return self.folder / "venv/bin/opsgate-agent"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def enrol(
        self, server: Server, secret: str, *options: str | Path, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        where = ("--server", server.url, "--state", self.state, "--hostname", self.host)
        return run(self.program, "enrol", *where, *options, stdin=secret, code=code)

    def start(self, *options: str | Path) -> None:
        command = [self.program, "run", "--state", self.state, "--grace", "1", *options]
        with self.log.open("wb") as log:
            self.running.append(subprocess.Popen(command, env=outside(), cwd="/", stderr=log))

    def stop(self) -> None:
        while self.running:
            process = self.running.pop()
            process.terminate()
            process.wait(20)

    def python(self, program: str) -> Any:
        return json.loads(run(self.folder / "venv/bin/python", "-c", program).stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT / "agent")
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Installed once for both machines: what is installed is the same on each."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder / "venv")
    run(folder / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel)
    return folder


@pytest.fixture
def machines(installed: Path, tmp_path: Path) -> Iterator[list[Machine]]:
    made = []
    for number in (1, 2):
        place = tmp_path / f"machine-{number}"
        place.mkdir()
        (place / "venv").symlink_to(installed / "venv")
        made.append(Machine(f"host-{number}-{tmp_path.name[-12:].strip('_').replace('_', '-')}", place))
    yield made
    for machine in made:
        machine.stop()


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> PrivateCa:
    return PrivateCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def tls_server(
    postgres: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory, ca: PrivateCa
) -> Iterator[Server]:
    with web_process(postgres, migrated_template, tmp_path_factory.mktemp("tls"), ca) as running:
        yield running


@pytest.fixture
def trusting(opsgate: Opsgate, ca: PrivateCa, monkeypatch: pytest.MonkeyPatch) -> Opsgate:
    """The command line, told whom to trust."""
    monkeypatch.setenv("OPSGATE_CA", str(ca.file))
    return opsgate


def org_secret(opsgate: Opsgate, server: Server) -> str:
    made = opsgate("org-secret", "create", "second machine", "--uses", "2", beside=server)
    assert made.code == 0, made.err
    return made.out


def online(opsgate: Opsgate, server: Server) -> set[str]:
    hosts = opsgate("host", "list", "--json", beside=server).json
    return {host["name"] for host in hosts if host["online"]}


def wait_online(opsgate: Opsgate, server: Server, *machines: Machine) -> None:
    deadline = time.monotonic() + 30
    wanted = {machine.host for machine in machines}
    while wanted - online(opsgate, server):
        assert time.monotonic() < deadline, [machine.log.read_text() for machine in machines]
        time.sleep(0.1)


def run_everywhere(opsgate: Opsgate, server: Server, tmp_path: Path, *machines: Machine) -> None:
    """One script on all of them: each says by which environment's program it was run."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "who.yaml").write_text(TELLS_WHO_RUNS_IT)
    assert opsgate("apply", "-f", str(folder), beside=server).code == 0
    hosts = [option for machine in machines for option in ("--host", machine.host)]
    jobs = opsgate("script", "run", "who", *hosts, "--json", beside=server)
    assert jobs.code == 0, jobs.out + jobs.err
    assert sorted(job["host"] for job in jobs.json) == [machine.host for machine in machines]
    by_host = {machine.host: machine for machine in machines}
    for job in jobs.json:
        said = opsgate("job", "logs", str(job["id"]), "--stream", "stdout").out
        assert str(by_host[job["host"]].program) in said


def test_the_wheel_holds_the_whole_agent_and_its_unit(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"agent/{path.relative_to(ROOT / 'agent')}" for path in (ROOT / "agent").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert "agent/systemd/opsgate-agent.service" in names


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_takes_the_unit_that_the_installed_program_prints(machines: list[Machine], tmp_path: Path):
    unit = tmp_path / "opsgate-agent.service"
    unit.write_text(run(machines[0].program, "unit").stdout)
    assert "/venv/bin/opsgate-agent run\n" in unit.read_text()
    checked = run("systemd-analyze", "verify", unit)
    assert "opsgate-agent" not in checked.stderr


def test_a_bare_environment_gets_the_agent_and_nothing_of_the_server(machines: list[Machine]):
    found = machines[0].python(
        "import importlib.metadata as m, importlib.util as u, json;"
        f"print(json.dumps([[d.name.lower() for d in m.distributions()],"
        f"[name for name in {SERVERS_PACKAGES} if u.find_spec(name)]]))"
    )
    distributions, packages = set(found[0]), found[1]
    assert packages == []
    needs = {"agent": dependencies(ROOT / "agent"), "server": dependencies(ROOT)}
    assert needs["agent"] <= distributions
    assert distributions & (needs["server"] - needs["agent"]) == set()
    run(machines[0].folder / "venv/bin/python", "-m", "pip", "check")


def dependencies(folder: Path) -> set[str]:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return {re.split(r"[\[<>=;~! ]", entry)[0].lower() for entry in project["dependencies"]}


def test_two_machines_run_one_script_over_tls_of_a_private_ca(
    machines: list[Machine], tls_server: Server, trusting: Opsgate, ca: PrivateCa, tmp_path: Path
):
    secret = org_secret(trusting, tls_server)
    machines[0].enrol(tls_server, secret, "--ca", ca.file)
    (tmp_path / "secret").write_text(secret)
    machines[1].enrol(tls_server, "", "--ca", ca.file, "--secret-file", tmp_path / "secret")
    for machine in machines:
        machine.start()
    wait_online(trusting, tls_server, *machines)
    run_everywhere(trusting, tls_server, tmp_path, *machines)


def test_a_machine_joins_over_plain_http_on_loopback(
    machines: list[Machine], server: Server, opsgate: Opsgate, tmp_path: Path
):
    machines[0].enrol(server, org_secret(opsgate, server))
    machines[0].start()
    wait_online(opsgate, server, machines[0])
    run_everywhere(opsgate, server, tmp_path, machines[0])


def test_an_agent_without_the_ca_does_not_show_the_secret_to_the_server(
    machines: list[Machine], tls_server: Server, trusting: Opsgate, tmp_path: Path
):
    secret = org_secret(trusting, tls_server)
    other = tmp_path / "other"
    other.mkdir()
    for options in ((), ("--ca", PrivateCa(other).file)):
        refused = machines[0].enrol(tls_server, secret, *options, code=1)
        assert "certificate is not trusted" in refused.stderr
        assert "--ca FILE" in refused.stderr
        assert not (machines[0].state / "agent.json").exists()
    listed = trusting("org-secret", "list", "--json").json
    assert listed[0]["uses"] == 0


def test_an_enrolled_agent_that_trusts_another_ca_stays_away(
    machines: list[Machine], tls_server: Server, trusting: Opsgate, ca: PrivateCa, tmp_path: Path
):
    machine = machines[0]
    machine.enrol(tls_server, org_secret(trusting, tls_server), "--ca", ca.file)
    other = tmp_path / "other"
    other.mkdir()
    machine.start("--ca", PrivateCa(other).file)
    deadline = time.monotonic() + 30
    while "certificate is not trusted" not in machine.log.read_text():
        assert time.monotonic() < deadline, machine.log.read_text()
        time.sleep(0.1)
    assert machine.host not in online(trusting, tls_server)


def test_an_agent_whose_ca_file_is_gone_says_which(
    machines: list[Machine], tls_server: Server, trusting: Opsgate, ca: PrivateCa, tmp_path: Path
):
    link = tmp_path / "link.pem"
    link.symlink_to(ca.file)
    machines[0].enrol(tls_server, org_secret(trusting, tls_server), "--ca", link)
    link.unlink()
    ended = run(machines[0].program, "run", "--state", machines[0].state, code=1)
    assert f"can't be read: {link}: No such file" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_command_line_without_the_ca_says_what_to_do(opsgate: Opsgate, tls_server: Server, ca: PrivateCa):
    refused = opsgate("host", "list", beside=tls_server)
    assert refused.code == 1
    assert "not trusted" in refused.err
    assert "OPSGATE_CA=FILE" in refused.err


def test_a_login_remembers_whom_to_trust(
    opsgate: Opsgate, tls_server: Server, ca: PrivateCa, monkeypatch: pytest.MonkeyPatch
):
    Path("p").write_text(str(tls_server.welcome.second_password))
    signed_in = opsgate(
        "login", tls_server.url, "--name", "bob", "--password-file", "p", "--ca", str(ca.file)
    )
    assert signed_in.code == 0, signed_in.err
    assert opsgate("host", "list", "--json").code == 0
    assert opsgate("doctor").out.count("is ready")

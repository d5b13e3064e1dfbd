"""`software_install`: a real package from a real repository on disk; dnf's and Windows' command lines."""

import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import processes, program
from agent.kinds import software_install
from agent.payloads import SoftwareInstallPayload

CONTROL = """\
Package: {name}
Version: {version}
Architecture: all
Maintainer: nobody <nobody@example.invalid>
Description: an empty package
"""

apt = [
    pytest.mark.root,
    pytest.mark.skipif(
        not (program.has("apt-get") and program.has("dpkg-deb")), reason="no apt-get and dpkg-deb here"
    ),
]


@dataclass(frozen=True)
class Repository:
    """A folder of packages of one name that apt knows of."""

    folder: Path
    name: str

    def offer(self, version: str, postinst: str = "") -> None:
        """Build this version, and let apt learn of it."""
        tree = self.folder / f"tree-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(CONTROL.format(name=self.name, version=version))
        if postinst:
            (tree / "DEBIAN" / "postinst").write_text(f"#!/bin/sh\n{postinst}\n")
            (tree / "DEBIAN" / "postinst").chmod(0o755)
        deb = self.folder / f"{self.name}_{version}_all.deb"
        subprocess.run(["dpkg-deb", "--build", tree, deb], capture_output=True, check=True)
        content = deb.read_bytes()
        known = (
            f"Filename: ./{deb.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n"
        )
        with (self.folder / "Packages").open("a") as index:
            index.write(CONTROL.format(name=self.name, version=version) + known)
        self.refresh()

    def refresh(self) -> None:
        """Have apt read our list, and no other: the rest of the world may be out of reach."""
        only = [
            f"-oDir::Etc::SourceList={self.source}",
            "-oDir::Etc::SourceParts=-",
            "-oAPT::Get::List-Cleanup=false",
        ]
        subprocess.run(["apt-get", "update", *only], capture_output=True, check=True)

    @property
    def source(self) -> Path:
        return Path("/etc/apt/sources.list.d") / f"{self.name}.list"

    def installed(self) -> str:
        """The version that is on this host, or an empty text."""
        asked = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", self.name]
        words = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
        return words[1] if words[:1] == ["installed"] else ""


@pytest.fixture
def repository(name: str, tmp_path: Path) -> Iterator[Repository]:
    """A repository of our own; package, list and everything else is gone after the test."""
    made = Repository(tmp_path / name, name)
    made.folder.mkdir()
    # apt's lists have one lock for the whole host, and tests run side by side.
    turn = (Path(tempfile.gettempdir()) / "opsgate-test-apt").open("w")
    fcntl.flock(turn, fcntl.LOCK_EX)
    made.source.write_text(f"deb [trusted=yes] copy:{made.folder} ./\n")
    yield made
    subprocess.run(["dpkg", "--purge", name], capture_output=True, check=False)
    made.source.unlink()
    for left in Path("/var/lib/apt/lists").glob(f"*{name}*"):
        left.unlink()
    for left in Path("/var/cache/apt/archives").glob(f"{name}_*"):
        left.unlink()
    turn.close()


class TestApt:
    pytestmark = apt

    async def test_a_package_is_installed_upgraded_and_removed(self, run, repository, name):
        repository.offer("1.0")
        done = await run("software_install", action="install", packages=[name], no_refresh=True)
        assert (done.exit_code, repository.installed()) == (0, "1.0"), done
        repository.offer("1.1")
        done = await run("software_install", action="upgrade", packages=[name], no_refresh=True)
        assert (done.exit_code, repository.installed()) == (0, "1.1"), done
        done = await run("software_install", action="remove", packages=[name])
        assert (done.exit_code, repository.installed()) == (0, ""), done

    async def test_a_version_can_be_named(self, run, repository, name):
        for version in ("1.0", "2.0"):
            repository.offer(version)
        await run("software_install", action="install", packages=[f"{name}=1.0"], no_refresh=True)
        assert repository.installed() == "1.0"

    async def test_a_daemon_that_a_package_starts_outlives_the_job(self, run, repository, name, tmp_path):
        pid_file = tmp_path / "pid"
        repository.offer("1.0", f"setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! >{pid_file}")
        assert (
            await run("software_install", action="install", packages=[name], no_refresh=True)
        ).exit_code == 0
        pid = int(pid_file.read_text())
        assert processes.look_up(pid) is not None
        os.kill(pid, 9)

    async def test_a_name_that_is_no_package_is_not_taken_for_a_pattern(self, run, repository, name):
        repository.offer("1.0")
        await run("software_install", action="install", packages=[name], no_refresh=True)
        like_it = name.replace("-", ".")
        done = await run("software_install", action="remove", packages=[like_it])
        assert (done.exit_code, f"Unable to locate package {like_it}" in done.err) == (100, True), done
        assert repository.installed() == "1.0"


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A host whose programs are only those named."""
    monkeypatch.setattr("agent.environment.PATH", str(tmp_path))

    def have(*names: str) -> Path:
        for tool in names:
            (tmp_path / tool).touch(mode=0o755)
        return tmp_path

    return have


def test_lists_are_fetched_anew_first_unless_they_need_not_be(tools):
    """Both command lines stand in a plan that runs one after the other."""
    folder = tools("apt-get")
    payload = SoftwareInstallPayload(action="upgrade")
    plan = Path(software_install.program(payload, folder).argv[-1])
    apt_get = f"{folder}/apt-get"
    assert plan.read_text().startswith(f'[["{apt_get}", "-q", "update"], ["{apt_get}", "-q", "-y", ')
    assert plan.read_text().endswith('"upgrade", "--"]]')


@pytest.mark.parametrize(
    ("payload", "arguments"),
    [
        ({"action": "install", "packages": ["curl"]}, ["-y", "--refresh", "install", "curl"]),
        (
            {"action": "install", "packages": ["curl=8.0-1"], "no_refresh": True},
            ["-y", "install", "curl-8.0-1"],
        ),
        ({"action": "remove", "packages": ["curl", "g++"]}, ["-y", "remove", "curl", "g++"]),
        ({"action": "upgrade"}, ["-y", "--refresh", "upgrade"]),
    ],
)
def test_the_command_line_of_dnf(payload, arguments, tools):
    folder = tools("dnf")
    made = software_install.program(SoftwareInstallPayload(**payload), folder)
    assert made.argv == [f"{folder}/dnf", *arguments]


def test_a_host_without_a_package_manager_says_so(tools):
    with pytest.raises(program.CannotRun, match="neither apt-get nor dnf"):
        software_install.program(SoftwareInstallPayload(action="upgrade"), tools())


QUIET = ["--silent", "--disable-interactivity", "--accept-source-agreements"]
AGREES = "--accept-package-agreements"


@pytest.mark.parametrize(
    ("payload", "winget", "commands"),
    [
        (
            {"action": "install", "packages": ["A.A=2.44.0"]},
            True,
            [
                ["winget.exe", "install", "--id", "A.A", "--exact", "--version", "2.44.0", *QUIET, AGREES],
            ],
        ),
        (
            {"action": "remove", "packages": ["A.A", "B.B"]},
            True,
            [["winget.exe", "uninstall", "--id", name, "--exact", *QUIET] for name in ("A.A", "B.B")],
        ),
        (
            {"action": "upgrade"},
            True,
            [["winget.exe", "upgrade", "--all", *QUIET, AGREES]],
        ),
        (
            {"action": "install", "packages": ["git=2.44.0"]},
            False,
            [["choco.exe", "install", "git", "--version", "2.44.0", "--yes", "--no-progress"]],
        ),
        ({"action": "upgrade"}, False, [["choco.exe", "upgrade", "all", "--yes", "--no-progress"]]),
        (
            {"action": "remove", "packages": ["git", "jq"]},
            False,
            [["choco.exe", "uninstall", "git", "jq", "--yes", "--no-progress"]],
        ),
    ],
)
def test_the_command_lines_on_windows(payload, winget, commands):
    assert software_install.windows(SoftwareInstallPayload(**payload), winget=winget) == commands

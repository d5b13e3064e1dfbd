"""A job that runs as a user of the host really is that user: ids, groups, home, and no right beyond."""

import json
import os
import pwd
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import interpreters, rights
from agent.payloads import CommandPayload
from agent.program import CannotRun

WHO_AM_I = """\
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()),
    "capabilities": status["CapEff"].strip(), "env": dict(os.environ), "cwd": os.getcwd(),
}))
open("written", "w").write("here")
"""


@pytest.fixture
def user() -> Iterator[pwd.struct_passwd]:
    """A real user with a home and a second group; gone after the test."""
    name = f"og-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--create-home", "--groups", "games", name], check=True)
    yield pwd.getpwnam(name)
    subprocess.run(["userdel", "--force", "--remove", name], capture_output=True, check=True)


@pytest.mark.root
async def test_the_process_has_the_users_ids_groups_home_and_no_capability(server, agent, ended, user):
    agent.start()
    values = {"PARAM_A": "1"}
    job = server.add(1, language="python", content=WHO_AM_I, run_as=user.pw_name, environment=values)
    report = await ended(job)
    assert report["exit_code"] == 0, (report, job.output("stderr"))
    found = json.loads(job.output("stdout"))
    assert found["uid"] == [user.pw_uid] * 3
    assert found["gid"] == [user.pw_gid] * 3
    assert found["groups"] == sorted(os.getgrouplist(user.pw_name, user.pw_gid))
    assert len(found["groups"]) == 2
    assert int(found["capabilities"], 16) == 0
    assert found["env"] == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "LANG": "C.UTF-8",
        "PARAM_A": "1",
    }
    assert not Path(found["cwd"]).exists()


@pytest.mark.root
async def test_it_can_not_reach_what_is_the_agents(server, agent, ended, user):
    agent.start()
    command = f"cat {agent.folder}/token; ls {agent.folder}; touch {user.pw_dir}/mine && echo good"
    job = server.add(1, command=command, run_as=user.pw_name)
    await ended(job)
    assert job.output("stdout") == b"good\n"
    assert job.output("stderr").count(b"Permission denied") == 2


@pytest.mark.root
async def test_nobody_else_can_read_its_text(server, agent, ended, user):
    agent.start()
    command = 'stat -c "%a %U" . job.sh; stat -c "%a %U" ..'
    job = server.add(1, command=command, run_as=user.pw_name)
    await ended(job)
    name = user.pw_name
    assert job.output("stdout").decode().splitlines() == [f"700 {name}", f"700 {name}", "711 root"]


@pytest.mark.root
async def test_a_cancel_kills_its_processes(server, agent, ended, user, soon):
    def running() -> int:
        found = subprocess.run(["pgrep", "-u", user.pw_name], capture_output=True, check=False)
        return len(found.stdout.split())

    agent.start()
    job = server.add(1, command="trap '' TERM; sleep 600 & wait; sleep 600", run_as=user.pw_name)
    await soon(lambda: running() == 2)
    server.cancel(job)
    assert (await ended(job))["outcome"] == "cancelled"
    assert running() == 0


@pytest.mark.root
async def test_its_folder_is_removed_even_after_a_crash(server, agent, ended, user, soon):
    agent.start()
    job = server.add(1, command="sleep 600", run_as=user.pw_name)
    link = agent.folder / "work" / "1-1.elsewhere"
    await soon(lambda: link.is_symlink() and (link.readlink() / "work" / "job.sh").exists())
    folder = link.readlink()
    agent.kill_9()
    assert folder.exists()
    agent.start()
    assert (await ended(job))["outcome"] == "interrupted"
    assert not folder.exists()


@pytest.mark.root
async def test_a_job_that_leaves_a_link_of_the_reserved_name_loses_nothing(server, agent, ended, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    agent.start()
    job = server.add(1, command=f"ln -s {tmp_path}/precious .elsewhere; ln -s {tmp_path}/precious elsewhere")
    await ended(job)
    assert (tmp_path / "precious" / "file").exists()


async def test_an_unknown_user_is_refused_in_words(server, agent, ended):
    agent.start()
    report = await ended(server.add(1, command="true", run_as="og-nobody-here"))
    assert report["outcome"] == "refused"
    assert report["reason"] == "The job runs as og-nobody-here, and this host has no such user."


async def test_an_agent_that_is_not_root_can_not_become_another_user(tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(CannotRun, match="does not run as root: it can't become another user"):
        await interpreters.prepare(CommandPayload(command="true", run_as="daemon"), tmp_path)


async def test_an_agent_may_run_as_the_user_it_is_without_being_root(tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: pwd.getpwnam("daemon").pw_uid)
    assert rights.user("daemon").home == pwd.getpwnam("daemon").pw_dir


@pytest.mark.parametrize("name", ["-root", "root:root", "a b", "$(id)", "root\n", "", "x" * 33, "ž"])
def test_a_name_that_is_none_is_refused_by_the_payload(name):
    with pytest.raises(ValueError, match="A name of a user or group has letters"):
        CommandPayload(command="true", run_as=name)


def test_a_job_has_the_rights_of_one_user():
    with pytest.raises(ValueError, match="exclude each other"):
        CommandPayload(command="true", run_as="daemon", requires_elevation=True)

"""A job that runs by a password is that user, and nobody else: by su for an agent that is not root."""

import asyncio
import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from agent import su
from tests.agent.identities.conftest import password_of, set_password
from tests.agent.test_secrets import places_of

pytestmark = pytest.mark.root

PASSWORD = "mArKeR pa ss$w\"ö'rd"
WHO_AM_I = """\
import json, os, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()),
    "capabilities": status["CapEff"].strip(), "env": dict(os.environ), "cwd": os.getcwd(),
    "terminals": [os.isatty(fd) for fd in range(3)], "tty": open("/proc/self/stat").read().split()[6],
    "stdin": sys.stdin.read(), "fds": sorted(map(int, os.listdir("/proc/self/fd")))[:4],
}))
open("written", "w").write("here")
print("to standard error", file=sys.stderr)
sys.exit(7)
"""


def is_the_user(found: dict, user: pwd.struct_passwd) -> None:
    assert found["uid"] == [user.pw_uid] * 3
    assert found["gid"] == [user.pw_gid] * 3
    assert found["groups"] == sorted(os.getgrouplist(user.pw_name, user.pw_gid))
    assert int(found["capabilities"], 16) == 0
    assert found["env"] == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "LANG": "C.UTF-8",
        "PARAM_A": "1",
    }
    assert (found["terminals"], found["tty"], found["stdin"]) == ([False] * 3, "0", "")
    assert not Path(found["cwd"]).exists()


async def test_by_su_the_job_has_the_ids_groups_home_and_streams_of_the_identity(
    unprivileged, give, ended, user
):
    await runs_as_the_user(unprivileged, give, ended, user)


async def test_by_root_it_has_them_too(agent, give, ended, user):
    await runs_as_the_user(agent, give, ended, user)


async def runs_as_the_user(runs, give, ended, user):
    set_password(user, PASSWORD)
    runs.start()
    more = {"environment": {"PARAM_A": "1"}}
    job = give(runs, password_of(user.pw_name, PASSWORD), language="python", content=WHO_AM_I, **more)
    report = await ended(job, 60)
    assert (report["outcome"], report["exit_code"]) == ("exited", 7), (report, job.output("stderr"))
    is_the_user(json.loads(job.output("stdout")), user)
    assert job.output("stderr") == b"to standard error\n"


@pytest.mark.parametrize("password", ["a\x03b\x04c\x7f\x15d", "\\\"'`$(x)", "ü" * 100])
async def test_whatever_the_password_holds_it_is_typed_as_it_is(unprivileged, give, ended, user, password):
    set_password(user, password)
    unprivileged.start()
    job = give(unprivileged, password_of(user.pw_name, password), command="id -un")
    report = await ended(job, 60)
    assert (report["reason"], job.output("stdout").decode()) == ("", f"{user.pw_name}\n")


async def test_with_a_wrong_password_it_is_refused_and_nothing_ran(unprivileged, give, ended, user, shared):
    set_password(user, PASSWORD)
    unprivileged.start()
    job = give(unprivileged, password_of(user.pw_name, "not mArKeR"), command=f"touch {shared}/ran")
    report = await ended(job, 60)
    assert report["outcome"] == "refused"
    assert report["reason"] == f"su did not let the agent become {user.pw_name}: Authentication failure."
    assert not (shared / "ran").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["usermod", "--expiredate", "1"], "account has expired"),
        (["passwd", "--expire"], "required to change your password"),
        (["usermod", "--shell", "/usr/sbin/nologin"], "currently not available"),
    ],
)
async def test_a_user_who_may_not_log_in_any_more_is_refused_in_words(
    unprivileged, give, ended, user, shared, change, words
):
    set_password(user, PASSWORD)
    subprocess.run([*change, user.pw_name], capture_output=True, check=True)
    unprivileged.start()
    job = give(unprivileged, password_of(user.pw_name, PASSWORD), command=f"touch {shared}/ran")
    report = await ended(job, 60)
    assert (report["outcome"], words in report["reason"]) == ("refused", True), report
    assert not (shared / "ran").exists()


async def test_the_password_is_in_no_argument_no_environment_and_no_file(
    unprivileged, give, ended, user, shared, soon
):
    set_password(user, PASSWORD)
    unprivileged.start()
    command = f'touch {shared}/runs; until [ -e {shared}/go ]; do sleep 0.05; done; echo "$OPSGATE_V1"'
    values = {"OPSGATE_V1": "planted-marker"}
    job = give(unprivileged, password_of(user.pw_name, PASSWORD), command=command, environment=values)
    await soon((shared / "runs").exists, 60)
    assert places_of(b"planted-marker", unprivileged.folder) == {"environ"}
    assert places_of(b"mArKeR", unprivileged.folder) == set()
    (shared / "go").touch()
    await ended(job, 60)
    assert job.output("stdout") == b"planted-marker\n"
    assert places_of(b"mArKeR", unprivileged.folder.parent) == set()


async def test_secret_parameters_reach_it_too_and_the_password_in_its_output_is_masked_and_told(
    unprivileged, give, ended, user
):
    set_password(user, PASSWORD)
    unprivileged.start()
    content = 'cat "$PARAM_KEY_FILE" | rev; printf %s "$PARAM_A" | base64 -w0 >&2'
    job = give(
        unprivileged,
        password_of(user.pw_name, PASSWORD),
        {"PARAM_KEY_FILE": "abcdefg"},
        language="bash",
        content=content,
        environment={"PARAM_A": PASSWORD},
    )
    report = await ended(job, 60)
    assert (job.output("stdout"), job.output("stderr")) == (b"gfedcba", b"***")
    told = [report[stream]["credential_redacted"] for stream in ("stdout", "stderr")]
    assert told == [False, True]


def processes_of(user: pwd.struct_passwd) -> int:
    found = subprocess.run(["pgrep", "-U", user.pw_name], capture_output=True, check=False)
    return len(found.stdout.split())


STUBBORN = "trap '' TERM; setsid sleep 600 & (sleep 600 &) ; touch {}/runs; sleep 600"


async def test_a_cancel_kills_all_of_its_processes(unprivileged, server, give, ended, user, shared, soon):
    set_password(user, PASSWORD)
    unprivileged.start()
    job = give(unprivileged, password_of(user.pw_name, PASSWORD), command=STUBBORN.format(shared))
    await soon((shared / "runs").exists, 60)
    server.cancel(job)
    assert (await ended(job, 60))["outcome"] == "cancelled"
    await soon(lambda: processes_of(user) == 0)


async def test_nothing_of_it_outlives_an_agent_that_is_killed(unprivileged, give, ended, user, shared, soon):
    set_password(user, PASSWORD)
    unprivileged.start()
    command = f"pwd > {shared}/where; {STUBBORN.format(shared)}"
    job = give(unprivileged, password_of(user.pw_name, PASSWORD), command=command)
    await soon((shared / "runs").exists, 60)
    folder = Path((shared / "where").read_text().strip())
    assert (folder / "job.sh").exists()
    unprivileged.kill_9()
    await soon(lambda: processes_of(user) == 0 and not folder.exists(), 30)
    unprivileged.start()
    assert (await ended(job, 60))["outcome"] == "interrupted"


async def test_what_it_leaves_running_is_ended_with_it(unprivileged, give, ended, user, soon):
    set_password(user, PASSWORD)
    unprivileged.start()
    job = give(unprivileged, password_of(user.pw_name, PASSWORD), command="sleep 600 & exit 3")
    assert (await ended(job, 60))["exit_code"] == 3
    await soon(lambda: processes_of(user) == 0)


async def test_where_the_user_may_make_no_folder_the_job_says_so(unprivileged, give, ended, user):
    set_password(user, PASSWORD)
    unprivileged.more = {"TMPDIR": str(unprivileged.folder)}
    unprivileged.start()
    job = give(unprivileged, password_of(user.pw_name, PASSWORD), command="true")
    report = await ended(job, 60)
    assert report["outcome"] == "refused"
    assert "can't be made by that user (Permission denied)" in report["reason"]


async def test_a_user_of_a_domain_is_not_the_local_one_of_that_name(unprivileged, give, ended, user, shared):
    set_password(user, PASSWORD)
    unprivileged.start()
    credential = password_of(user.pw_name, PASSWORD, domain="corp")
    report = await ended(give(unprivileged, credential, command=f"touch {shared}/ran"))
    assert report["outcome"] == "refused"
    assert report["reason"] == f"The job runs as {user.pw_name}@corp, and this host has no such user."
    assert not (shared / "ran").exists()


@pytest.mark.parametrize("more", [{"run_as": "daemon"}, {"requires_elevation": True}])
async def test_it_is_nobody_besides(agent, give, ended, user, more):
    agent.start()
    job = give(agent, password_of(user.pw_name, PASSWORD), command="id", **more)
    report = await ended(job)
    assert report["outcome"] == "refused"
    assert "as another user besides" in report["reason"]


async def test_su_that_never_lets_in_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(su, "PATIENCE_SECONDS", 0.5)
    asking = tmp_path / "su"
    asking.write_text("#!/bin/sh\necho 'Have your token ready.'\nexec sleep 600\n")
    asking.chmod(0o755)
    door = su.Door(str(asking), "deploy", ["true"])
    with pytest.raises(su.NotLetIn, match=r"did not within .*: Have your token ready\.$"):
        await asyncio.to_thread(door.enter, "x")
    with pytest.raises(su.NotLetIn, match="can't be typed"):
        su.Door(str(asking), "deploy", ["true"]).enter("two\nlines")

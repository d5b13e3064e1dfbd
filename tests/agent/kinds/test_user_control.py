"""`user_control` on real users of this host, as root; what must not be touched is refused."""

import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from agent.kinds import user_control
from agent.payloads import UserControlPayload
from agent.program import own

root = pytest.mark.root


def shadow(user: str) -> list[str]:
    """The user's line of /etc/shadow: name, password, ..., the day it expires, and a reserved field."""
    lines = Path("/etc/shadow").read_text().splitlines()
    return next(line.split(":") for line in lines if line.startswith(f"{user}:"))


def exists(user: str) -> bool:
    return subprocess.run(["getent", "passwd", user], capture_output=True, check=False).returncode == 0


@root
async def test_a_user_is_created_with_home_shell_and_groups_and_no_password(run, account):
    done = await run("user_control", action="create", user=account, shell="/bin/bash", groups=["games"])
    assert (done.outcome, done.exit_code) == ("exited", 0), done
    entry = pwd.getpwnam(account)
    assert (entry.pw_shell, Path(entry.pw_dir).is_dir()) == ("/bin/bash", True)
    assert account in grp.getgrnam("games").gr_mem
    assert shadow(account)[1] == "!"


@root
async def test_a_user_without_a_home_has_none(run, account):
    await run("user_control", action="create", user=account, no_home=True, system=True)
    assert not Path(pwd.getpwnam(account).pw_dir).exists()
    assert pwd.getpwnam(account).pw_uid < 1000


@root
@pytest.mark.parametrize("remove_home", [False, True])
async def test_a_user_is_deleted_and_the_home_if_wished(run, user, remove_home):
    home = Path(pwd.getpwnam(user).pw_dir)
    done = await run("user_control", action="delete", user=user, remove_home=remove_home)
    assert done.exit_code == 0
    assert not exists(user)
    assert home.exists() != remove_home


@root
async def test_a_disabled_user_has_no_way_in_and_an_enabled_one_has_the_old_password(run, user):
    subprocess.run(["chpasswd"], input=f"{user}:old-one".encode(), check=True)
    before = shadow(user)[1]
    assert (await run("user_control", action="disable", user=user)).exit_code == 0
    assert (shadow(user)[1], shadow(user)[7]) == (f"!{before}", "1")
    assert (await run("user_control", action="enable", user=user)).exit_code == 0
    assert (shadow(user)[1], shadow(user)[7]) == (before, "")


@root
async def test_a_user_who_never_had_a_password_is_enabled_as_well(run, user):
    await run("user_control", action="disable", user=user)
    done = await run("user_control", action="enable", user=user)
    assert (done.exit_code, shadow(user)[7]) == (0, ""), done
    assert shadow(user)[1].startswith("!")


@root
async def test_a_reset_password_is_new_and_is_shown_to_nobody(run, user, agent):
    subprocess.run(["chpasswd"], input=f"{user}:old-one".encode(), check=True)
    before = shadow(user)[1]
    done = await run("user_control", action="reset_password", user=user)
    assert (done.exit_code, done.err) == (0, "")
    assert done.out == f"The password of {user} is now a random one that nobody has seen.\n"
    assert shadow(user)[1].startswith("$")
    assert shadow(user)[1] != before


@root
async def test_the_agents_own_user_is_not_taken_away(run):
    before = shadow("root")[1]
    for action in ("delete", "disable", "reset_password"):
        done = await run("user_control", action=action, user="root")
        assert (done.outcome, done.exit_code) == ("refused", None)
        assert done.reason.startswith("root is root or the agent's own user")
    assert shadow("root")[1] == before


@root
async def test_what_the_host_refuses_fails_in_its_own_words(run, user, name):
    done = await run("user_control", action="create", user=user)
    assert (done.outcome, done.exit_code, "already exists" in done.err) == ("exited", 9, True)
    done = await run("user_control", action="delete", user=f"{name}-x")
    assert (done.exit_code, "does not exist" in done.err) == (6, True)


SPY = """\
import json, os, sys
line = sys.stdin.read()
with open(sys.argv[1], "w") as file:
    json.dump([line, open("/proc/self/cmdline").read(), open("/proc/self/environ").read()], file)
"""


@pytest.mark.parametrize("given", [None, "s3cr:et one"])
def test_a_password_goes_by_standard_input_and_never_by_arguments_or_environment(given, tmp_path):
    (tmp_path / "spy.py").write_text(SPY)
    plan, seen = tmp_path / "plan", tmp_path / "seen"
    plan.write_text(json.dumps([[sys.executable, str(tmp_path / "spy.py"), str(seen)]]))
    environment = {"PATH": os.environ["PATH"]}
    read, write = os.pipe()
    if given is not None:
        os.write(write, given.encode() + b"\n")
        environment["PARAM_PASSWORD_FILE"] = f"/dev/fd/{read}"
    os.close(write)
    done = subprocess.run(
        own("programs/in_turn", str(plan), "alice"),
        env=environment,
        pass_fds=[read],
        capture_output=True,
        check=True,
    )
    os.close(read)
    line, *visible = json.loads(seen.read_text())
    name, _, password = line.removesuffix("\n").partition(":")
    assert name == "alice"
    assert password == given or (given is None and len(password) == 32)
    for text in (*visible, done.stdout.decode(), done.stderr.decode()):
        assert password not in text


@pytest.mark.parametrize("given", ["", "two\nlines"])
def test_a_password_that_can_not_be_one_is_refused_and_nothing_is_run(given, tmp_path):
    (tmp_path / "given").write_text(given)
    (tmp_path / "plan").write_text(json.dumps([["touch", str(tmp_path / "ran")]]))
    done = subprocess.run(
        own("programs/in_turn", str(tmp_path / "plan"), "alice"),
        env={"PATH": os.environ["PATH"], "PARAM_PASSWORD_FILE": str(tmp_path / "given")},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"empty or holds a character" in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("action", "script"),
    [
        ("create", "New-LocalUser -Name 'alice' -NoPassword"),
        ("delete", "Remove-LocalUser -Name 'alice'"),
        ("enable", "Enable-LocalUser -Name 'alice'"),
        ("disable", "Disable-LocalUser -Name 'alice'"),
        (
            "reset_password",
            "$line = [Console]::In.ReadLine(); "
            "$new = ConvertTo-SecureString $line.Split(':', 2)[1] -AsPlainText -Force; "
            "Set-LocalUser -Name 'alice' -Password $new",
        ),
    ],
)
def test_the_command_lines_on_windows(action, script):
    command = user_control.windows(UserControlPayload(action=action, user="alice"))
    assert command == ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", script]

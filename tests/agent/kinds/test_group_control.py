"""`group_control` on real groups of this host, as root."""

import subprocess

import pytest

from agent.kinds import group_control
from agent.payloads import GroupControlPayload


def members(group: str) -> set[str] | None:
    """Who is in the group, read by the host's own tool; None when there is no such group."""
    done = subprocess.run(["getent", "group", group], capture_output=True, text=True, check=False)
    return set(done.stdout.strip().split(":")[3].split(",")) - {""} if done.returncode == 0 else None


@pytest.mark.root
async def test_a_group_is_created_filled_emptied_and_deleted(run, account):
    async def change(action: str, **more: object) -> None:
        done = await run("group_control", action=action, group=account, **more)
        assert (done.outcome, done.exit_code) == ("exited", 0), done

    await change("create")
    assert members(account) == set()
    await change("add_members", members=["daemon", "bin"])
    assert members(account) == {"daemon", "bin"}
    await change("add_members", members=["daemon"])
    await change("remove_members", members=["daemon"])
    assert members(account) == {"bin"}
    await change("delete")
    assert members(account) is None


@pytest.mark.root
async def test_a_member_that_can_not_be_ends_it_and_is_named(run, account, name):
    await run("group_control", action="create", group=account)
    nobody = f"{name}-x"
    done = await run("group_control", action="add_members", group=account, members=["bin", nobody, "daemon"])
    assert (done.exit_code, nobody in done.err) == (3, True), done
    assert members(account) == {"bin"}
    done = await run("group_control", action="remove_members", group=account, members=["daemon"])
    assert (done.exit_code, "not a member" in done.err) == (3, True), done


@pytest.mark.root
async def test_a_group_that_is_not_there_can_not_be_deleted(run, name):
    done = await run("group_control", action="delete", group=name)
    assert (done.exit_code, "does not exist" in done.err) == (6, True)


@pytest.mark.parametrize(
    ("action", "commands"),
    [
        ("create", [["/add"]]),
        ("delete", [["/delete"]]),
        ("add_members", [["alice", "/add"], ["bob", "/add"]]),
        ("remove_members", [["alice", "/delete"], ["bob", "/delete"]]),
    ],
)
def test_the_command_lines_on_windows(action, commands):
    who = ["alice", "bob"] if "members" in action else []
    made = group_control.windows(GroupControlPayload(action=action, group="web", members=who))
    assert made == [["net.exe", "localgroup", "web", *command] for command in commands]

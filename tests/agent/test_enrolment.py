"""A host joins through the real command line; its identity is nobody else's to read."""

import asyncio
import base64
import contextlib
import fcntl
import os
import stat
import sys
import termios
from pathlib import Path

import pytest

from agent import identity


async def cli(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", *arguments, stdin=-1, stdout=-1, stderr=-1
    )
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def enrol(server, folder: Path, *more: str, secret: str = "ogs_right"):
    return await cli(
        "enrol",
        "--server",
        server.url,
        "--secret-file",
        "-",
        "--state",
        str(folder),
        *more,
        stdin=secret + "\n",
    )


async def test_enrolling_keeps_an_identity_that_only_its_owner_can_read(server, tmp_path):
    folder = tmp_path / "new" / "state"
    code, out, err = await enrol(server, folder, "--hostname", "web-1")
    assert (code, out, err) == (0, "Enrolled web-1 as host 3, agent 7.\n", "")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    known = identity.load(folder)
    asked = server.enrolments[0]
    assert base64.b64decode(asked["public_key"]) == known.private_key.public_key().public_bytes_raw()
    assert (asked["hostname"], asked["os"], asked["org_secret"]) == ("web-1", "linux", "ogs_right")
    assert "bash" in asked["facts"]["interpreters"]
    assert "oga_" not in repr(known)


async def test_a_refused_secret_is_told_in_the_servers_words_and_not_repeated(server, tmp_path):
    code, out, err = await enrol(server, tmp_path / "s", secret="ogs_wrong")
    assert (code, out) == (1, "")
    assert err == "Not enrolled: The server refused: The organisation secret is not known.\n"
    assert not identity.is_enrolled(tmp_path / "s")


async def test_a_secret_on_the_command_line_works_with_a_warning(server, tmp_path):
    code, _, err = await cli(
        "enrol", "--server", server.url, "--secret", "ogs_right", "--state", str(tmp_path / "s")
    )
    assert code == 0
    assert "prefer --secret-file" in err
    assert "ogs_right" not in err


@pytest.mark.parametrize(("mode", "said"), [(0o600, ""), (0o644, "Others on this host can read")])
async def test_a_file_with_the_secret_should_be_nobody_elses_to_read(server, tmp_path, mode, said):
    file = tmp_path / "secret"
    file.touch(mode)
    file.write_text("ogs_right\n")
    arguments = ("enrol", "--server", server.url, "--state", str(tmp_path / "s"))
    code, _, err = await cli(*arguments, "--secret-file", str(file))
    assert code == 0
    assert err.startswith(said)
    assert bool(err) == bool(said)


async def test_without_an_option_the_secret_is_read_from_standard_input(server, tmp_path):
    arguments = ("enrol", "--server", server.url, "--state", str(tmp_path / "s"))
    assert (await cli(*arguments, stdin="ogs_right\n"))[0] == 0
    assert server.enrolments[0]["org_secret"] == "ogs_right"


async def test_a_person_at_a_terminal_is_asked_and_what_is_typed_is_not_shown(server, tmp_path):
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", "enrol", "--server", server.url, "--state", str(tmp_path / "s")),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown = b""
    while b"secret: " not in shown:
        shown += await asyncio.to_thread(os.read, ours, 1024)
    os.write(ours, b"ogs_right\n")
    with contextlib.suppress(OSError):  # a terminal ends so on Linux
        while piece := await asyncio.to_thread(os.read, ours, 1024):
            shown += piece
    assert await process.wait() == 0
    assert b"Enrolled" in shown
    assert b"ogs_right" not in shown
    os.close(ours)


async def test_a_setting_of_the_environment_is_checked_like_an_option(tmp_path, monkeypatch):
    monkeypatch.setenv("OPSGATE_AGENT_SLOTS", "65")
    code, _, err = await cli("run", "--state", str(tmp_path))
    assert code == 2
    assert "slots" in err
    monkeypatch.setenv("OPSGATE_AGENT_SLOTS", "")
    monkeypatch.setenv("OPSGATE_AGENT_STATE", str(tmp_path / "from-the-environment"))
    code, _, err = await cli("run")
    assert code == 1
    assert "from-the-environment" in err


async def test_a_second_enrolment_needs_to_be_asked_for(server, tmp_path):
    assert (await enrol(server, tmp_path / "s"))[0] == 0
    code, _, err = await enrol(server, tmp_path / "s")
    assert code == 1
    assert "say --again" in err
    assert (await enrol(server, tmp_path / "s", "--again"))[0] == 0


async def test_plain_http_to_another_machine_is_refused(tmp_path):
    elsewhere = "http://opsgate.example:80"
    arguments = ["enrol", "--server", elsewhere, "--secret-file", "-", "--state", str(tmp_path / "s")]
    code, _, err = await cli(*arguments, stdin="ogs_right")
    assert code == 1
    assert "use https" in err


async def test_running_without_an_identity_says_what_to_do(tmp_path):
    code, _, err = await cli("run", "--state", str(tmp_path / "s"))
    assert code == 1
    assert "enrol this host first" in err


async def test_an_identity_that_others_can_read_is_refused(agent):
    (agent.folder / "token").chmod(0o640)
    code, _, err = await cli("run", "--state", str(agent.folder))
    assert code == 1
    assert "can be read by others" in err


async def test_two_agents_on_one_folder_are_refused(server, agent, soon):
    agent.start()
    await soon(lambda: server.polls)
    code, _, err = await cli("run", "--state", str(agent.folder))
    assert code == 1
    assert "Another agent already runs" in err


@pytest.mark.parametrize("slots", ["0", "65", "many"])
async def test_a_wrong_number_of_slots_is_wrong_use(slots, tmp_path):
    code, _, err = await cli("run", "--state", str(tmp_path), "--slots", slots)
    assert code == 2
    assert "slots" in err


async def test_an_agent_that_starts_says_what_its_host_is_until_it_is_heard(server, agent, fault, soon):
    fault("poll", "refuse", 2)
    agent.start()
    await soon(lambda: len(server.polls) >= 5)
    told = [poll["facts"] for poll in server.polls[:5]]
    assert "bash" in told[0]["interpreters"]
    assert told == [told[0]] * 3 + [None] * 2
    systems = [(poll["os"], poll["arch"]) for poll in server.polls[:5]]
    assert systems == [("linux", os.uname().machine)] * 3 + [(None, None)] * 2

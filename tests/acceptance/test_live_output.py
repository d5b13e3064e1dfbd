"""What a job prints, on the terminal of the person who waits for it: live, whole, harmless."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.test_job_lifecycle import dispatch, wait
from tests.live.stack import LiveStack, until

HOSTILE = r"printf 'a\000b\033[31mred\033]0;title\007\377\342\200\256c\n'; printf 'lost \342\202'"


def opsgate(live: LiveStack, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OPSGATE_PROFILE": str(live.folder.path / "cli.json")}
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ran(live: LiveStack, *arguments: str) -> tuple[bytes, str]:
    out, err = opsgate(live, *arguments).communicate(timeout=60)
    return out, err.decode()


def test_output_is_seen_while_the_job_runs(live: LiveStack, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    number = dispatch(live, f"echo first; while [ ! -e {gate} ]; do sleep 0.1; done; echo last")
    following = opsgate(live, "job", "logs", "-f", str(number))
    assert following.stdout is not None
    assert following.stdout.readline() == b"first\n"
    assert following.poll() is None
    gate.touch()
    out, _ = following.communicate(timeout=30)
    assert (out, following.returncode) == (b"last\n", 0)


def test_following_goes_on_without_a_gap_through_a_restart_of_the_server(live: LiveStack) -> None:
    lines = 100
    number = dispatch(live, f"for i in $(seq {lines}); do echo line $i; sleep 0.1; done")
    seen = []
    with opsgate(live, "job", "logs", "-f", str(number)) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        for _ in range(2):
            seen += [following.stdout.readline() for _ in range(20)]
            live.kill("web")
        seen += following.stdout.readlines()
        assert "The connection is lost" in following.stderr.read().decode()
    assert b"".join(seen).decode().splitlines() == [f"line {i}" for i in range(1, lines + 1)]
    assert following.returncode == 0
    assert wait(live, number, "completed")["exit_code"] == 0


@pytest.fixture(scope="module")
def hostile(live: LiveStack) -> int:
    number = dispatch(live, HOSTILE)
    wait(live, number, "completed")
    return number


@pytest.mark.parametrize("options", [(), ("-f",)])
def test_control_sequences_and_bytes_that_are_no_text_are_harmless(
    live: LiveStack, hostile: int, options: tuple[str, ...]
) -> None:
    out, err = ran(live, "job", "logs", str(hostile), *options)
    assert out.decode() == "a⟨U+0000⟩bred\N{REPLACEMENT CHARACTER}⟨U+202E⟩c\nlost \N{REPLACEMENT CHARACTER}"
    assert err == ""
    shown, _ = ran(live, "job", "show", str(hostile))
    assert b"\x1b" not in shown
    assert b"\0" not in shown


def test_raw_output_is_the_very_bytes(live: LiveStack, hostile: int) -> None:
    expected = b"a\0b\x1b[31mred\x1b]0;title\x07\xff\xe2\x80\xaec\nlost \xe2\x82"
    assert ran(live, "job", "logs", str(hostile), "--raw") == (expected, "")
    assert ran(live, "job", "logs", "-f", str(hostile), "--raw") == (expected, "")


def test_one_stream_can_be_had_alone(live: LiveStack) -> None:
    number = dispatch(live, "echo out; echo err >&2")
    wait(live, number, "completed")
    assert ran(live, "job", "logs", str(number), "--stream", "stdout") == (b"out\n", "")
    out, err = ran(live, "job", "logs", str(number), "--stream", "stderr")
    assert (out, err) == (b"", "err\n")


def test_output_beyond_the_cap_is_dropped_and_said(live: LiveStack) -> None:
    number = dispatch(live, "head -c 12000000 /dev/zero | tr '\\0' x")
    ended = wait(live, number, "completed", seconds=60)
    assert (ended["stdout_length"], ended["stdout_truncated"]) == (10 * 1024 * 1024, True)
    for options in ((), ("-f",)):
        out, err = ran(live, "job", "logs", str(number), *options)
        assert len(out) == 10 * 1024 * 1024
        assert f"truncated: stdout of job {number}" in err


def test_a_job_that_waits_says_why_while_it_is_followed(live: LiveStack) -> None:
    number = dispatch(live, "true", scheduled_at="2099-01-01T08:00:00+01:00")
    following = opsgate(live, "job", "logs", "-f", str(number))
    assert following.stderr is not None
    assert b"Scheduled for 2099-01-01 07:00 UTC" in following.stderr.readline()
    live.admin.post(f"/jobs/{number}/cancel")
    following.communicate(timeout=30)
    assert following.returncode == 0


def test_jobs_for_later_are_made_in_any_time_zone(live: LiveStack) -> None:
    at = "2099-07-01 08:00 America/New_York"
    out, _ = ran(live, "job", "run", "command", "true", "--host", "host-1", "--at", at)
    assert b"for 2099-07-01 12:00:00 UTC" in out
    number = int(out.decode().rsplit(" ", 1)[1].rstrip(".\n"))
    until(lambda: live.admin.get(f"/jobs/{number}").json()["status"] == "queued", 5, "the job")
    live.admin.post(f"/jobs/{number}/cancel")

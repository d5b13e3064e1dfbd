"""`opsgate demo` as a person runs it: real processes, a real agent, nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.cli.profile import NAME, read

ROOT = Path(__file__).parents[2]
OPSGATE = (sys.executable, "-m", "deployments.cli")

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder the demo is started in; its data is shared by the tests here, in their order."""
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    for process in left_behind(folder):
        os.kill(int(process.split()[0]), signal.SIGKILL)


def environment(folder: Path) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPSGATE_", "PREFECT_"))
    }
    return {**kept, "OPSGATE_DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT), "HOME": str(folder)}


def left_behind(folder: Path) -> list[str]:
    """Processes that were started for this folder and are still there: number and command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            ended = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if str(folder).encode() in told and not ended:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found.append(f"{process.name} {command}")
    return found


def read_until(demo: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    assert demo.stdout is not None
    seen = ""
    for line in demo.stdout:
        seen += line
        match = re.search(pattern, line)
        if match:
            return match
    raise AssertionError(f"the demo ended without {pattern!r}:\n{seen}")


def test_the_main_job_crosses_its_gate_and_everything_ends(place: Path):
    done = subprocess.run(
        [*OPSGATE, "demo", "--auto-approve"],
        env=environment(place),
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"admin, password \S{16}", done.stdout)
    assert re.search(r"Prefect: +http://127\.0\.0\.1:\d+/prefect/v2/runs/flow-run/", done.stdout)
    assert re.search(r"health_check +script +completed +[\d.]+ s +\S+ exit 0: {", done.stdout)
    assert re.search(r"approve +approval +completed", done.stdout)
    assert re.search(
        r"go_on +command +completed +[\d.]+ s +\S+ exit 0: Disk at \d+ percent, approved", done.stdout
    )
    assert left_behind(place) == []


def start(place: Path, command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*OPSGATE, command], env=environment(place), cwd=place, stdout=subprocess.PIPE, text=True
    )


def test_after_kill_9_at_its_gate_nothing_survives(place: Path):
    demo = start(place, "demo")
    read_until(demo, r"Waits for approval")
    demo.kill()
    demo.communicate()
    deadline = time.monotonic() + 30
    while left_behind(place) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_behind(place) == []


def test_the_next_one_cancels_what_was_left_and_a_person_approves_from_the_terminal(place: Path):
    demo = start(place, "demo")
    try:
        read_until(demo, r"Cancelled instance 2, ")
        request = read_until(demo, r"opsgate approval approve (\d+)").group(1)
        beside = environment(place)
        bob = {**beside, "OPSGATE_PROFILE": str(place / "data" / "bob.json")}
        subprocess.run(
            [*OPSGATE, "approval", "approve", request, "--yes"], env=bob, check=True, capture_output=True
        )
        read_until(demo, r"Instance 3 is completed")
        read_until(demo, r"stop it with Ctrl-C")
        second = subprocess.run(
            [*OPSGATE, "up"], env=beside, capture_output=True, text=True, check=False, timeout=30
        )
        assert second.returncode == 1
        assert "already running" in second.stderr
    finally:
        demo.send_signal(signal.SIGINT)
        out, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, out
    assert left_behind(place) == []


def test_up_has_the_same_data_and_address_and_stays_until_it_is_told_to_end(place: Path):
    profile = read(place / "data" / NAME)
    assert profile is not None
    stack = start(place, "up")
    try:
        assert read_until(stack, r"Opsgate: +(\S+)").group(1) == profile.url
    finally:
        stack.send_signal(signal.SIGTERM)
        stack.communicate(timeout=60)
    assert stack.returncode == 0
    assert left_behind(place) == []

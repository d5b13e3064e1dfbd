"""The data folder: private, remembered, and held by one stack at a time."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from definitions.errors import Conflict, Invalid
from deployments.stack.data_folder import DataFolder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def test_nobody_else_can_look_into_it(folder: DataFolder):
    assert mode(folder.path) == 0o700
    assert mode(folder.folder("logs")) == 0o700


def test_a_secret_is_made_once_and_readable_by_its_owner_only(folder: DataFolder):
    path = folder.secret_file("prefect-auth", "opsgate:")
    made = path.read_text()
    assert mode(path) == 0o600
    assert made.startswith("opsgate:")
    assert len(made) > 40
    assert folder.secret_file("prefect-auth", "opsgate:").read_text() == made


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("years of work")
    tmp_path.chmod(0o755)
    with pytest.raises(Invalid, match="holds other things"):
        DataFolder(tmp_path)
    assert mode(tmp_path) == 0o755


def test_ports_are_remembered(folder: DataFolder):
    first = folder.ports()
    assert first.web != first.prefect
    assert DataFolder(folder.path).ports() == first


def test_a_port_that_somebody_took_is_replaced(folder: DataFolder):
    first = folder.ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.web))
        taken.listen()
        second = folder.ports()
    assert second.web != first.web
    assert second.prefect == first.prefect


def test_two_stacks_never_share_a_folder(folder: DataFolder):
    said = f"already running.*process {os.getpid()}"
    with folder.claim(), pytest.raises(Conflict, match=said), DataFolder(folder.path).claim():
        pass


def test_a_killed_stack_holds_nothing(folder: DataFolder):
    program = (
        "import sys, time; from pathlib import Path\n"
        "from deployments.stack.data_folder import DataFolder\n"
        "with DataFolder(Path(sys.argv[1])).claim(): print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, folder.path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict), folder.claim():
            pass
        holder.kill()
        holder.wait()
    with folder.claim():
        pass

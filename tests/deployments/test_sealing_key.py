"""The sealing key: a process that would share it with others does not start."""

import os
import subprocess
import sys
from pathlib import Path


def web(key_file: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OPSGATE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "OPSGATE_SEALING_KEY_FILE": str(key_file),
    }
    command = [sys.executable, "-m", "deployments.cli", "web"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_key_file_that_others_may_read_keeps_the_web_process_from_starting(tmp_path: Path) -> None:
    key_file = tmp_path / "sealing-key"
    key_file.write_text("A" * 43)
    key_file.chmod(0o644)
    done = web(key_file)
    assert done.returncode == 1
    assert "can be read by others: chmod 600 it." in done.stderr
    assert "A" * 43 not in done.stderr


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = web(tmp_path / "nowhere")
    assert done.returncode == 1
    assert "nowhere can't be read" in done.stderr

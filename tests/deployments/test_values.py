"""Values on the command line: secret ones come from a file, a prompt or standard input."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.cli.errors import WrongUse
from deployments.cli.values import collect


def test_a_value_stands_in_the_option_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes("two\nlines ü\n".encode())
    given = ["a=1", "b=", "c=x=y", f"d=@{file}", "e=@@home"]
    found = collect(given, [], "--param")
    assert found == {"a": "1", "b": "", "c": "x=y", "d": "two\nlines ü\n", "e": "@home"}


def test_each_secret_is_a_line_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("first one\nsecond\r\n"))
    assert collect(["c=3"], ["a", "b"], "--param") == {"c": "3", "a": "first one", "b": "second"}


def test_on_a_terminal_a_secret_is_asked_for_and_not_echoed() -> None:
    program = "from deployments.cli.values import collect; print(len(collect([], ['key'], '--param')['key']))"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as asking:
        os.close(theirs)
        seen = b""
        while b"key: " not in seen:
            seen += os.read(ours, 100)
        os.write(ours, b"hunter2\n")
        while b"7" not in seen:
            seen += os.read(ours, 100)
    os.close(ours)
    assert asking.returncode == 0
    assert b"hunter2" not in seen


@pytest.mark.parametrize(
    ("given", "secrets", "words"),
    [
        (["mArKeR"], [], "--param should look like name=value"),
        (["=mArKeR"], [], "--param should look like name=value"),
        (["a=@/nowhere/mArKeR"], [], "can't be read from /nowhere"),
        (["a=mArKeR"], ["a"], "a is given twice"),
        ([], ["a"], "no line for a"),
    ],
)
def test_what_can_not_work_is_said_without_the_value(
    given: list[str], secrets: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(WrongUse, match=words) as wrong:
        collect(given, secrets, "--param")
    assert "mArKeR" not in wrong.value.message or "/nowhere/mArKeR" in wrong.value.message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(WrongUse, match="not text in UTF-8"):
        collect([f"a=@{file}"], [], "--param")

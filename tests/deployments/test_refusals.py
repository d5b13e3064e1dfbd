"""What the command line says of a refusal."""

import json

import pytest

from deployments.cli.errors import Refused, report

STALE = Refused(
    409,
    {
        "title": "Not possible now",
        "detail": "The draft of 'w' is at revision 2.",
        "diff": {
            "settings": "",
            "content": '--- revision 2\n+++ yours\n-  "seconds": 5\n+  "seconds": 60\x1b[31m',
        },
    },
)


def test_a_stale_save_shows_what_is_there_beside_what_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(STALE, as_json=False) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "Not possible now: The draft of 'w' is at revision 2.\n--- revision 2\n+++ yours\n"
    )
    assert '+  "seconds": 60' in said
    assert "\x1b" not in said


def test_a_program_reads_the_difference(capsys: pytest.CaptureFixture[str]) -> None:
    report(STALE, as_json=True)
    assert json.loads(capsys.readouterr().out)["diff"] == STALE.problem["diff"]

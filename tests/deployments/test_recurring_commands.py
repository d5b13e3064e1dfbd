"""`opsgate recurring` against a real server, and recurring jobs as files of a folder."""

from pathlib import Path

from tests.deployments.conftest import Enrol, Opsgate

FILE = """kind: recurring_job
name: nightly
cron: "0 2 * * *"
timezone: Europe/Berlin
job: {type: command, hosts: [HOST], payload: {command: uptime}}
"""


def test_it_is_applied_shown_switched_run_exported_and_archived(
    opsgate: Opsgate, enrol: Enrol, tmp_path: Path
) -> None:
    host = enrol("r")
    folder = tmp_path / "ops"
    folder.mkdir()
    (folder / "nightly.yaml").write_text(FILE.replace("HOST", "no-such-host"))
    refused = opsgate("apply", "-f", str(folder))
    assert (refused.code, "There is no host no-such-host" in refused.err) == (1, True)
    (folder / "nightly.yaml").write_text(FILE.replace("HOST", host))
    assert opsgate("apply", "-f", str(folder)).code == 0
    assert "1 unchanged" in opsgate("apply", "-f", str(folder)).out

    assert "nightly" in opsgate("recurring", "list").out
    assert "At 02:00 (Europe/Berlin)" in opsgate("recurring", "preview", "nightly").out
    assert len(opsgate("recurring", "preview", "nightly", "--count", "7", "--json").json["runs"]) == 7
    assert "is disabled" in opsgate("recurring", "disable", "nightly").out
    assert "disabled by" in opsgate("recurring", "show", "nightly").out
    assert "next run" in opsgate("recurring", "enable", "nightly").out
    ran = opsgate("recurring", "run", "nightly")
    assert (ran.code, ran.out.startswith("ran: Started by ")) == (0, True), ran.err
    assert "manual" in opsgate("recurring", "ticks", "nightly").out
    assert host in opsgate("recurring", "children", "nightly").out

    exported = tmp_path / "out"
    assert opsgate("export", str(exported)).code == 0
    assert "Europe/Berlin" in (exported / "recurring-jobs" / "nightly.yaml").read_text()
    assert opsgate("recurring", "archive", "nightly").code == 0
    assert "nightly" in opsgate("recurring", "list", "--archived").out
    assert opsgate("export", str(exported)).code == 0
    assert not (exported / "recurring-jobs" / "nightly.yaml").exists()

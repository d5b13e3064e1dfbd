"""`opsgate job` and `opsgate host` against a real web process: what people type and what comes back."""

import io
from datetime import UTC, datetime, timedelta

import pytest

from tests.deployments.conftest import Enrol, Opsgate, Server


def later(opsgate: Opsgate, host: str, command: str = "true") -> int:
    """A job that waits until tomorrow."""
    done = opsgate("job", "run", "command", command, "--host", host, "--at", "1d", "--json")
    assert done.code == 0, done.err
    number: int = done.json["jobs"][0]
    return number


def test_a_list_of_jobs_is_narrowed_by_every_filter(opsgate: Opsgate, enrol: Enrol):
    host, other = enrol("a"), enrol("b")
    kept, gone = later(opsgate, host), later(opsgate, host)
    elsewhere = later(opsgate, other)
    opsgate("job", "cancel", str(gone))

    def listed(*options: str) -> list[int]:
        done = opsgate("job", "list", "--json", *options)
        assert done.code == 0, done.err
        return [job["id"] for job in done.json if job["id"] in (kept, gone, elsewhere)]

    assert listed() == [elsewhere, gone, kept]
    assert listed("--host", host) == [gone, kept]
    assert listed("--host", host, "--status", "queued") == [kept]
    assert listed("--status", "queued", "--status", "cancelled") == [elsewhere, gone, kept]
    assert listed("--type", "script") == []
    assert listed("--created-by", "admin", "--since", "1h") == [elsewhere, gone, kept]
    assert listed("--until", "1h") == []
    assert listed("--limit", "1") == [elsewhere]


def test_a_list_says_why_jobs_wait(opsgate: Opsgate, enrol: Enrol):
    later(opsgate, enrol("a"))
    assert "Scheduled for" in " ".join(opsgate("job", "list", "--status", "queued").out.split())


def test_a_moment_without_an_offset_is_this_machines_and_shown_in_utc(opsgate: Opsgate, enrol: Enrol):
    host = enrol("a")
    tomorrow = (datetime.now() + timedelta(days=1)).replace(microsecond=0)
    done = opsgate("job", "run", "command", "true", "--host", host, "--at", tomorrow.isoformat())
    assert f"for {tomorrow.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" in done.out


@pytest.mark.parametrize("at", ["soon", "2026-13-01", "2027-01-31 08:00 Europe/Nowhere"])
def test_a_moment_that_is_none_is_wrong_use(opsgate: Opsgate, server: Server, at: str):
    done = opsgate("job", "run", "command", "true", "--host", "h", "--at", at, beside=server)
    assert done.code == 2
    assert "--at" in done.err


def test_a_job_is_shown_cancelled_and_deleted(opsgate: Opsgate, enrol: Enrol):
    number = str(later(opsgate, enrol("a")))
    assert "retry count" in opsgate("job", "show", number).out
    assert opsgate("job", "delete", number).code == 1
    assert "cancelled" in opsgate("job", "cancel", number).out
    assert opsgate("job", "retry", number).code == 1
    assert opsgate("job", "delete", number).code == 0
    assert opsgate("job", "logs", number, "-f").code == 1


def test_a_password_reset_reads_the_password_where_nobody_sees_it(
    opsgate: Opsgate, enrol: Enrol, monkeypatch
):
    fields = ("--set", "action=reset_password", "--set", "user=alice", "--secret", "password")
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2 hunter2\n"))
    done = opsgate("job", "run", "user_control", *fields, "--host", enrol("a"), "--at", "1d", "--json")
    assert done.code == 0, done.err
    shown = opsgate("job", "show", str(done.json["jobs"][0]), "--json")
    assert shown.json["payload"]["secrets"] == ["PARAM_PASSWORD_FILE"]
    assert "hunter2" not in shown.out


def test_hosts_are_tagged_grouped_and_found_by_it(opsgate: Opsgate, enrol: Enrol):
    host, other = enrol("a"), enrol("b")
    label = f"l-{host}"

    def found(*options: str) -> list[str]:
        return [each["name"] for each in opsgate("host", "list", "--json", *options).json]

    opsgate("host", "tag", host, label, "web")
    assert opsgate("host", "tag", host, "prod", "--add").out == f"{host}: {label}, prod, web\n"
    assert opsgate("host", "tag", host, "web", "--remove", "--json").json["tags"] == [label, "prod"]
    assert found("--tag", label) == [host]
    opsgate("host", "group", other, label)
    assert found("--group", label) == [other]
    assert {"name": label, "hosts": [other]} in opsgate("host", "groups", "--json").json
    targets = ("--host", f"tag:{label}", "--host", f"group:{label}")
    done = opsgate("job", "run", "command", "true", *targets, "--at", "1d", "--json")
    assert len(done.json["jobs"]) == 2
    assert opsgate("host", "tag", host).out == f"{host}: no tags\n"
    assert opsgate("host", "tag", host, "no good").code == 1


def test_a_host_shows_its_agent_and_its_facts_harmlessly(opsgate: Opsgate, enrol: Enrol):
    host = enrol("a")
    shown = opsgate("host", "show", host)
    assert "agent version" in shown.out
    assert "fact kernel" in shown.out
    assert "\x1b" not in shown.out
    assert host in [each["name"] for each in opsgate("host", "list", "--offline", "--json").json]


def test_a_decommissioned_host_comes_back_once_somebody_allows_it(opsgate: Opsgate, enrol: Enrol):
    host = enrol("a")
    opsgate("host", "decommission", host)
    with pytest.raises(AssertionError, match="already a host"):
        enrol("a")
    assert f"{host} may enrol again until" in opsgate("host", "allow-reenrolment", host).out
    assert enrol("a") == host
    assert opsgate("host", "show", host, "--json").json["decommissioned_at"] is None


def test_decommissioning_says_which_jobs_failed(opsgate: Opsgate, enrol: Enrol):
    host = enrol("a")
    number = later(opsgate, host)
    done = opsgate("host", "decommission", host)
    assert f"{host} is decommissioned" in done.out
    assert f"job {number}" in done.out
    assert opsgate("job", "show", str(number), "--json").json["reason"] == "The host was decommissioned."
    assert host in [each["name"] for each in opsgate("host", "list", "--decommissioned", "--json").json]

"""`opsgate notice`: the address comes by standard input, and is not seen again."""

import io

import pytest

from tests.deployments.conftest import Opsgate, Server

ADDRESS = "slack://s3cretA/s3cretB/s3cretC"


def given(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(line + "\n"))


def test_a_channel_is_added_listed_tested_and_removed(
    opsgate: Opsgate, keyed_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, ADDRESS)
    added = opsgate("notice", "add", "room", "--role", "approver", "--json", beside=keyed_server)
    assert added.code == 0, added.err
    number = str(added.json["id"])
    assert opsgate("notice", "test", number).code == 0
    listed = opsgate("notice", "list", "--every")
    assert "Slack (slack://***)" in listed.out
    assert opsgate("notice", "list").out == "Nothing here.\n", "it is the role's"
    waiting = opsgate("notice", "deliveries", "--state", "waiting", "--json").json
    assert [row["title"] for row in waiting] == ["Opsgate: a test"]
    refused = opsgate("notice", "retry", str(waiting[0]["id"]))
    assert (refused.code, "has not been given up" in refused.err) == (1, True)
    assert opsgate("notice", "remove", number).code == 0
    assert "s3cret" not in added.out + listed.out + opsgate("audit", "list", "--json").out


def test_an_address_that_is_not_taken_is_refused_with_every_problem(
    opsgate: Opsgate, keyed_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, "exec://s3cret")
    done = opsgate("notice", "add", "x", "--event", "nonsense", beside=keyed_server)
    assert done.code == 1
    assert "/url" in done.err
    assert "/events" in done.err
    assert "s3cret" not in done.out + done.err

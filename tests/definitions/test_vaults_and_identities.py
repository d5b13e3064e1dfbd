"""Vaults and identities as people write them: read, written back, and every problem at once."""

import json
from typing import Any

import pytest

from definitions.identity import parse_identity
from definitions.secret_place import place_of
from definitions.vault import parse_vault

TOKEN = {"method": "token", "token": "file:/etc/opsgate/token"}
APPROLE = {"method": "approle", "role_id": "r", "secret_id": "env:OPSGATE_VAULT_SECRET_ID"}
VAULT: dict[str, Any] = {"name": "main", "address": "https://vault.example.org:8200", "auth": TOKEN}
IDENTITY: dict[str, Any] = {
    "name": "db_admin",
    "vault": "main",
    "source": "database_static",
    "path": "database/app",
    "username": "app",
}
APPROVAL = {"approvers": ["role:admin"]}
ROTATED_BY_ITS_HOST = {"source": "kv_password", "host": "web-1", "rotate_after_use": True}


def test_a_vault_is_read_and_written_back() -> None:
    document = {"kind": "vault", **VAULT, "namespace": "team", "ca_file": "/etc/ca.pem", "auth": APPROLE}
    vault, problems = parse_vault(document)
    assert problems == []
    assert vault is not None
    assert parse_vault(json.loads(json.dumps(vault.document()))) == (vault, [])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"auth": None}, ("missing-field", "/auth")),
        ({"auth": 5}, ("wrong-type", "/auth")),
        ({"auth": {"method": "tokn"}}, ("unknown-word", "/auth/method")),
        ({"auth": {**TOKEN, "token": "hvs.secret"}}, ("bad-form", "/auth/token")),
        ({"auth": {"method": "approle", "secret_id": "env:X"}}, ("missing-field", "/auth/role_id")),
        ({"address": ""}, ("empty", "/address")),
        ({"address": 5}, ("wrong-type", "/address")),
        ({"address": "vault.example.org"}, ("bad-form", "/address")),
        ({"address": "https://me:secret@vault"}, ("bad-form", "/address")),
        ({"address": "https://vault:port"}, ("bad-form", "/address")),
        ({"address": "https://vault/v1/"}, ("bad-form", "/address")),
        ({"address": "http://vault.example.org"}, ("not-encrypted", "/address")),
        ({"address": "http://10.0.0.1:8200"}, ("not-encrypted", "/address")),
        ({"ca_file": "ca.pem"}, ("bad-form", "/ca_file")),
        ({"kind": "identity"}, ("wrong-kind", "/kind")),
        ({"name": "a/b"}, ("bad-name", "/name")),
        ({"token": "hvs.secret"}, ("unknown-key", "/token")),
    ],
)
def test_what_is_wrong_with_a_vault_is_said(change: dict[str, Any], found: tuple[str, str]) -> None:
    vault, problems = parse_vault({**VAULT, **change})
    assert vault is None
    assert found in [(problem.code, problem.pointer) for problem in problems]
    assert "secret" not in " ".join(problem.message for problem in problems if problem.code != "bad-form")
    assert "hvs.secret" not in str(problems)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8200", "http://[::1]:8200", "http://localhost:8200/"])
def test_a_vault_of_this_machine_may_do_without_tls(address: str) -> None:
    assert parse_vault({**VAULT, "address": address})[1] == []


@pytest.mark.parametrize("parse", [parse_vault, parse_identity])
def test_a_list_and_a_date_are_no_definition(parse: Any) -> None:
    assert [problem.code for problem in parse([])[1]] == ["wrong-type"]
    assert [problem.code for problem in parse({"name": float("nan")})[1]] == ["not-json"]


def test_references_name_a_place_and_never_opsgates_own_variables() -> None:
    assert place_of("env:VAULT_TOKEN") == ("env", "VAULT_TOKEN")
    assert place_of("env:OPSGATE_VAULT_TOKEN") == ("env", "OPSGATE_VAULT_TOKEN")
    assert place_of("file:/a b") == ("file", "/a b")
    for wrong in ("env:OPSGATE_DATABASE_URL", "env:opsgate_token", "env:1", "file:token", "file:/a\n", "x"):
        assert place_of(wrong) is None, wrong


def test_an_identity_is_read_and_written_back() -> None:
    document = {
        **IDENTITY,
        "kind": "identity",
        "requires_approval": True,
        "approval": APPROVAL,
        "rotate_after_use": True,
        "used_by": ["role:operator"],
    }
    identity, problems = parse_identity(document)
    assert problems == []
    assert identity is not None
    assert (identity.credential_type, identity.place) == ("database", ("database", "app"))
    assert parse_identity(json.loads(json.dumps(identity.document()))) == (identity, [])


def test_a_mount_may_have_a_slash_in_it() -> None:
    deep = {**IDENTITY, "source": "kv_password", "path": "team/kv/web/deploy", "mount": "team/kv"}
    identity, problems = parse_identity(deep)
    assert problems == []
    assert identity is not None
    assert identity.place == ("team/kv", "web/deploy")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"name": "db admin"}, ("bad-form", "/name")),
        ({"name": "inputs"}, ("reserved-name", "/name")),
        ({"name": "step_one"}, ("reserved-name", "/name")),
        ({"source": "kv"}, ("unknown-word", "/source")),
        ({"path": "database"}, ("bad-form", "/path")),
        ({"path": "secret/../sys/raw"}, ("bad-form", "/path")),
        ({"mount": "other"}, ("bad-form", "/mount")),
        ({"username": "-l"}, ("bad-form", "/username")),
        ({"domain": " CORP"}, ("bad-form", "/domain")),
        ({"requires_approval": True}, ("missing-field", "/approval")),
        ({"approval": {"approvers": []}}, ("empty", "/approval/approvers")),
        ({"approval": {**APPROVAL, "quorum": 2}}, ("unknown-key", "/approval/quorum")),
        ({"source": "kv_ssh_key", "rotate_after_use": True}, ("not-possible", "/rotate_after_use")),
        ({"source": "kv_password", "rotate_after_use": True}, ("missing-field", "/host")),
        ({**ROTATED_BY_ITS_HOST, "domain": "CORP"}, ("not-possible", "/rotate_after_use")),
        ({**ROTATED_BY_ITS_HOST, "username": "root"}, ("not-possible", "/rotate_after_use")),
        ({"max_checkout_minutes": 0}, ("out-of-range", "/max_checkout_minutes")),
        ({"exclusive": "yes"}, ("wrong-type", "/exclusive")),
        ({"used_by": ["role:"]}, ("bad-form", "/used_by/0")),
    ],
)
def test_what_is_wrong_with_an_identity_is_said(change: dict[str, Any], found: tuple[str, str]) -> None:
    identity, problems = parse_identity({**IDENTITY, **change})
    assert identity is None
    assert found in [(problem.code, problem.pointer) for problem in problems]


def test_all_problems_of_an_identity_come_at_once() -> None:
    _, problems = parse_identity({**IDENTITY, "source": "kv", "approval": {}, "extra": 1, "kind": "vault"})
    assert {problem.pointer for problem in problems} == {"/source", "/approval/approvers", "/extra", "/kind"}

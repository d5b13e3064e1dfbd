"""Vaults and identities from the command line: applied, exported, tried out, by who may."""

from pathlib import Path

import pytest

from tests.deployments.conftest import Enrol, Opsgate, Server, connection
from tests.live.vault import LiveVault

VAULT = """kind: vault
name: NAME
address: ADDRESS
auth: {method: approle, role_id: opsgate, secret_id: 'file:FILE'}
"""
IDENTITY = """kind: identity
name: NAME
vault: v-NAME
source: kv_password
path: secret/web/deploy
username: deploy
requires_approval: true
approval: {approvers: ['role:admin']}
"""


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of the identity; with v- in front, of its vault."""
    return str(request.node.name)[5:60]


@pytest.fixture
def folder(tmp_path: Path, vault: LiveVault, name: str) -> Path:
    """A vault and an identity in it; the identity's file comes first by name."""
    made = tmp_path / "definitions"
    made.mkdir()
    address, secret_id = vault.bao.address, str(vault.bao.secret_id_file)
    text = VAULT.replace("ADDRESS", address).replace("FILE", secret_id).replace("NAME", f"v-{name}")
    (made / "vault.yaml").write_text(text)
    (made / "identity.yaml").write_text(IDENTITY.replace("NAME", name))
    return made


def test_an_applied_vault_is_tried_out_and_an_export_says_the_same(
    opsgate: Opsgate, server: Server, folder: Path, name: str, tmp_path: Path
):
    applied = opsgate("apply", "-f", str(folder), "--json", beside=server)
    assert applied.code == 0, applied.err
    assert [(each["kind"], each["change"]) for each in applied.json] == [
        ("vault", "created"),
        ("identity", "created"),
    ]
    tried = opsgate("vault", "test", f"v-{name}")
    assert (tried.code, "knows Opsgate, with the policies: opsgate" in tried.out) == (0, True)
    assert f"v-{name}"[:40] in opsgate("vault", "list").out
    shown = opsgate("identity", "show", name)
    assert ("secret/web/deploy" in shown.out, "requires approval: yes" in shown.out) == (True, True)
    assert opsgate("export", str(tmp_path / "out")).code == 0
    again = opsgate("apply", "-f", str(tmp_path / "out"), "--json")
    assert {each["change"] for each in again.json if each["kind"] in ("vault", "identity")} == {"unchanged"}


def test_a_workflow_is_proved_against_the_identities_of_its_folder(
    opsgate: Opsgate, server: Server, folder: Path, name: str
):
    step = f"{{id: get_in, type: pam_checkout, identity: {name}, variable_name: op, reason: Upkeep}}"
    file = folder / "workflow.yaml"
    file.write_text(
        f"kind: workflow\nname: w-{name}\nsteps:\n- {step}\n- {step.replace('get_in', 'again')}\n"
    )
    applied = opsgate("apply", "-f", str(folder), "--json", beside=server)
    assert (applied.code, [each["change"] for each in applied.json]) == (0, ["created"] * 3), applied.err
    identity = folder / "identity.yaml"
    identity.write_text(identity.read_text() + "exclusive: true\n")
    refused = opsgate("apply", "-f", str(folder))
    assert refused.code == 1
    assert f"error at /steps/1/identity: workflow.yaml: `{name}` is exclusive" in refused.err


def test_a_vault_that_does_not_let_opsgate_in_is_told_and_fails_the_command(
    opsgate: Opsgate, server: Server, folder: Path, name: str
):
    wrong = folder / "wrong"
    wrong.write_text("no-such-secret-id")
    file = folder / "vault.yaml"
    kept = file.read_text()
    file.write_text(kept[: kept.index("file:")] + f"file:{wrong}'}}\n")
    (folder / "identity.yaml").unlink()
    assert opsgate("apply", "-f", str(folder), beside=server).code == 0
    tried = opsgate("vault", "test", f"v-{name}")
    assert (tried.code, "does not know the AppRole" in tried.out) == (1, True)
    assert "no-such-secret-id" not in tried.out + tried.err


def test_an_export_leaves_alone_what_one_may_not_see(
    opsgate: Opsgate, server: Server, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert opsgate("apply", "-f", str(folder), beside=server).code == 0
    out = tmp_path / "out"
    assert opsgate("export", str(out)).code == 0
    before = sorted(path.name for path in (out / "vaults").iterdir())
    token = connection(server).post("/tokens", {"name": "bob's", "user": "bob"})["token"]
    monkeypatch.setenv("OPSGATE_URL", server.url)
    monkeypatch.setenv("OPSGATE_TOKEN", token)
    done = opsgate("export", str(out), "--json")
    assert done.code == 0, done.err
    assert done.json["left_out"] == ["vaults", "identities"]
    assert sorted(path.name for path in (out / "vaults").iterdir()) == before


SCRIPT = """kind: script
name: s-NAME
language: bash
content: id
run_as: NAME
"""


def test_a_script_runs_as_an_identity_by_a_checkout_that_is_looked_at_and_ended(
    opsgate: Opsgate, server: Server, folder: Path, name: str, enrol: Enrol, tmp_path: Path
):
    (folder / "script.yaml").write_text(SCRIPT.replace("NAME", name))
    identity = folder / "identity.yaml"
    identity.write_text(identity.read_text().replace("role:admin", "role:approver"))
    host = enrol("web")
    assert opsgate("apply", "-f", str(folder), beside=server).code == 0
    assert f"run as: {name}" in opsgate("script", "show", f"s-{name}").out
    assert opsgate("export", str(tmp_path / "out")).code == 0
    again = opsgate("apply", "-f", str(tmp_path / "out"), "--json")
    assert {each["change"] for each in again.json if each["name"] == f"s-{name}"} == {"unchanged"}

    ran = opsgate("script", "run", f"s-{name}", "--host", host, "--reason", "Ticket 7.", "--no-wait")
    assert ran.code == 0, ran.err
    assert f"Runs as {name}, by checkout" in ran.err
    assert "Waits for the approval" in ran.err
    (row,) = opsgate("checkout", "list", "--identity", name, "--json").json
    number, job = str(row["id"]), row["jobs"][0]
    assert f"waited for by {row['person']} for job {job} (checkout {number})" in " ".join(
        opsgate("identity", "show", name).out.split()
    )
    shown = opsgate("checkout", "show", number).out
    for words in ("Ticket 7.", "checkout.request", "requested", f"approval id       {row['approval_id']}"):
        assert words in shown, words
    assert f"job {job}" in opsgate("checkout", "list", "--identity", name).out
    assert opsgate("checkout", "checkin", number).out == f"Checkout {number} of {name} is ended.\n"
    refused = opsgate("checkout", "checkin", number)
    assert (refused.code, "has ended already" in refused.err) == (1, True)

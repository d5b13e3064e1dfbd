"""The command line against a real web process: what people type and what comes back."""

import stat
from io import StringIO
from pathlib import Path

import pytest

from deployments.cli.profile import login_path
from tests.deployments.conftest import Opsgate, Server, web_process

SCRIPT = "kind: script\nname: {name}\nlanguage: bash\ncontent: echo hello\n"
WORKFLOW = """\
kind: workflow
name: {name}
steps:
  - {{id: ask, type: command, command: echo ready}}
"""


@pytest.fixture
def definitions(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with a script and a workflow of this test's own names."""
    name = request.node.name.replace("_", "-")[:40]
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "script.yaml").write_text(SCRIPT.format(name=f"s-{name}"))
    (folder / "workflow.yaml").write_text(WORKFLOW.format(name=f"w-{name}"))
    return folder


def test_it_works_beside_a_running_stack_without_being_told_anything(opsgate: Opsgate, server: Server):
    done = opsgate("user", "list", "--json", beside=server)
    assert done.code == 0
    assert {"admin", "bob"} <= {user["name"] for user in done.json}


def test_the_local_profile_is_private(server: Server):
    assert stat.S_IMODE((server.folder.path / "cli.json").stat().st_mode) == 0o600


def test_a_refusal_is_shown_as_sentences(opsgate: Opsgate, server: Server, definitions: Path):
    opsgate("apply", "-f", str(definitions), beside=server)
    name = (definitions / "workflow.yaml").read_text().split("name: ")[1].split()[0]
    done = opsgate("workflow", "start", name, "--host", "no-such-host")
    assert done.code == 1
    assert "no-such-host" in done.err
    assert "Traceback" not in done.err


def test_a_refusal_as_json_is_the_problem_document(opsgate: Opsgate, server: Server):
    done = opsgate("instance", "show", "999999", "--json", beside=server)
    assert done.code == 1
    assert done.json["status"] == 404


def test_a_made_up_password_signs_its_owner_in(opsgate: Opsgate, server: Server, tmp_path: Path):
    made = opsgate("user", "create", "carol", "--role", "viewer", "--json", beside=server)
    (tmp_path / "password").write_text(made.json["password"] + "\n")
    done = opsgate("login", server.url, "--name", "carol", "--password-file", str(tmp_path / "password"))
    assert done.code == 0, done.err
    assert stat.S_IMODE(login_path().stat().st_mode) == 0o600
    assert made.json["password"] not in login_path().read_text()


def test_a_password_may_come_by_standard_input(
    opsgate: Opsgate, server: Server, monkeypatch: pytest.MonkeyPatch
):
    made = opsgate("user", "create", "gina", "--role", "viewer", "--json", beside=server)
    sign_in = ("login", server.url, "--name", "gina")
    monkeypatch.setattr("sys.stdin", StringIO(made.json["password"] + "\n"))
    done = opsgate(*sign_in)
    assert (done.code, done.err) == (0, "")
    assert "no line for Password" in opsgate(*sign_in).err
    lost = opsgate(*sign_in, "--password-file", "lost")
    assert (lost.code, "can't be read from lost" in lost.err) == (2, True)


def test_a_wrong_password_is_refused_in_words(opsgate: Opsgate, server: Server, tmp_path: Path):
    (tmp_path / "password").write_text("wrong")
    done = opsgate("login", server.url, "--name", "bob", "--password-file", str(tmp_path / "password"))
    assert done.code == 1
    assert not login_path().exists()


def test_a_lost_password_is_replaced_and_an_account_closed(opsgate: Opsgate, server: Server, tmp_path: Path):
    opsgate("user", "create", "frida", "--role", "viewer", beside=server)
    new = opsgate("user", "password", "frida", "--json", beside=server).json["password"]
    (tmp_path / "password").write_text(new)
    sign_in = ("login", server.url, "--name", "frida", "--password-file", str(tmp_path / "password"))
    assert opsgate(*sign_in).code == 0

    changed = opsgate("user", "change", "frida", "--role", "approver", "--disabled", "--json", beside=server)
    assert (changed.json[0]["roles"], changed.json[0]["disabled_at"] is None) == (["approver"], False)
    assert "disabled" in opsgate(*sign_in).err
    assert opsgate("user", "change", "frida", beside=server).code == 2


def test_a_viewer_may_not_make_secrets(opsgate: Opsgate, server: Server, monkeypatch: pytest.MonkeyPatch):
    made = opsgate("user", "create", "dave", "--role", "viewer", "--json", beside=server)
    monkeypatch.delenv("OPSGATE_DATA_DIR")
    Path("p").write_text(made.json["password"])
    opsgate("login", server.url, "--name", "dave", "--password-file", "p")
    done = opsgate("org-secret", "create", "mine")
    assert done.code == 1
    assert "hosts.manage" in done.err


def test_an_organisation_secret_is_shown_once(opsgate: Opsgate, server: Server):
    secret = opsgate("org-secret", "create", "rollout", "--uses", "3", beside=server).out.strip()
    assert secret.startswith("ogs_")
    listed = opsgate("org-secret", "list", "--json")
    assert secret not in listed.out
    (row,) = (row for row in listed.json if row["name"] == "rollout")
    assert (row["uses"], row["max_uses"]) == (0, 3)


@pytest.mark.parametrize(
    "noun", ["workflow", "instance", "approval", "script", "library", "job", "host", "role", "audit"]
)
def test_every_list_can_be_had_as_a_table_and_as_json(opsgate: Opsgate, server: Server, noun: str):
    assert opsgate(noun, "list", beside=server).code == 0
    assert isinstance(opsgate(noun, "list", "--json").json, list)


def test_the_doctor_finds_a_running_server_and_a_misspelled_setting(
    opsgate: Opsgate, postgres: str, migrated_template: str, tmp_path: Path
):
    # One of its own: to the other belong hosts of other tests, whose agents never come.
    with web_process(postgres, migrated_template, tmp_path / "alone") as alone:
        done = opsgate("doctor", beside=alone)
        assert done.code == 0, done.out
        assert f"ok    {alone.url} is ready" in done.out
        Path("opsgate.toml").write_text('pubic_url = "https://x"\n')
        done = opsgate("doctor")
    assert done.code == 1
    assert "'pubic_url'" in done.out


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        (("action=ping", "port=5"), "/payload/host", "the action `ping` needs it"),
        (("action=port_check", "host=a", "port=http"), "/payload/port", "must be a whole number"),
        (("action=ping", "host=$(id)"), "/payload/host", "neither the name nor the address"),
        (("action=pin", "host=a"), "/payload/action", "Did you mean `ping`?"),
        (("action=netstat", "hots=a"), "/payload/hots", "has no field `hots`"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_naming_the_field(
    fields: tuple[str, ...], pointer: str, words: str, opsgate: Opsgate, server: Server
):
    options = [word for field in fields for word in ("--set", field)]
    done = opsgate("job", "run", "network_diagnostic", *options, "--host", "web-1", beside=server)
    assert done.code == 1
    assert f"error at {pointer}: " in done.err
    assert words in done.err


@pytest.mark.parametrize(
    "options",
    [
        ("--set", "action"),
        ("--payload", "{}", "--set", "a=b"),
        ("--payload", "{}", "true"),
        ("--payload", "{"),
        (),
    ],
)
def test_a_payload_that_can_not_be_read_is_wrong_use(
    options: tuple[str, ...], opsgate: Opsgate, server: Server
):
    assert opsgate("job", "run", "command", *options, "--host", "a", beside=server).code == 2


def test_the_job_types_are_listed_with_their_priorities_and_fields(opsgate: Opsgate):
    listed = {row["type"]: row for row in opsgate("job", "types", "--json").json}
    assert len(listed) == 8
    assert listed["service_control"]["priority"] == "critical"
    assert listed["network_diagnostic"]["priority"] == "high"
    assert listed["group_control"]["fields"]["members"] == "a list"
    assert "members: a list" in opsgate("job", "types").out


def test_what_is_a_secret_says_the_version_that_would_run_not_the_draft(
    opsgate: Opsgate, server: Server, tmp_path: Path
):
    for draft, kind in (("false", "secret"), ("true", "string")):
        steps = "steps: [{id: a, type: delay, seconds: 1}]"
        text = (
            f"kind: workflow\nname: keyed\ndraft: {draft}\ninputs: [{{name: key, type: {kind}}}]\n{steps}\n"
        )
        (tmp_path / "w.yaml").write_text(text)
        assert opsgate("apply", "-f", str(tmp_path), beside=server).code == 0
    done = opsgate("workflow", "start", "keyed", "--host", "web-1", "--input", "key=hunter2", beside=server)
    assert (done.code, "key is a secret" in done.err) == (2, True)

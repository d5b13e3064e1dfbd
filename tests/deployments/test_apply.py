"""`opsgate apply` against a real server: what it shows, what it refuses before it writes, what it writes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.cli.apply import carry_out
from deployments.cli.errors import Refused
from deployments.cli.plan import make_plan
from tests.deployments.conftest import Opsgate, Server, connection

Write = Callable[[str, str], Path]

SCRIPT = "kind: script\nname: s-NAME\nlanguage: bash\ncontent_file: body.sh\n"


def workflow(step: str, name: str = "w-NAME") -> str:
    """A workflow of one step."""
    return f"kind: workflow\nname: {name}\nsteps: [{{id: a, {step}}}]\n"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that only this test uses on the server."""
    return str(request.node.name).replace("_", "-")[5:60]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "definitions"
    made.mkdir()
    return made


@pytest.fixture
def write(folder: Path, name: str) -> Write:
    """Write a file; NAME in it is this test's."""

    def put(place: str, text: str) -> Path:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("NAME", name))
        return path

    return put


@pytest.fixture
def both(write: Write) -> None:
    """A script and a workflow that runs it."""
    write("script.yaml", SCRIPT)
    write("body.sh", "echo one\necho two\necho three\n")
    write("workflow.yaml", workflow("type: script, script: s-NAME"))


@pytest.fixture
def apply(opsgate: Opsgate, server: Server, folder: Path) -> Callable[..., object]:
    return lambda *options: opsgate("apply", "-f", str(folder), *options, beside=server)


def changes(done) -> list[str]:
    assert done.code == 0, done.err
    return [entry["change"] for entry in done.json]


@pytest.mark.usefixtures("both")
def test_applying_twice_changes_nothing(apply, opsgate: Opsgate, name: str):
    assert changes(apply("--json")) == ["created", "created"]
    before = opsgate("workflow", "show", f"w-{name}", "--json").json
    assert before["published_version"] == 1
    assert changes(apply("--json")) == ["unchanged", "unchanged"]
    assert opsgate("workflow", "show", f"w-{name}", "--json").json == before


@pytest.mark.usefixtures("both")
def test_the_difference_is_shown_before_anything_is_written(apply, write: Write, name: str):
    first = apply()
    assert f"created   script    s-{name}" in first.out
    assert "+++ body.sh\n@@ -0,0 +1,3 @@\n+echo one\n" in first.out
    assert "2 created, 0 changed, 0 unchanged.\nDone." in first.out
    write("body.sh", "echo one\necho 2\necho three")
    write(
        "script.yaml",
        "kind: script\nname: s-NAME\nlanguage: bash\ncontent_file: body.sh\ntimeout_seconds: 9\n",
    )
    second = apply()
    assert f"--- server/scripts/s-{name} (content)\n+++ body.sh\n" in second.out
    assert " echo one\n-echo two\n-echo three\n+echo 2\n+echo three\n\\ No newline at end" in second.out
    assert "-timeout_seconds: 300\n+timeout_seconds: 9\n" in second.out
    assert "0 created, 1 changed, 1 unchanged.\n" in second.out


@pytest.mark.usefixtures("both")
def test_a_dry_run_says_what_would_change_and_changes_nothing(apply, write: Write):
    assert changes(apply("--dry-run", "--json")) == ["created", "created"]
    assert changes(apply("--json")) == ["created", "created"]
    write("body.sh", "true\n")
    shown = apply("--dry-run")
    assert "-echo one\n" in shown.out
    assert "Nothing is written. It would be: 0 created, 1 changed, 1 unchanged." in shown.out
    assert changes(apply("--json")) == ["changed", "unchanged"]
    assert changes(apply("--json")) == ["unchanged", "unchanged"]


@pytest.mark.usefixtures("both")
def test_a_file_written_another_way_that_says_the_same_is_unchanged(apply, write: Write, folder: Path):
    apply()
    (folder / "script.yaml").unlink()
    write(
        "script.json",
        '{"libraries": [], "run_as": null, "timeout_seconds": 300, "language": "bash", '
        '"name": "s-NAME", "kind": "script", "content_file": "body.sh"}',
    )
    assert changes(apply("--json")) == ["unchanged", "unchanged"]


@pytest.mark.usefixtures("both")
def test_a_workflow_that_names_its_script_by_id_is_the_same_one(
    apply, opsgate: Opsgate, write: Write, name: str
):
    apply()
    number = opsgate("script", "show", f"s-{name}", "--json").json["id"]
    write("workflow.yaml", workflow(f"type: script, config: {{script_id: {number}}}"))
    assert changes(apply("--json")) == ["unchanged", "unchanged"]


@pytest.mark.usefixtures("both")
def test_line_ends_are_part_of_a_script(apply, folder: Path):
    apply()
    (folder / "body.sh").write_bytes(b"echo one\r\necho two\r\necho three\r\n")
    assert "+echo one\N{SYMBOL FOR CARRIAGE RETURN}\n" in apply("--dry-run").out
    assert changes(apply("--json")) == ["changed", "unchanged"]
    assert changes(apply("--json")) == ["unchanged", "unchanged"]


@pytest.mark.usefixtures("both")
def test_what_was_archived_is_taken_out_of_the_archive(apply, server: Server, name: str):
    apply()
    connection(server).delete(f"/workflows/w-{name}")
    connection(server).delete(f"/scripts/s-{name}")
    done = apply()
    assert f"changed   script    s-{name} (taken out of the archive)" in done.out
    assert f"changed   workflow  w-{name} (taken out of the archive" in done.out
    assert changes(apply("--json")) == ["unchanged", "unchanged"]


def test_every_problem_of_every_file_is_named_and_nothing_is_applied(
    apply, write: Write, opsgate: Opsgate, name
):
    write("good.yaml", "kind: script\nname: NAME\nlanguage: bash\ncontent: ls\n")
    write("unread.yaml", "kind: [")
    write("odd/kind.yaml", "kind: oddity\n")
    write("odd/script.yaml", "kind: script\nname: odd\nlanguage: cobol\ncontent_file: ../../x\n")
    write("two.yaml", "kind: script\nname: two\nlanguage: cobol\ncontent: ''\n")
    write("lost.yaml", workflow("type: command, command: ls, on_success: nowhere", "lost"))
    done = apply()
    assert done.code == 1
    assert "nothing was applied" in done.err
    for said in (
        "error at /: unread.yaml: ",
        "error at /kind: odd/kind.yaml: The kind is 'oddity'.",
        "error at /content_file: odd/script.yaml: content_file points outside",
        "error at /language: two.yaml: ",
        "error at /content: two.yaml: ",
        "error at /steps/0/on_success: lost.yaml: ",
    ):
        assert said in done.err
    assert opsgate("script", "show", name).code == 1


def test_the_server_is_asked_what_it_thinks_before_the_first_write(
    apply, write: Write, opsgate: Opsgate, name
):
    write("script.yaml", "kind: script\nname: s-NAME\nlanguage: bash\ncontent: ls\n")
    write(
        "host.yaml",
        workflow("type: command, command: ls, hosts: [nope]", "h-NAME"),
    )
    write("lost.yaml", workflow("type: script, script: nobody-wrote-it"))
    write("needs.yaml", "kind: script\nname: l-NAME\nlanguage: bash\ncontent: ls\nlibraries: [no-library]\n")
    done = apply()
    assert done.code == 1
    assert "/steps/0/hosts/0: host.yaml: There is no host `nope`" in done.err
    assert "/steps/0/script: lost.yaml: There is no script `nobody-wrote-it`" in done.err
    assert "/libraries/0: needs.yaml: There is no library 'no-library'" in done.err
    assert opsgate("script", "show", f"s-{name}").code == 1


@pytest.mark.usefixtures("both")
def test_a_workflow_is_proved_against_the_scripts_of_the_folder(apply, write: Write):
    apply()
    parameters = "parameters: [{name: x, required: true}]\n"
    write("script.yaml", f"kind: script\nname: s-NAME\nlanguage: bash\ncontent: ls\n{parameters}")
    done = apply()
    assert done.code == 1
    assert "error at /steps/0/parameters/x: workflow.yaml: `x` is required." in done.err
    write("workflow.yaml", workflow("type: script, script: s-NAME, parameters: {x: '1'}"))
    assert changes(apply("--json")) == ["changed", "changed"]


def test_a_draft_is_saved_with_its_problems_and_not_published(
    apply, write: Write, opsgate: Opsgate, name: str
):
    write("draft.yaml", "kind: workflow\nname: NAME\ndraft: true\nsteps: [{id: a, type: oddity}]\n")
    assert "(saved as a draft)" in apply().out
    shown = opsgate("workflow", "show", name, "--json").json
    assert (shown["published_version"], len(shown["problems"])) == (None, 1)
    assert changes(apply("--json")) == ["unchanged"]
    write("draft.yaml", workflow("type: command, command: ls", "NAME"))
    assert changes(apply("--json")) == ["changed"]
    assert opsgate("workflow", "show", name, "--json").json["published_version"] == 1


@pytest.mark.usefixtures("both")
def test_a_refusal_on_the_way_says_what_was_applied_before_it(
    apply, server, write: Write, folder: Path, name
):
    write("workflow.yaml", workflow("type: command, command: ls"))
    apply()
    write("new.yaml", "kind: script\nname: new-NAME\nlanguage: bash\ncontent: ls\n")
    write("workflow.yaml", workflow("type: script, script: s-NAME"))
    there = connection(server)
    plan = make_plan(there, folder)
    there.delete(f"/scripts/s-{name}")  # somebody, meanwhile
    with pytest.raises(Refused) as refusal:
        carry_out(there, plan)
    assert refusal.value.message.startswith(f"workflow.yaml: The workflow 'w-{name}' can't be published")
    assert refusal.value.message.endswith(f"Applied before it: script new-{name}.")


def test_text_of_a_file_can_not_steer_the_terminal(apply, write: Write):
    write("script.yaml", 'kind: script\nname: NAME\nlanguage: bash\ncontent: "echo \\e[2J"\n')
    assert "\x1b" not in apply("--dry-run").out


def test_libraries_come_before_the_scripts_that_name_them(apply, server: Server, write: Write, opsgate, name):
    write("a.yaml", "kind: script\nname: s-NAME\nlanguage: bash\ncontent: greet\nlibraries: [l-NAME]\n")
    write("b.yaml", "kind: library\nname: l-NAME\nlanguage: bash\ncontent_file: b.sh\n")
    write("b.sh", "greet() { echo hello; }\n")
    assert changes(apply("--json")) == ["created", "created"]
    assert changes(apply("--json")) == ["unchanged", "unchanged"]
    write("b.sh", "greet() { echo there; }\n")
    assert "-greet() { echo hello; }\n+greet() { echo there; }" in apply().out


def test_a_script_links_libraries_of_its_own_language(apply, write: Write):
    write("a.yaml", "kind: script\nname: s-NAME\nlanguage: bash\ncontent: greet\nlibraries: [l-NAME]\n")
    write("b.yaml", "kind: library\nname: l-NAME\nlanguage: python\ncontent: x = 1\n")
    done = apply()
    assert done.code == 1
    assert "error at /libraries/0: a.yaml: The library 'l-" in done.err
    assert "' is python, the script is bash." in done.err


def test_what_the_server_would_say_of_links_is_said_before_the_first_write(
    apply, write: Write, opsgate: Opsgate, server: Server, name: str
):
    write("old.yaml", "kind: library\nname: old-NAME\nlanguage: bash\ncontent: f() { :; }\n")
    apply()
    connection(server).delete(f"/libraries/old-{name}")
    write("old.yaml", "kind: script\nname: s-NAME\nlanguage: bash\ncontent: f\nlibraries: [old-NAME]\n")
    write("lib.yaml", "kind: library\nname: l-NAME\nlanguage: bash\ncontent: g() { :; }\n")
    twice = "libraries: [l-NAME, l-NAME]"
    write("twice.yaml", f"kind: script\nname: t-NAME\nlanguage: bash\ncontent: g\n{twice}\n")
    done = apply()
    assert done.code == 1
    assert f"/libraries/0: old.yaml: The library 'old-{name}' is archived." in done.err
    assert f"/libraries/1: twice.yaml: The library 'l-{name}' is linked twice." in done.err
    assert opsgate("library", "show", f"l-{name}").code == 1


def test_a_large_number_is_the_same_however_it_is_written(apply, write: Write):
    parameters = "[{name: a, type: number, default: 1.0e+17}, {name: b, type: number, default: 1.0e+300}]"
    write("a.yaml", f"kind: script\nname: s-NAME\nlanguage: bash\ncontent: ls\nparameters: {parameters}\n")
    assert changes(apply("--json")) == ["created"]
    assert changes(apply("--json")) == ["unchanged"]

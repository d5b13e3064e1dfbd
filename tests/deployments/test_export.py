"""`opsgate export`: a folder that says what the server holds, whatever it is called or written like."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.definition_files import read_folder
from tests.deployments.conftest import Opsgate, Server, connection, web_process
from tests.deployments.odd_definitions import CONTENTS, NAMES, fill


@pytest.fixture(scope="module")
def odd(postgres: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own, with everything on it that could go wrong."""
    with web_process(postgres, migrated_template, tmp_path_factory.mktemp("odd")) as server:
        fill(connection(server))
        yield server


def state(server: Server) -> list[dict[str, Any]]:
    """All that the server says of its definitions, archived ones too, and how much was done to it."""
    there = connection(server)
    found = []
    for path in ("/scripts", "/workflows"):
        for archived in (False, True):
            found += [there.get(f"{path}/{row['id']}") for row in there.items(path, archived=archived)]
    return [*found, {"done": len(list(there.items("/audit")))}]


def export(opsgate: Opsgate, server: Server, folder: Path, *options: str) -> dict[str, list[str]]:
    done = opsgate("export", str(folder), "--json", *options, beside=server)
    assert done.code == 0, done.err
    return dict(done.json)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_applying_an_export_changes_nothing(opsgate: Opsgate, odd: Server, tmp_path: Path, format: str):
    before = state(odd)
    export(opsgate, odd, tmp_path / "out", "--format", format)
    applied = opsgate("apply", "-f", str(tmp_path / "out"), "--json")
    assert applied.code == 0, applied.err
    assert {entry["change"] for entry in applied.json} == {"unchanged"}
    assert len(applied.json) == 2 * len(NAMES) + 5
    assert state(odd) == before


def test_an_export_brings_another_server_to_the_same_definitions(
    opsgate: Opsgate, odd: Server, postgres: str, migrated_template: str, tmp_path: Path
):
    export(opsgate, odd, tmp_path / "out")
    with web_process(postgres, migrated_template, tmp_path / "fresh") as fresh:
        first = opsgate("apply", "-f", str(tmp_path / "out"), "--json", beside=fresh)
        assert first.code == 0, first.err
        assert {entry["change"] for entry in first.json} == {"created"}
        export(opsgate, fresh, tmp_path / "again")
        there = connection(fresh)
        assert there.get("/workflows/by-id")["published_version"] == 1
        assert there.get("/workflows/half")["published_version"] is None
        kept = {view["name"]: view["definition"] for view in state(fresh) if "definition" in view}
        for number, name in enumerate(NAMES):
            assert kept[name]["content"] == CONTENTS[number % len(CONTENTS)]
    assert content(tmp_path / "again") == content(tmp_path / "out")


def test_every_name_has_a_file_of_its_own_that_any_file_system_takes(
    opsgate: Opsgate, odd: Server, tmp_path: Path
):
    export(opsgate, odd, tmp_path / "out")
    names = [path.name for path in (tmp_path / "out/workflows").iterdir()]
    assert len({name.casefold() for name in names}) == len(NAMES) + 4
    assert all(name.isascii() and len(name) < 120 and name[0].isalnum() for name in names)
    assert not {"con.yaml", "upper~.yaml"} & set(names)
    assert {"plain.yaml", "with.dot.yaml", "upper.yaml"} <= set(names)
    found = {one.name for one in read_folder(tmp_path / "out").files if one.kind.name == "script"}
    assert found == {*NAMES, "full"}


def test_a_script_is_a_file_of_its_language(opsgate: Opsgate, odd: Server, tmp_path: Path):
    export(opsgate, odd, tmp_path / "out")
    assert (tmp_path / "out/scripts/plain.sh").read_bytes() == b"echo hi\n"
    assert (tmp_path / "out/scripts/plain.yaml").read_text() == (
        "kind: script\nname: plain\nlanguage: bash\ncontent_file: plain.sh\n"
    )
    assert (tmp_path / "out/scripts/with.dot.py").exists()


def test_a_workflow_names_its_scripts_by_name_and_a_draft_says_so(
    opsgate: Opsgate, odd: Server, tmp_path: Path
):
    export(opsgate, odd, tmp_path / "out")
    for name in ("by-id", "nested"):
        text = (tmp_path / f"out/workflows/{name}.yaml").read_text()
        assert "script: full" in text
        assert "script_id" not in text
    drafts = {
        path.stem for path in (tmp_path / "out/workflows").iterdir() if "draft: true" in path.read_text()
    }
    assert drafts == {"edited", "half", "nested"}


def test_exporting_again_writes_nothing(opsgate: Opsgate, odd: Server, tmp_path: Path):
    first = export(opsgate, odd, tmp_path / "out")
    before = content(tmp_path / "out")
    again = export(opsgate, odd, tmp_path / "out")
    assert (again["written"], again["removed"]) == ([], [])
    assert sorted(again["unchanged"]) == sorted(first["written"])
    assert content(tmp_path / "out") == before


def test_what_is_gone_from_the_server_goes_from_the_folder(opsgate: Opsgate, odd: Server, tmp_path: Path):
    there = connection(odd)
    there.post("/scripts", {"name": "short-lived", "language": "bash", "content": "1\n"})
    export(opsgate, odd, tmp_path / "out")
    there.delete("/scripts/short-lived")
    again = export(opsgate, odd, tmp_path / "out")
    assert sorted(again["removed"]) == ["scripts/short-lived.sh", "scripts/short-lived.yaml"]
    assert not (tmp_path / "out/scripts/short-lived.sh").exists()


def test_what_was_changed_on_the_server_is_replaced(opsgate: Opsgate, odd: Server, tmp_path: Path):
    export(opsgate, odd, tmp_path / "out")
    there = connection(odd)
    kept = there.get("/scripts/full")["definition"]
    there.put("/scripts/full", {**kept, "content": "2\n"})
    assert export(opsgate, odd, tmp_path / "out")["written"] == ["scripts/full.py"]
    there.put("/scripts/full", kept)


def test_a_foreign_file_is_not_overwritten(opsgate: Opsgate, odd: Server, tmp_path: Path):
    out = tmp_path / "out"
    (out / "scripts").mkdir(parents=True)
    (out / "scripts/plain.sh").write_text("mine")
    (out / "scripts/other.sh").write_text("also mine")
    refused = opsgate("export", str(out), beside=odd)
    assert refused.code == 1
    assert "scripts/plain.sh was not written by an export" in refused.err
    assert content(out) == {"scripts/plain.sh": b"mine", "scripts/other.sh": b"also mine"}
    export(opsgate, odd, out, "--force")
    assert (out / "scripts/plain.sh").read_text() == "echo hi\n"
    assert (out / "scripts/other.sh").read_text() == "also mine"


def test_an_export_that_somebody_has_edited_is_not_overwritten_either(
    opsgate: Opsgate, odd: Server, tmp_path: Path
):
    out = tmp_path / "out"
    export(opsgate, odd, out)
    (out / "scripts/plain.sh").write_text("edited")
    assert "or was changed since" in opsgate("export", str(out)).err
    assert (out / "scripts/plain.sh").read_text() == "edited"


def test_the_memory_of_a_folder_can_not_remove_other_files(opsgate: Opsgate, odd: Server, tmp_path: Path):
    out = tmp_path / "out"
    export(opsgate, odd, out)
    (tmp_path / "precious").write_text("x")
    (out / "scripts/linked").symlink_to(tmp_path)
    memory = json.loads((out / ".opsgate-export").read_text())
    memory |= dict.fromkeys(["../precious", str(tmp_path / "precious"), "scripts/linked/precious"], "x")
    (out / ".opsgate-export").write_text(json.dumps(memory))
    export(opsgate, odd, out, "--force")
    assert (tmp_path / "precious").read_text() == "x"


def test_nothing_is_written_through_a_link(opsgate: Opsgate, odd: Server, tmp_path: Path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "scripts").symlink_to(elsewhere)
    refused = opsgate("export", str(out), "--force", beside=odd)
    assert refused.code == 1
    assert "nothing was written" in refused.err
    assert list(elsewhere.iterdir()) == []


def test_libraries_are_exported_with_their_text(opsgate: Opsgate, server: Server, tmp_path: Path):
    made = {"name": "Greetings", "language": "python", "content": "def f():\r\n    pass\r\n"}
    connection(server).bring("/libraries/by-name/Greetings", made)
    export(opsgate, server, tmp_path / "out")
    (file,) = (tmp_path / "out/libraries").glob("greetings~*.py")
    assert file.read_bytes() == made["content"].encode()
    applied = opsgate("apply", "-f", str(tmp_path / "out"), "--json").json
    assert {entry["change"] for entry in applied if entry["kind"] == "library"} == {"unchanged"}

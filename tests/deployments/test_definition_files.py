"""Definition files: read safely, confined to their folder, applied in an order that works."""

import json
from pathlib import Path

import pytest

from definitions.errors import Invalid
from definitions.problems import Problem
from deployments.definition_files import load, read_folder


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def script(folder: Path, name: str = "disk", **more: object) -> Path:
    folder.mkdir(exist_ok=True)
    document = {"kind": "script", "name": name, "language": "bash", **more}
    return write(folder, f"{name}.json", json.dumps(document))


def the_problem(folder: Path) -> Problem:
    (problem,) = read_folder(folder).problems
    return problem


def test_what_is_named_comes_before_what_names_it(tmp_path: Path):
    write(tmp_path, "a-workflow.yaml", "kind: workflow\nname: w\nsteps: []\n")
    script(tmp_path, "z-script", content="true")
    write(tmp_path, "m-library.yaml", "kind: library\nname: l\nlanguage: bash\ncontent: f() { :; }\n")
    assert [one.kind.name for one in read_folder(tmp_path).files] == ["library", "script", "workflow"]


def test_a_body_beside_the_file_becomes_its_content(tmp_path: Path):
    write(tmp_path, "bodies/disk.sh", "df -h\n")
    script(tmp_path, content_file="bodies/disk.sh")
    (found,) = read_folder(tmp_path).files
    assert found.document["content"] == "df -h\n"
    assert "content_file" not in found.document
    assert (found.place, found.body_place) == ("disk.json", "bodies/disk.sh")


@pytest.mark.parametrize(
    "content", ["a\r\nb\r\n", "a\rb", "\ufeffWrite-Host 1\r\n", "a\u2028b\x85\n\n", "no end"]
)
def test_a_body_is_taken_byte_for_byte(tmp_path: Path, content: str):
    (tmp_path / "disk.sh").write_bytes(content.encode())
    script(tmp_path, content_file="disk.sh")
    assert read_folder(tmp_path).files[0].document["content"] == content


@pytest.mark.parametrize("outside", ["../secret.sh", "/etc/hostname"])
def test_a_body_outside_the_folder_is_refused(tmp_path: Path, outside: str):
    write(tmp_path, "secret.sh", "the content of a secret")
    script(tmp_path / "defs", "x", content_file=outside)
    problem = the_problem(tmp_path / "defs")
    assert problem.pointer == "/content_file"
    assert problem.message.startswith("x.json: content_file points outside")
    assert "the content of a secret" not in problem.message


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    write(tmp_path, "secret.sh", "secret")
    script(tmp_path / "defs", "x", content_file="link.sh")
    (tmp_path / "defs" / "link.sh").symlink_to(tmp_path / "secret.sh")
    assert "points outside" in the_problem(tmp_path / "defs").message


def test_a_key_given_twice_is_refused_because_the_last_would_win_in_silence(tmp_path: Path):
    path = write(tmp_path, "w.yaml", "kind: workflow\nname: a\nname: b\n")
    with pytest.raises(Invalid) as refusal:
        load(path)
    assert "'name' is given twice" in refusal.value.problems[0].message


def test_yaml_that_makes_objects_is_refused(tmp_path: Path):
    path = write(tmp_path, "w.yaml", "!!python/object/apply:os.system ['true']\n")
    with pytest.raises(Invalid):
        load(path)


def test_broken_yaml_says_where(tmp_path: Path):
    path = write(tmp_path, "w.yaml", "kind: workflow\nsteps: [\n")
    with pytest.raises(Invalid) as refusal:
        load(path)
    assert "line 3" in refusal.value.problems[0].message


def test_an_unknown_kind_names_the_known_ones(tmp_path: Path):
    write(tmp_path, "x.yaml", "kind: potato\nname: x\n")
    problem = the_problem(tmp_path)
    assert (problem.pointer, problem.message) == ("/kind", "x.yaml: The kind is 'potato'.")
    assert "workflow" in problem.fix


def test_two_files_of_one_name_are_refused(tmp_path: Path):
    write(tmp_path, "a.yaml", "kind: workflow\nname: same\n")
    write(tmp_path, "b.yaml", "kind: workflow\nname: same\n")
    problem = the_problem(tmp_path)
    assert (problem.pointer, problem.message) == (
        "/name",
        "b.yaml: a.yaml defines the workflow 'same' too.",
    )


def test_a_folder_without_definitions_is_refused_and_not_applied_as_nothing(tmp_path: Path):
    with pytest.raises(Invalid, match="holds no"):
        read_folder(tmp_path)


def test_every_file_that_can_not_be_read_is_named_with_its_folder(tmp_path: Path):
    write(tmp_path, "a/one.yaml", "kind: [")
    write(tmp_path, "b/one.json", "{")
    script(tmp_path, "both", content="x", content_file="x.sh")
    script(tmp_path, "gone", content_file="gone.sh")
    (tmp_path / "latin.sh").write_bytes("ä".encode("latin-1"))
    script(tmp_path, "latin", content_file="latin.sh")
    script(tmp_path, "odd", content_file=["x"])
    write(tmp_path, "w.yaml", "kind: workflow\nname: w\ndraft: 'no'\n")
    problems = read_folder(tmp_path).problems
    assert [problem.message.split(":")[0] for problem in problems] == [
        *("a/one.yaml", "b/one.json", "both.json", "gone.json", "latin.json", "odd.json", "w.yaml")
    ]
    assert {problem.pointer for problem in problems[2:6]} == {"/content_file"}


def test_a_mark_before_json_is_no_error(tmp_path: Path):
    (tmp_path / "w.json").write_bytes("\ufeff{}".encode())
    assert load(tmp_path / "w.json") == {}


@pytest.mark.parametrize("text", ["name: w\nsteps: &a [*a]\n", "&a\nname: w\nx: *a\n", "BOMB"])
def test_aliases_do_not_unfold_without_end(tmp_path: Path, text: str):
    levels = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    file = tmp_path / "bomb.yaml"
    file.write_text("a0: &a0 [x]\n" + "".join(levels) if text == "BOMB" else text)
    with pytest.raises(Invalid) as refused:
        load(file)
    assert "unfolds" in refused.value.problems[0].message

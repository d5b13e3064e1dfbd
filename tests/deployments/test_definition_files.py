"""Definition files: read safely, confined to their folder, applied in an order that works."""

import json
from pathlib import Path

import pytest

from definitions.errors import Invalid
from deployments.definition_files import load, load_folder


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def script(folder: Path, name: str = "disk", **more: object) -> Path:
    folder.mkdir(exist_ok=True)
    document = {"kind": "script", "name": name, "language": "bash", **more}
    return write(folder, f"{name}.json", json.dumps(document))


def test_scripts_come_before_the_workflows_that_use_them(tmp_path: Path):
    write(tmp_path, "a-workflow.yaml", "kind: workflow\nname: w\nsteps: []\n")
    script(tmp_path, "z-script", content="true")
    assert [one.kind for one in load_folder(tmp_path)] == ["script", "workflow"]


def test_a_body_beside_the_file_becomes_its_content(tmp_path: Path):
    write(tmp_path, "bodies/disk.sh", "df -h\n")
    script(tmp_path, content_file="bodies/disk.sh")
    (found,) = load_folder(tmp_path)
    assert found.document["content"] == "df -h\n"
    assert "content_file" not in found.document


@pytest.mark.parametrize("outside", ["../secret.sh", "/etc/hostname"])
def test_a_body_outside_the_folder_is_refused(tmp_path: Path, outside: str):
    write(tmp_path, "secret.sh", "the content of a secret")
    script(tmp_path / "defs", "x", content_file=outside)
    with pytest.raises(Invalid, match="points outside") as refusal:
        load_folder(tmp_path / "defs")
    assert "the content of a secret" not in str(refusal.value)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    write(tmp_path, "secret.sh", "secret")
    script(tmp_path / "defs", "x", content_file="link.sh")
    (tmp_path / "defs" / "link.sh").symlink_to(tmp_path / "secret.sh")
    with pytest.raises(Invalid, match="points outside"):
        load_folder(tmp_path / "defs")


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
    with pytest.raises(Invalid) as refusal:
        load_folder(tmp_path)
    assert "workflow" in refusal.value.problems[0].fix


def test_two_files_of_one_name_are_refused(tmp_path: Path):
    write(tmp_path, "a.yaml", "kind: workflow\nname: same\n")
    write(tmp_path, "b.yaml", "kind: workflow\nname: same\n")
    with pytest.raises(Invalid, match=r"both define the workflow 'same'"):
        load_folder(tmp_path)


def test_a_folder_without_definitions_is_refused_and_not_applied_as_nothing(tmp_path: Path):
    with pytest.raises(Invalid, match="holds no"):
        load_folder(tmp_path)


@pytest.mark.parametrize("text", ["name: w\nsteps: &a [*a]\n", "&a\nname: w\nx: *a\n", "BOMB"])
def test_aliases_do_not_unfold_without_end(tmp_path: Path, text: str):
    levels = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    file = tmp_path / "bomb.yaml"
    file.write_text("a0: &a0 [x]\n" + "".join(levels) if text == "BOMB" else text)
    with pytest.raises(Invalid) as refused:
        load(file)
    assert "unfolds" in refused.value.problems[0].message

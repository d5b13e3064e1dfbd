"""A reference to a secret leads to a word in a file or a variable, never to what Opsgate keeps for itself."""

from pathlib import Path

import pytest

from definitions.errors import Unavailable
from tasks.secret_places import read_place

OWN = (
    "secrets/sealing-key",
    "agent/token",
    "profile.json",
    "vault/config.json",
    "vault/secret-id/more",
    "new",
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a stack, beside which other things lie."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("OPSGATE_DATA_DIR", str(folder))
    return folder


def written(file: Path, text: str = "mArKeR") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refused(place: Path | str) -> str:
    with pytest.raises(Unavailable) as refusal:
        read_place(f"file:{place}")
    assert "mArKeR" not in str(refusal.value)
    return str(refusal.value)


def test_a_file_gives_its_word_and_any_other_text_is_refused(data: Path, tmp_path: Path) -> None:
    assert read_place(f"file:{written(tmp_path / 'token', 'hvs.word')}") == "hvs.word"
    assert "must be one word" in refused(written(tmp_path / "text", "mArKeR:x:0:0:root of all"))
    assert "can't be read" in refused(tmp_path / "none")
    assert "is no file" in refused(tmp_path)


@pytest.mark.parametrize("own", OWN)
def test_no_way_leads_into_the_data_folder(data: Path, tmp_path: Path, own: str) -> None:
    file = written(data / own)
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "folder").symlink_to(file.parent)
    (tmp_path / "beside").mkdir()
    ways = (file, tmp_path / "link", tmp_path / "folder" / file.name, f"{tmp_path}/beside/../data/{own}")
    for way in (*ways, f"{data}/./{own}", f"/proc/self/root{file}"):
        assert "Opsgate's own" in refused(way), way


def test_but_to_what_the_stack_signs_in_to_its_own_vault_with(data: Path, tmp_path: Path) -> None:
    secret_id = data / "vault" / "secret-id"
    assert read_place(f"file:{written(secret_id)}") == "mArKeR"
    secret_id.unlink()
    secret_id.symlink_to(written(data / "agent" / "token"))
    assert "Opsgate's own" in refused(secret_id)


def test_a_data_folder_behind_a_link_is_the_same(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(data)
    monkeypatch.setenv("OPSGATE_DATA_DIR", str(tmp_path / "link"))
    assert "Opsgate's own" in refused(written(data / "agent" / "token"))
    assert read_place(f"file:{written(data / 'vault' / 'secret-id')}") == "mArKeR"


def test_without_a_data_folder_the_files_of_opsgate_and_of_processes_are_kept_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = written(tmp_path / "key")
    monkeypatch.setenv("OPSGATE_SEALING_KEY_FILE", str(key))
    for own in (key, "/proc/self/environ"):
        assert "Opsgate's own" in refused(own)
    assert read_place(f"file:{written(tmp_path / 'other')}") == "mArKeR"


def test_of_variables_those_of_opsgate_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="not named as env:NAME"):
        read_place("env:OPSGATE_DATABASE_URL")
    monkeypatch.setenv("VAULT_WORD", "hvs.other")
    assert read_place("env:VAULT_WORD") == "hvs.other"

"""What is sealed opens for what it was sealed for, by who has the key, and for nothing else."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import AttemptRef
from agent.sealed import CannotOpen as AgentCannotOpen
from agent.sealed import Unsealer
from definitions.errors import Unavailable
from store.sealing import CannotOpen, SealingKeys, read_keys, required, seal_to_agent

OLD, NEW = os.urandom(32), os.urandom(32)
VALUES = {"PARAM_KEY_FILE": "hunter2 ünïcode\n"}


@given(st.dictionaries(st.text("AB_", max_size=5), st.text(st.characters(codec="utf-8"), max_size=50)))
def test_values_come_back_as_they_were(values: dict[str, str]) -> None:
    keys = SealingKeys([OLD])
    assert keys.open(("job", 1), keys.seal(("job", 1), values)) == values


def test_no_two_sealings_are_alike_and_none_shows_the_value() -> None:
    keys = SealingKeys([OLD])
    first, second = keys.seal(("job", 1), VALUES), keys.seal(("job", 1), VALUES)
    assert first != second
    assert b"hunter2" not in first


@pytest.mark.parametrize("other", [("job", 2), ("instance", 1), ("job", "1"), ("job", 1, "x"), ()])
def test_what_was_sealed_for_one_thing_does_not_open_as_anothers(other: tuple[str | int, ...]) -> None:
    keys = SealingKeys([OLD])
    sealed = keys.seal(("job", 1), VALUES)
    with pytest.raises(CannotOpen):
        keys.open(other, sealed)


def test_a_changed_byte_anywhere_is_noticed() -> None:
    keys = SealingKeys([OLD])
    sealed = keys.seal(("job", 1), VALUES)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(CannotOpen):
            keys.open(("job", 1), bytes(changed))
        with pytest.raises(CannotOpen):
            keys.open(("job", 1), sealed[:at])


def test_after_a_rotation_the_old_opens_and_the_new_seals() -> None:
    before = SealingKeys([OLD]).seal(("job", 1), VALUES)
    rotated = SealingKeys([NEW, OLD])
    assert rotated.open(("job", 1), before) == VALUES
    after = rotated.seal(("job", 1), VALUES)
    assert SealingKeys([NEW]).open(("job", 1), after) == VALUES
    with pytest.raises(CannotOpen, match="key that this server does not have"):
        SealingKeys([OLD]).open(("job", 1), after)


def test_keys_are_not_printed() -> None:
    assert repr(OLD)[2:-1] not in repr(SealingKeys([OLD]))
    assert OLD.hex() not in repr(SealingKeys([OLD]))


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "sealing-key"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_key_file_has_a_key_a_line(tmp_path: Path) -> None:
    import base64

    first, second = (base64.urlsafe_b64encode(key).decode().rstrip("=") for key in (NEW, OLD))
    keys = read_keys(key_file(tmp_path, f"{first}\n{second}\n"))
    assert keys.open(("job", 1), SealingKeys([OLD]).seal(("job", 1), VALUES)) == VALUES


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(Unavailable, match="can be read by others"):
        read_keys(key_file(tmp_path, "x", mode))


@pytest.mark.parametrize("text", ["", "short", "!" * 43, "é" * 43, "A" * 44])
def test_a_key_file_without_a_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unavailable, match="one key a line") as refused:
        read_keys(key_file(tmp_path, text))
    assert text == "" or text not in str(refused.value)


def test_a_key_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        read_keys(tmp_path / "none")


def test_a_server_without_a_key_says_so() -> None:
    with pytest.raises(Unavailable, match="OPSGATE_SEALING_KEY_FILE"):
        required(None)


def test_a_fingerprint_is_the_same_after_a_rotation_and_another_with_another_key() -> None:
    assert SealingKeys([NEW, OLD]).fingerprint(b"x") == SealingKeys([OLD]).fingerprint(b"x")
    assert SealingKeys([NEW]).fingerprint(b"x") != SealingKeys([OLD]).fingerprint(b"x")


def _agent() -> tuple[X25519PrivateKey, bytes]:
    key = X25519PrivateKey.generate()
    return key, key.public_key().public_bytes_raw()


def test_what_is_sealed_to_an_agent_another_can_not_open() -> None:
    (key, public), (other, _) = _agent(), _agent()
    sealed = seal_to_agent(VALUES, public, host_id=1, agent_id=2, job_id=3, attempt=4)
    ref = AttemptRef(job_id=3, attempt=4)
    assert Unsealer(1, 2, key).open(ref, sealed, ["PARAM_KEY_FILE"]).values == VALUES
    with pytest.raises(AgentCannotOpen):
        Unsealer(1, 2, other).open(ref, sealed, ["PARAM_KEY_FILE"])


def test_nothing_is_sealed_to_a_key_that_is_none() -> None:
    with pytest.raises(ValueError, match="key"):
        seal_to_agent(VALUES, bytes(32), host_id=1, agent_id=2, job_id=3, attempt=4)

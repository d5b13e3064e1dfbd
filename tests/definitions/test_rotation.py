"""When a rotation that failed is tried again; and who can give an identity a new credential."""

from datetime import timedelta

import pytest

from definitions.identity import Identity
from definitions.rotation import PAUSES, pause


def test_pauses_grow_to_a_quarter_of_an_hour_and_end() -> None:
    pauses = [pause(failures) for failures in range(1, len(PAUSES) + 2)]
    assert pauses[0] == timedelta(seconds=5)
    assert pauses[-2:] == [timedelta(minutes=15), None]
    assert [each for each in pauses if each] == sorted(each for each in pauses if each)


@pytest.mark.parametrize(
    ("source", "more", "rotator", "why"),
    [
        ("database_static", {}, "vault", None),
        ("database_static", {"domain": "CORP", "username": "root"}, "vault", None),
        ("kv_password", {"host": "web-1"}, "host", None),
        ("kv_password", {}, None, "none is named"),
        ("kv_password", {"host": "web-1", "domain": "CORP"}, None, "is set in the domain"),
        ("kv_password", {"host": "web-1", "username": "root"}, None, "does not set the password of root"),
        ("kv_ssh_key", {"host": "web-1"}, None, "A key is replaced where it is accepted"),
    ],
)
def test_a_role_is_rotated_by_its_vault_and_an_account_by_its_host(
    source: str, more: dict[str, str], rotator: str | None, why: str | None
) -> None:
    identity = Identity.model_validate(
        {"name": "it", "vault": "v", "source": source, "path": "a/b", "username": "u", **more}
    )
    assert identity.rotated_by == rotator
    assert (identity.why_not_rotated is None) == (why is None)
    assert why is None or why in str(identity.why_not_rotated)


def test_another_account_or_place_is_told_from_other_users_of_the_same() -> None:
    before = Identity(name="it", vault="v", source="kv_password", path="a/b", username="u", host="web-1")
    assert before.model_copy(update={"exclusive": True, "used_by": ("role:x",)}).moved_from(before) == []
    assert before.model_copy(update={"host": "web-2", "path": "a/c"}).moved_from(before) == ["path", "host"]

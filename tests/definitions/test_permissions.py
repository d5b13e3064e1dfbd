"""Permissions: the manual's, and one rule."""

import pytest

from definitions.errors import NotPermitted
from definitions.permissions import PERMISSIONS, ROLES, SYSTEM, Actor, may, require

VIEWER = Actor("user", 1, "vic", ROLES["viewer"])


def test_an_actor_with_the_permission_may() -> None:
    assert may(VIEWER, "jobs.view") is None
    require(SYSTEM, "jobs.manage")


def test_an_actor_without_it_is_refused_by_name_and_reason() -> None:
    with pytest.raises(NotPermitted, match=r"vic lacks the permission jobs.manage"):
        require(VIEWER, "jobs.manage")


def test_a_permission_nobody_knows_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="unknown permission"):
        may(SYSTEM, "jobs.everything")


def test_roles_grant_only_what_there_is() -> None:
    assert all(granted <= set(PERMISSIONS) for granted in ROLES.values())


def test_only_a_person_is_kept_as_who_made_something() -> None:
    agent = Actor("agent", 7, "web-1", host_id=1)
    assert (VIEWER.person, agent.person, SYSTEM.person) == (VIEWER.id, None, None)

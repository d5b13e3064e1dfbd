"""Who an approver reference means."""

from typing import Any

from store import people


async def test_a_role_means_everybody_in_it_who_may_vote(org: Any) -> None:
    found = await people.resolve(org.db, ["role:approver"])
    assert found == {"role:approver": {org.ana.id, org.bo.id, org.cy.id, org.di.id}}


async def test_a_role_that_may_not_vote_is_known_and_empty(org: Any) -> None:
    assert await people.resolve(org.db, ["role:viewer"]) == {"role:viewer": frozenset()}


async def test_a_person_is_named_by_id_name_or_address(org: Any) -> None:
    references = [f"user:{org.bo.id}", "user:bo", "bo", "user:Bo@Example.org"]
    found = await people.resolve(org.db, references)
    assert found == {reference: {org.bo.id} for reference in references}


async def test_what_nobody_answers_to_is_left_out(org: Any) -> None:
    assert await people.resolve(org.db, ["role:nobody", "user:999", "user:zed", "user:" + "9" * 40]) == {}


async def test_a_disabled_person_is_not_counted(org: Any) -> None:
    await org.db.execute("UPDATE users SET disabled_at = now() WHERE id = $1", org.di.id)
    found = await people.resolve(org.db, ["role:approver", "user:di"])
    assert found == {"role:approver": {org.ana.id, org.bo.id, org.cy.id}, "user:di": frozenset()}


async def test_an_address_that_two_people_have_means_neither(org: Any) -> None:
    await org.db.execute("UPDATE users SET email = 'BO@example.org' WHERE id = $1", org.cy.id)
    found = await people.resolve(org.db, ["bo@example.org", "user:bo"])
    assert found == {"bo@example.org": frozenset(), "user:bo": {org.bo.id}}

"""In whose name something is asked for, and who else has set it going. Changes nothing.

What an instance asks for, it asks for in the name of who has resumed it last, else of who started it; what
runs again, in the name of who has it run again. None of those who have set it going decides on it, unless the
rule lets them.
"""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from store.connection import Tx

SET_GOING = """coalesce(r.frozen #> '{checkout,set_going}', json_build_array(json_build_object(
    'person', coalesce(i.started_by, c.for_id), 'name', coalesce(i.started_by_name, u.name, ''),
    'did', 'started')))"""
"""SQL, of a request `r`, its instance `i`, its checkout `c` and for whom that is, `u`: the hands in what it
asks for, of a checkout as the request has frozen them."""


class Hand(BaseModel):
    """Somebody's part in what is asked for."""

    model_config = ConfigDict(frozen=True)

    person: int | None
    """None: nobody who could decide."""
    name: str
    did: Literal["started", "resumed", "repeated"]


class Asker(NamedTuple):
    """Who asks."""

    person: int | None
    """For whom it is; None: for nobody who is known."""
    name: str
    before: tuple[Hand, ...] = ()
    """Who has set going what the person goes on with, the first of them first."""
    did: Literal["started", "resumed", "repeated"] = "started"

    @property
    def hands(self) -> tuple[Hand, ...]:
        """Everybody who has set it going; the last is who asks."""
        return *self.before, Hand(person=self.person, name=self.name, did=self.did)

    @property
    def people(self) -> frozenset[int]:
        """Whose yes would be one to their own doing."""
        return frozenset(hand.person for hand in self.hands if hand.person is not None)

    def then(self, person: int | None, name: str, did: Literal["resumed", "repeated"]) -> "Asker":
        """Who asks once that person goes on with it: they do, and are named once in a row."""
        same = person == self.person and (person is not None or name == self.name)
        return self if same else Asker(person, name, self.hands, did)


async def of_instance(tx: Tx, instance_id: int | None) -> Asker:
    """Who asks for what an instance, running now, wants; nobody, if there is no such instance."""
    row = await tx.fetchrow(
        """SELECT started_by, started_by_name, (resumes -> -1 ->> 'by_id')::bigint AS resumed_by,
                  resumes -> -1 ->> 'by' AS resumed_by_name
           FROM instances WHERE id = $1""",
        instance_id,
    )
    if row is None:
        return Asker(None, "")
    starter = Asker(row["started_by"], row["started_by_name"])
    if row["resumed_by"] is None:
        return starter
    return starter.then(row["resumed_by"], row["resumed_by_name"], "resumed")


async def of_execution(tx: Tx, execution_id: int) -> Asker:
    """Who asked for what an execution ran as; before them, who ran it the times before: the first gave the
    parameters."""
    rows = await tx.fetch(
        """WITH RECURSIVE before AS (
               SELECT id, rerun_of, created_by, created_by_name FROM executions WHERE id = $1
               UNION ALL SELECT e.id, e.rerun_of, e.created_by, e.created_by_name
               FROM executions e JOIN before b ON b.rerun_of = e.id)
           SELECT created_by, created_by_name FROM before ORDER BY id""",
        execution_id,
    )
    first, *later = [(row["created_by"], row["created_by_name"]) for row in rows]
    asker = Asker(*first)
    for person, name in later:
        asker = asker.then(person, name, "repeated")
    return asker

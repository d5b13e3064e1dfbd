"""In whose name something is asked for, and who else has set it going. Changes nothing.

What an instance asks for, it asks for in the name of who has resumed it last, else of who started it; neither
of them decides on it, unless the rule lets them.
"""

from typing import NamedTuple

from store.connection import Tx


class Asker(NamedTuple):
    """Who asks."""

    person: int | None
    """For whom it is; None: for nobody who is known."""
    name: str
    others: frozenset[int] = frozenset()
    """Who has set going what the person goes on with."""

    @property
    def people(self) -> frozenset[int]:
        """Whose yes would be one to their own doing."""
        return self.others if self.person is None else self.others | {self.person}


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
    others = frozenset[int]() if row["started_by"] is None else frozenset[int]({row["started_by"]})
    if row["resumed_by"] is None:
        return Asker(row["started_by"], row["started_by_name"], others)
    return Asker(row["resumed_by"], row["resumed_by_name"], others)

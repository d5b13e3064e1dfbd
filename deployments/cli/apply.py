"""`opsgate apply -f DIR`: bring a server's definitions to what a folder of files says.

Prints first what will change, then writes over REST, in an order in which nothing names what is not
there yet; unchanged things are left alone. What is on the server and not in the folder stays. Every
file is checked before the first write (`plan`); should the server refuse one all the same, the error
says what was done before it.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from definitions.harmless import visible
from deployments.cli.connection import Connection, segment
from deployments.cli.errors import Refused, WrongUse
from deployments.cli.output import Json, print_json
from deployments.cli.plan import Planned, make_plan


def apply(
    *,
    folder: Annotated[Path, Parameter(name=["--folder", "-f"])],
    dry_run: bool = False,
    json: Json = False,
) -> None:
    """Apply every definition in a folder, after printing the differences; with --dry-run only print them."""
    if not folder.is_dir():
        raise WrongUse(f"There is no folder {folder}.")
    connection = Connection.find()
    plan = make_plan(connection, folder)
    if not json:
        _show(plan, dry_run=dry_run)
    if not dry_run:
        carry_out(connection, plan)
    if json:
        print_json(report(plan))
    elif not dry_run:
        print("Done.")


def apply_folder(connection: Connection, folder: Path) -> list[dict[str, Any]]:
    """Apply a folder and say of each definition what happened to it."""
    plan = make_plan(connection, folder)
    carry_out(connection, plan)
    return report(plan)


def carry_out(connection: Connection, plan: list[Planned]) -> None:
    """Write what is not so already. Refused: nothing after that definition was written."""
    written: list[str] = []
    for one in plan:
        if one.change == "unchanged":
            continue
        kind, place = one.file.kind, f"{one.file.kind.path}/by-name/{segment(one.file.name)}"
        try:
            connection.bring(
                place, one.file.document, publish=True if kind.published and not one.file.draft else None
            )
        except Refused as refusal:
            done = ", ".join(written) or "nothing"
            detail = f"{one.file.place}: {refusal.message} Applied before it: {done}."
            raise Refused(refusal.status, {**refusal.problem, "detail": detail}) from None
        written.append(f"{kind.name} {one.file.name}")


def report(plan: list[Planned]) -> list[dict[str, Any]]:
    """The plan for a program."""
    return [
        {
            "kind": one.file.kind.name,
            "name": one.file.name,
            "change": one.change,
            "file": one.file.place,
            "note": one.note,
            "diff": "\n".join(one.diff),
        }
        for one in plan
    ]


def _show(plan: list[Planned], *, dry_run: bool) -> None:
    for one in plan:
        note = f" ({one.note})" if one.note else ""
        print(visible(f"{one.change:<9} {one.file.kind.name:<9} {one.file.name}{note}"))
        for line in one.diff:
            print(visible(line))
    count = Counter(one.change for one in plan)
    would = "Nothing is written. It would be: " if dry_run else ""
    print(f"{would}{count['created']} created, {count['changed']} changed, {count['unchanged']} unchanged.")

"""`opsgate export DIR`: write the server's definitions as a folder of files.

The folder is what `opsgate apply` reads: applying it to the same server changes nothing. What is
archived is left out. A workflow whose draft is not what is published is written as that draft, marked
`draft: true`, so that applying it publishes nothing.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from definitions.errors import Invalid
from definitions.harmless import visible
from deployments.cli.connection import Connection
from deployments.cli.errors import Refused, WrongUse
from deployments.cli.output import Json, print_json
from deployments.definition_kinds import EXTENSIONS, KINDS, Kind, by_name
from deployments.definition_text import Format, write
from deployments.export_folder import file_stem, write_folder


def export(
    folder: Path,
    /,
    *,
    format: Format = "yaml",
    force: Annotated[bool, Parameter(negative="", help="Also replace files that no export wrote.")] = False,
    json: Json = False,
) -> None:
    """Write every definition into DIR, one file each, script texts beside them. Of kinds you may not see,
    the files in DIR stay as they are."""
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"{folder} is not a folder.")
    unseen: list[Kind] = []
    files = exported(Connection.find(), format, unseen)
    done = write_folder(folder, files, force=force, keep=[f"{kind.path[1:]}/" for kind in unseen])
    if json:
        print_json({**asdict(done), "left_out": [kind.path[1:] for kind in unseen]})
        return
    for kind in unseen:
        print(f"left out {kind.path[1:]}: you may not see them")
    for verb, places in (("written", done.written), ("removed", done.removed)):
        for place in sorted(places):
            print(visible(f"{verb:<8} {place}"))
    print(f"{len(done.written)} written, {len(done.unchanged)} unchanged, {len(done.removed)} removed.")


def exported(
    connection: Connection, format: Format = "yaml", unseen: list[Kind] | None = None
) -> dict[str, bytes]:
    """Every file of an export by its path in the folder. Kinds that this person may not see are put into
    `unseen`; without it that is an error."""
    files: dict[str, bytes] = {}
    names: dict[int, str] = {}
    for kind in KINDS.values():
        try:
            views = list(_views(connection, kind))
        except Refused as refusal:
            if unseen is None or refusal.status != 403:
                raise
            unseen.append(kind)
            continue
        for view in views:
            if kind.name == "script":
                names[view["id"]] = view["name"]
            files.update(_files(kind, view, names, format))
    return files


def _views(connection: Connection, kind: Kind) -> Iterator[dict[str, Any]]:
    """Every definition of a kind that is not archived, also not meanwhile."""
    for row in connection.items(kind.path):
        view = connection.get(f"{kind.path}/{row['id']}")
        if not view["archived"]:
            yield view


def _files(
    kind: Kind, view: dict[str, Any], names: dict[int, str], format: Format
) -> Iterator[tuple[str, bytes]]:
    place = f"{kind.path[1:]}/{file_stem(view['name'])}"
    document = {"kind": kind.name, **_document(kind, view, names)}
    content = document.pop("content", None) if not kind.published else None
    if content is not None:
        body = place + EXTENSIONS[document["language"]]
        document["content_file"] = body.rpartition("/")[2]
        yield body, content.encode()
    yield f"{place}.{format}", write(document, format).encode()


def _document(kind: Kind, view: dict[str, Any], names: dict[int, str]) -> dict[str, Any]:
    """The document as it was written, as far as the server keeps that; else what is not default."""
    kept = view[kind.document_in]
    if kind.published:
        draft = view["published_version"] is None or view["changed_since_published"]
        return {**by_name(kept, names), **({"draft": True} if draft else {})}
    model, problems = kind.read(kept)
    if model is None:
        raise Invalid(f"The {kind.name} {view['name']!r} is none that this version can read.", problems)
    return model.model_dump(mode="json", exclude_defaults=True)

"""What a page may be sent: a small form, and the local path to go on to."""

from urllib.parse import urlsplit

from starlette.datastructures import FormData
from starlette.requests import Request

from definitions.errors import Invalid
from definitions.parameters import Value

MAX_FORM_BYTES = 512 * 1024
MAX_FORM_FIELDS = 1000


async def form(request: Request) -> FormData:
    """The request's form; refused before it is read when it is too large or of unknown length."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MAX_FORM_BYTES:
        raise Invalid(f"A form may hold at most {MAX_FORM_BYTES // 1024} KiB.")
    return await request.form(max_fields=MAX_FORM_FIELDS, max_files=0)


def text(fields: FormData, name: str) -> str:
    """One field as text, with the line ends a person typed; empty when it is missing."""
    value = fields.get(name)
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""


INPUT = "input."
"""Before the name of a workflow's input, in the name of a field."""


def given_inputs(fields: FormData) -> dict[str, Value]:
    """The inputs that were filled in."""
    given = {name.removeprefix(INPUT): text(fields, name) for name in fields if name.startswith(INPUT)}
    return {name: value for name, value in given.items() if value}


def local_path(wanted: str) -> str:
    """The path if it stays on this site, otherwise the home page.

    Browsers read backslashes as slashes and drop tabs and line ends, so a path that has any is
    not one of ours.
    """
    if not wanted.startswith("/") or wanted.startswith("//"):
        return "/"
    if "\\" in wanted or any(ord(character) <= 0x20 or ord(character) == 0x7F for character in wanted):
        return "/"
    return wanted


def page_before(request: Request) -> str:
    """The page of ours that a form was sent from, to come back to after signing in."""
    before = urlsplit(request.headers.get("referer", ""))
    return local_path(before.path) if before.netloc == request.headers.get("host") else "/"

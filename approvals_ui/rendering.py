"""Templates into answers. Escaping is always on; a name a template does not know is an error."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from approvals_ui import in_words
from approvals_ui.visitor import session_of
from definitions.harmless import terminal_text, visible
from definitions.parameters import text_of
from definitions.step_words import APPROVAL_TYPES

TEMPLATES = Path(__file__).parent / "templates"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=visible,
        terminal=terminal_text,
        moment=in_words.moment,
        duration=in_words.length,
        flat=in_words.flat,
        in_json=in_words.in_json,
        as_text=text_of,
        time_left=lambda deadline: in_words.time_left(deadline, datetime.now(UTC)),
    )
    environment.globals.update(between=in_words.between, APPROVAL_TYPES=APPROVAL_TYPES)
    return environment


ENVIRONMENT = _environment()


def page(request: Request, template: str, status_code: int = 200, /, **known: Any) -> HTMLResponse:
    """A page for this visitor."""
    section = "/" + request.url.path.strip("/").split("/", maxsplit=1)[0]
    content = ENVIRONMENT.get_template(template).render(
        visitor=session_of(request), section="/inbox" if section == "/approvals" else section, **known
    )
    return HTMLResponse(content, status_code)

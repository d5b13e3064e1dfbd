"""The addresses notices go to: which ones are taken, and what may be shown of one. Pure.

An address is an Apprise URL. It holds a password or a token, so it is a secret, and no message here
repeats any of it. Apprise knows services that run programs, read files of the sender or write to its
log, and options that do: so services and options are listed, and nothing else passes.
"""

import re
from urllib.parse import unquote

from definitions.errors import Invalid
from definitions.problems import Problem

MAX_LENGTH = 2000

WITH_HOST: dict[str, str] = {
    "mailto": "mail", "mailtos": "mail by TLS", "json": "webhook", "jsons": "webhook by TLS",
    "workflow": "Microsoft Teams", "workflows": "Microsoft Teams",
    "mmost": "Mattermost", "mmosts": "Mattermost", "rocket": "Rocket.Chat", "rockets": "Rocket.Chat",
    "gotify": "Gotify", "gotifys": "Gotify",
}  # fmt: skip
"""Services of an address that begins with a host, which may be shown."""

WITH_TOKEN: dict[str, str] = {
    "slack": "Slack", "discord": "Discord", "tgram": "Telegram", "gchat": "Google Chat", "webex": "Webex",
    "wxteams": "Webex", "zulip": "Zulip", "pagerduty": "PagerDuty", "opsgenie": "Opsgenie",
    "pover": "Pushover", "matrix": "Matrix", "matrixs": "Matrix", "ntfy": "ntfy", "ntfys": "ntfy",
}  # fmt: skip
"""Services whose address may be nothing but secrets."""

_OPTIONS = frozenset(
    {
        *("from", "to", "cc", "bcc", "reply", "name", "smtp", "mode", "user", "pass", "format"),
        *("channel", "channels", "team", "thread", "token", "botname", "image", "footer", "priority"),
        *("workflow", "id", "signature", "sig", "route", "routeid", "api-version", "ver"),
    }
)
_OF_WEBHOOKS = ("+", "-", ":")
"""What the names of headers, query parameters and further fields of a webhook begin with."""

_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_SCHEME = re.compile(r"([a-z0-9]{2,12})://[^/?#\s]", re.IGNORECASE)


def shown(url: str) -> str:
    """What may be shown of an address that is taken; raises `Invalid` for one that is not."""
    problems = _problems(url)
    if problems:
        raise Invalid("A notice can't be sent to this address.", problems)
    scheme = _scheme(url)
    if scheme in WITH_TOKEN:
        return f"{WITH_TOKEN[scheme]} ({scheme}://***)"
    return f"{WITH_HOST[scheme]} ({scheme}://{_host(url)}/***)"


def _scheme(url: str) -> str:
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def _host(url: str) -> str:
    """The host alone, and only where nothing else can be meant: a password may not have been quoted."""
    before_options = url.partition("://")[2].partition("?")[0]
    place = before_options.rpartition("@")[2].partition("/")[0]
    return place if _HOST.fullmatch(place) else "***"


def _problems(url: str) -> list[Problem]:
    if len(url) > MAX_LENGTH or not url.isprintable() or not url.isascii() or " " in url:
        said = f"It has more than {MAX_LENGTH} characters, or blanks, or others than ASCII."
        return [_problem(said, "Quote them: %20 is a blank.")]
    scheme = _scheme(url)
    if scheme not in WITH_HOST | WITH_TOKEN:
        known = ", ".join(sorted(WITH_HOST | WITH_TOKEN))
        return [_problem("It begins with no service that notices go to.", f"Use one of {known}, and ://")]
    if "#" in url:
        return [_problem("It has a # in it.", "Write %23 for a channel's #.")]
    if all(_is_taken(name, scheme) for name in _names(url)):
        return []
    taken = ", ".join(sorted(_OPTIONS))
    return [_problem("It has an option that is not taken.", f"Leave out all but {taken}.")]


def _names(url: str) -> list[str]:
    """The names of its options, cut apart at every place where Apprise may do so."""
    pairs = re.split(r"[?&;]", url)[1:]
    return [unquote(pair.partition("=")[0]).strip().lower() for pair in pairs if pair]


def _is_taken(name: str, scheme: str) -> bool:
    return name in _OPTIONS or (scheme in ("json", "jsons") and name.startswith(_OF_WEBHOOKS))


def _problem(message: str, fix: str) -> Problem:
    return Problem(pointer="/url", code="bad-notice-url", message=message, fix=fix)

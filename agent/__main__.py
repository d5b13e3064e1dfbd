"""The command line of the host agent: `enrol`, `run`, and `unit` for its systemd unit.

It must import little before the launcher is forked: no thread, no event loop may exist by then.
Options that a service file sets may come from `OPSGATE_AGENT_*`; a secret never does.
"""

import argparse
import asyncio
import getpass
import logging
import os
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent import __version__, launcher

DEFAULT_STATE = "/var/lib/opsgate-agent"
UNIT = Path(__file__).with_name("systemd") / "opsgate-agent.service"
_PROGRAM_IN_UNIT = "/opt/opsgate-agent/bin/opsgate-agent"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 good, 1 failed, 2 wrong use, 3 to 5 see `agent.loop`."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.command == "unit":
        print(unit(), end="")
        return 0
    if sys.platform != "linux":
        print("This version of the agent runs on Linux only.", file=sys.stderr)
        return 1
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Its own lines at INFO name every address called.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    return _enrol(given) if given.command == "enrol" else _run(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="opsgate-agent",
        description="The Opsgate host agent.",
        epilog="The environment may set OPSGATE_AGENT_STATE, _CA, _SLOTS, _GRACE, _KEY_DAYS and _LOG_LEVEL.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="enrol | run | unit")
    shared = _shared_options()
    _add_enrol(commands.add_parser("enrol", parents=[shared], help="join a server by its secret"))
    _add_run(commands.add_parser("run", parents=[shared], help="poll for jobs and run them"))
    commands.add_parser("unit", help="print the systemd unit that runs this installation")
    return parser


def _shared_options() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--state",
        type=_place,
        default=_setting("STATE", DEFAULT_STATE),
        metavar="DIR",
        help="the agent's folder (%(default)s)",
    )
    shared.add_argument(
        "--ca",
        "--ca-file",
        dest="ca_file",
        type=_place,
        default=_setting("CA"),
        metavar="FILE",
        help="certificates to trust instead of this machine's; enrolling remembers it",
    )
    shared.add_argument(
        "--log-level", type=_level, default=_setting("LOG_LEVEL", "INFO"), metavar="|".join(_LEVELS)
    )
    return shared


def _add_enrol(enrol: argparse.ArgumentParser) -> None:
    enrol.add_argument("--server", required=True, metavar="URL")
    secret = enrol.add_mutually_exclusive_group()
    secret.add_argument(
        "--secret-file",
        metavar="FILE",
        help="where the organisation's secret stands (default, or -: standard input; a terminal is asked)",
    )
    secret.add_argument(
        "--secret",
        metavar="S",
        help="the secret itself: others on this host can see it, prefer --secret-file",
    )
    enrol.add_argument("--hostname", metavar="NAME", help="the name to join by (default: this host's)")
    enrol.add_argument("--again", action="store_true", help="replace the identity this folder holds")
    enrol.add_argument("--plain-http", action="store_true", help="allow http to another machine")


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--slots", type=_slots, default=_setting("SLOTS", "4"), metavar="N", help="jobs at once (%(default)s)"
    )
    run.add_argument(
        "--grace",
        type=float,
        default=_setting("GRACE", "10"),
        metavar="SECONDS",
        help="for running jobs after SIGTERM (%(default)s)",
    )
    run.add_argument(
        "--key-days",
        type=float,
        default=_setting("KEY_DAYS", "30"),
        metavar="DAYS",
        help="how old the agent's key gets before it makes another; 0: for good (%(default)s)",
    )


def _setting(name: str, default: str | None = None) -> str | None:
    """An option's default: argparse reads it as it reads what is typed, except that empty is not set."""
    return os.environ.get(f"OPSGATE_AGENT_{name}") or default


def _place(text: str) -> Path:
    """A path that stays the same place in a job's own folder, and on the next day."""
    return Path(text).absolute()


def _level(text: str) -> str:
    if text not in _LEVELS:
        raise argparse.ArgumentTypeError(f"one of {', '.join(_LEVELS)}")
    return text


def _slots(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError("1 to 64 jobs can run at once")
    return number


def unit() -> str:
    """The systemd unit, starting the program of the environment this runs in."""
    program = Path(sysconfig.get_path("scripts")) / "opsgate-agent"
    return UNIT.read_text(encoding="utf-8").replace(_PROGRAM_IN_UNIT, str(program))


def _enrol(given: argparse.Namespace) -> int:
    from agent import enrolment, facts
    from agent.identity import NoIdentity

    try:
        joining = enrolment.Joining(
            server=given.server,
            folder=given.state,
            hostname=given.hostname or facts.hostname(),
            secret=_secret(given).strip(),
            # The path as given: behind a link may be another file when the certificate is renewed.
            ca_file=str(given.ca_file) if given.ca_file else None,
            again=given.again,
            plain_http=given.plain_http,
        )
        joined = asyncio.run(enrolment.enrol(joining))
    except (NoIdentity, OSError, UnicodeDecodeError) as error:
        print(f"Not enrolled: {error}", file=sys.stderr)
        return 1
    print(f"Enrolled {joining.hostname} as host {joined.host_id}, agent {joined.agent_id}.")
    return 0


def _secret(given: argparse.Namespace) -> str:
    """The organisation's secret, from where nobody else can see it unless asked for otherwise."""
    if given.secret is not None:
        print(
            "The secret stands in the list of processes: prefer --secret-file FILE, or - for standard input.",
            file=sys.stderr,
        )
        return str(given.secret)
    if given.secret_file not in (None, "-"):
        file = Path(given.secret_file)
        if file.stat().st_mode & 0o077:
            print(f"Others on this host can read {file}: chmod 600, or delete it now.", file=sys.stderr)
        return file.read_text(encoding="utf-8")
    if sys.stdin.isatty():
        return getpass.getpass("The organisation's secret: ")
    return sys.stdin.readline()


def _run(given: argparse.Namespace) -> int:
    launching = launcher.start()
    # Only now: what follows may start threads.
    from agent import identity
    from agent.connection import NoTrust
    from agent.loop import Agent, Settings

    try:
        identity.prepare_folder(given.state)
        _lock = identity.lock(given.state)
        known = identity.load(given.state)
        if given.ca_file is not None:
            known = replace(known, ca_file=str(given.ca_file))
    except (identity.NoIdentity, OSError) as error:
        print(error, file=sys.stderr)
        return 1

    async def serve() -> int:
        settings = Settings(given.slots, given.grace, key_days=given.key_days)
        return await Agent(given.state, known, settings, launching).run()

    try:
        return asyncio.run(serve())
    except NoTrust as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

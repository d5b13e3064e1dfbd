"""The command line of the host agent: `enrol` and `run`.

It must import little before the launcher is forked: no thread, no event loop may exist by then.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from agent import __version__, launcher

DEFAULT_STATE = Path("/var/lib/opsgate-agent")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 good, 1 failed, 2 wrong use, 3 to 5 see `agent.loop`."""
    parser = _parser()
    given = parser.parse_args(argv)
    if sys.platform != "linux":
        print("This version of the agent runs on Linux only.", file=sys.stderr)
        return 1
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Its own lines at INFO name every address called.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    return _enrol(given) if given.command == "enrol" else _run(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="opsgate-agent", description="The Opsgate host agent.")
    parser.add_argument("--version", action="version", version=__version__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--state", type=_place, default=DEFAULT_STATE, metavar="DIR", help="the agent's folder (%(default)s)"
    )
    shared.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    commands = parser.add_subparsers(dest="command", required=True, metavar="enrol | run")
    enrol = commands.add_parser("enrol", parents=[shared], help="join a server with an organisation's secret")
    enrol.add_argument("--server", required=True, metavar="URL")
    secret = enrol.add_mutually_exclusive_group(required=True)
    secret.add_argument(
        "--secret-file", metavar="FILE", help="where the secret stands; - reads standard input"
    )
    secret.add_argument(
        "--secret",
        metavar="S",
        help="the secret itself: others on this host can see it, prefer --secret-file",
    )
    enrol.add_argument("--hostname", metavar="NAME", help="the name to join by (default: this host's)")
    enrol.add_argument(
        "--ca-file", type=_place, metavar="FILE", help="certificates to trust instead of the usual ones"
    )
    enrol.add_argument("--again", action="store_true", help="replace the identity this folder holds")
    enrol.add_argument("--plain-http", action="store_true", help="allow http to another machine")
    run = commands.add_parser("run", parents=[shared], help="poll for jobs and run them")
    run.add_argument("--slots", type=_slots, default=4, metavar="N", help="jobs at once (%(default)s)")
    run.add_argument(
        "--grace",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="for running jobs after SIGTERM (%(default)s)",
    )
    return parser


def _place(text: str) -> Path:
    """A path that stays the same place in a job's own folder, and on the next day."""
    return Path(text).absolute()


def _slots(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError("1 to 64 jobs can run at once")
    return number


def _enrol(given: argparse.Namespace) -> int:
    from agent import enrolment, facts
    from agent.identity import NoIdentity

    if given.secret is not None:
        print(
            "The secret stands in the list of processes: prefer --secret-file FILE, or - for standard input.",
            file=sys.stderr,
        )
    try:
        joining = enrolment.Joining(
            server=given.server,
            folder=given.state,
            hostname=given.hostname or facts.hostname(),
            secret=(given.secret if given.secret is not None else _read_secret(given.secret_file)).strip(),
            ca_file=str(given.ca_file.resolve()) if given.ca_file else None,
            again=given.again,
            plain_http=given.plain_http,
        )
        joined = asyncio.run(enrolment.enrol(joining))
    except (NoIdentity, OSError) as error:
        print(f"Not enrolled: {error}", file=sys.stderr)
        return 1
    print(f"Enrolled {joining.hostname} as host {joined.host_id}, agent {joined.agent_id}.")
    return 0


def _read_secret(name: str) -> str:
    return sys.stdin.readline() if name == "-" else Path(name).read_text(encoding="utf-8")


def _run(given: argparse.Namespace) -> int:
    launching = launcher.start()
    # Only now: what follows may start threads.
    from agent import identity
    from agent.loop import Agent, Settings

    try:
        identity.prepare_folder(given.state)
        _lock = identity.lock(given.state)
        known = identity.load(given.state)
    except (identity.NoIdentity, OSError) as error:
        print(error, file=sys.stderr)
        return 1

    async def serve() -> int:
        settings = Settings(slots=given.slots, grace_seconds=given.grace)
        return await Agent(given.state, known, settings, launching).run()

    return asyncio.run(serve())


if __name__ == "__main__":
    sys.exit(main())

"""The table of contents of the command line, and what happens to errors.

Imports nothing heavy: each command is named by a string and imported when it is called. Exit codes:
0 good, 1 the thing failed, 2 wrong use.
"""

import sys

from cyclopts import App

NOUNS = {
    "workflow": "Definitions: validate, simulate, list, show, publish, start, archive, versions, diff, "
    "rollback.",
    "instance": "Runs of a workflow: list, show, watch, cancel, resume, rerun.",
    "approval": "Requests for approval: list, show, approve, reject.",
    "script": "Scripts: list, show, versions, diff, rollback, archive, run, executions, rerun, download.",
    "library": "What scripts have in common: list, show, versions, diff, rollback, archive.",
    "recurring": "Recurring jobs: list, show, enable, disable, preview, run, ticks, children, archive.",
    "job": "Work for a host: run, types, list, show, logs, cancel, retry, delete.",
    "vault": "Where credentials are kept: list, show, test, versions, diff, rollback, archive.",
    "identity": "Privileged accounts: list, show, rotate, versions, diff, rollback, archive.",
    "checkout": "Who holds which identity: list, show, checkin.",
    "host": "Hosts: list, show, tag, group, decommission.",
    "user": "People: create, list, change, password.",
    "role": "Roles and their permissions: list.",
    "token": "API tokens: create, list, revoke.",
    "org-secret": "Secrets by which agents enrol: create, list, revoke.",
    "audit": "Who did what: list, verify, export, checkpoints, new-key.",
    "notice": "Where one is told of what: list, add, remove, test, deliveries, retry.",
    "agent": "The agent of this machine: enrol, run.",
}

COMMANDS = {
    "demo": ("deployments.cli.demo:demo", "Start everything and run the main job on this machine."),
    "up": ("deployments.cli.servers:up", "Start the embedded stack, to stay."),
    "apply": ("deployments.cli.apply:apply", "Bring the server's definitions to what a folder says."),
    "export": ("deployments.cli.export:export", "Write the server's definitions into a folder."),
    "login": ("deployments.cli.login:login", "Sign in to a server and remember it."),
    "doctor": ("deployments.cli.doctor:doctor", "Check this installation and say what is wrong."),
    "web": ("deployments.cli.servers:web", "Run the web process: pages, API, agent API."),
    "worker": ("deployments.cli.servers:worker", "Run a warm worker."),
    "migrate": ("deployments.cli.servers:migrate", "Bring the database's schema to the newest version."),
}


def _version() -> str:
    from importlib.metadata import version

    return version("opsgate")


def build() -> App:
    """The whole command line."""
    app = App(
        name="opsgate",
        help="Scripts, workflows with human gates, and privileged credentials on a fleet.",
        help_format="plaintext",
        version=_version,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for name, (target, summary) in COMMANDS.items():
        app.command(target, name=name, help=summary)
    for noun, summary in NOUNS.items():
        app.command(f"deployments.cli.{noun.replace('-', '_')}:app", name=noun, help=summary)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    tokens = sys.argv[1:] if arguments is None else arguments
    try:
        result = build()(tokens)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        from deployments.cli.errors import report

        sys.exit(report(error, as_json="--json" in tokens))
    sys.exit(result if isinstance(result, int) else 0)

"""`opsgate demo`: the whole stack, a real agent, and the main job on this machine.

Everything it does to the running stack it does from outside, over REST, as any user could.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from definitions.errors import OpsgateError, Unavailable
from deployments.cli.apply import apply_folder
from deployments.cli.connection import Connection
from deployments.cli.instance import ENDED, changes, print_steps
from deployments.cli.login import SignedIn
from deployments.cli.profile import NAME, read
from deployments.cli.servers import say, stop_signal, until_stopped

if TYPE_CHECKING:
    from deployments.stack.embedded import Stack

T = TypeVar("T")

WORKFLOW = "health-check"
EXAMPLES = Path(__file__).parents[2] / "definitions" / "examples"
TIME_LIMIT = 120.0
"""Seconds that --auto-approve gives the instance: it takes a few."""


@dataclass(frozen=True)
class Demo:
    """A stack with an agent, and a connection to it as the administrator."""

    stack: "Stack"
    connection: Connection
    host: str


def demo(*, auto_approve: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Start everything and run the main job; --auto-approve also votes, prints the results and stops."""
    return asyncio.run(_demo(auto_approve))


async def _demo(auto_approve: bool) -> int:
    from deployments.stack.data_folder import DataFolder
    from deployments.stack.embedded import running

    stop = stop_signal()
    folder = DataFolder.default()
    try:
        async with running(folder, second_person=True, say=say) as stack:
            ended = asyncio.create_task(until_stopped(stop, stack))
            work = asyncio.create_task(_main_job(stack, auto_approve))
            await asyncio.wait({ended, work}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                ended.result()
                return 130
            code = work.result()
            if not auto_approve:
                say("The stack keeps running; stop it with Ctrl-C.")
                await ended
            ended.cancel()
            return code
    except OpsgateError:
        say(f"The demo failed. The logs are in {folder.path / 'logs'}")
        raise
    finally:
        say("Stopped.")


async def _main_job(stack: "Stack", auto_approve: bool) -> int:
    profile = read(stack.folder.path / NAME)
    assert profile is not None, "the stack has just written it"
    demo = Demo(stack, Connection(profile.url, profile.token), socket.gethostname().lower())
    await _start_agent(demo)
    applied = await _call(lambda: apply_folder(demo.connection, EXAMPLES))
    say(f"Applied {len(applied)} definitions from {EXAMPLES.name}/.")
    await _wait_online(demo)
    body = {"hosts": [demo.host], "inputs": {}}
    instance = await _call(lambda: demo.connection.post(f"/workflows/{WORKFLOW}/start", body))
    page = f"{stack.url}/instances/{instance['id']}"
    say(f"Started instance {instance['id']} of {instance['workflow_name']} on {demo.host}.")
    say(f"  Opsgate:  {page}")
    say(f"  Prefect:  {stack.prefect.url}  (its key: {stack.prefect.auth_file})")
    try:
        ended = await _follow(demo, instance["id"], _vote if auto_approve else _explain, auto_approve)
    except TimeoutError:
        logs = stack.folder.path / "logs"
        raise Unavailable(
            f"The instance did not end in {TIME_LIMIT:.0f} s. Look at {page} and {logs}"
        ) from None
    print_steps(ended)
    say(f"Instance {ended['id']} is {ended['status']}. {ended.get('reason') or ''}".rstrip())
    if ended["status"] != "completed":
        say(f"Look at {page} and at the logs in {stack.folder.path / 'logs'}")
        return 1
    return 0


async def _start_agent(demo: Demo) -> None:
    """Enrol this machine once, by an organisation secret given on stdin, and run its agent."""
    stack, state = demo.stack, demo.stack.folder.path / "agent"
    if not (state / "ENROLLED").exists():
        await _enrol(demo, state)
    await stack.processes.start(stack.program("agent", "agent", "run", "--state", str(state)))


async def _enrol(demo: Demo, state: Path) -> None:
    body = {"name": "demo", "max_uses": 1, "lifetime_seconds": 600}
    secret = (await _call(lambda: demo.connection.post("/org-secrets", body)))["secret"]
    stack = demo.stack
    program = stack.program(
        "agent", "agent", "enrol", "--server", stack.url, "--secret-file", "-", "--state", str(state)
    )
    process = await asyncio.create_subprocess_exec(
        *program.command,
        env=dict(program.environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    output, _ = await process.communicate(f"{secret}\n".encode())
    if process.returncode != 0:
        raise Unavailable(f"The agent could not enrol: {output.decode(errors='replace').strip()}")
    (state / "ENROLLED").touch()
    say(f"Enrolled this machine as {demo.host}.")


async def _wait_online(demo: Demo) -> None:
    async with asyncio.timeout(60):
        while True:
            hosts = await _call(lambda: list(demo.connection.items("/hosts")))
            if any(host["name"] == demo.host and host["online"] for host in hosts):
                return
            await asyncio.sleep(0.2)


OnApproval = Callable[[Demo, dict[str, Any]], None]


async def _follow(demo: Demo, instance_id: int, on_approval: OnApproval, limited: bool) -> dict[str, Any]:
    """Print each change until the instance ends; call back once for every open approval request."""
    seen: dict[tuple[str, int], str] = {}
    asked: set[int] = set()
    async with asyncio.timeout(TIME_LIMIT if limited else None):
        while True:
            found: dict[str, Any] = await _call(lambda: demo.connection.get(f"/instances/{instance_id}"))
            for line in changes(found, seen):
                say(line)
            for request in found["approvals"]:
                if request["status"] == "pending" and request["id"] not in asked:
                    asked.add(request["id"])
                    await asyncio.to_thread(on_approval, demo, request)
            if found["status"] in ENDED:
                return found
            await asyncio.sleep(0.2)


def _explain(demo: Demo, request: dict[str, Any]) -> None:
    say(f"Waits for approval: {request['title']}")
    say(f"  Page:     {demo.stack.url}/approvals/{request['id']}  (sign in as bob)")
    say(f"  Terminal: opsgate approval approve {request['id']}")


def _vote(demo: Demo, request: dict[str, Any]) -> None:
    """Sign in as the second person and approve what that person is shown."""
    from deployments.stack.first_start import SECOND_PASSWORD, SECOND_PERSON

    password = demo.stack.folder.secret(SECOND_PASSWORD)
    if password is None:
        raise Unavailable(f"The password of {SECOND_PERSON} is not kept in {demo.stack.folder.path}.")
    with SignedIn(demo.stack.url, SECOND_PERSON, password) as session:
        shown = session.get(f"/approvals/{request['id']}")
        body = {"decision": "approve", "comment": "By --auto-approve.", "digest": shown["digest"]}
        vote = session.post(f"/approvals/{request['id']}/vote", body)
    say(f"  {vote['sentence']}")


async def _call(ask: Callable[[], T]) -> T:
    """A request off the event loop, so that Ctrl-C is always heard."""
    return await asyncio.to_thread(ask)

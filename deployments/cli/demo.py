"""`opsgate demo`: the whole stack, a real agent, and the main job on this machine.

Everything it does to the running stack it does from outside, over REST, as any user could.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from definitions.errors import Unavailable
from deployments.cli.apply import apply_folder
from deployments.cli.connection import Connection, segment
from deployments.cli.errors import Refused
from deployments.cli.instance import ENDED, changes
from deployments.cli.instance_detail import print_steps
from deployments.cli.login import SignedIn
from deployments.cli.profile import NAME, read
from deployments.cli.servers import cancel_on_signal, say
from deployments.stack.data_folder import write_private

if TYPE_CHECKING:
    from deployments.stack.embedded import Stack

T = TypeVar("T")

WORKFLOW = "health-check"
LAST = "demo-instance"
"""The file of the data folder with the number of the instance that the last demo started."""
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

    cancel_on_signal()
    folder, code = DataFolder.default(), 130
    try:
        async with running(folder, second_person=True, say=say, engine_steps=True) as stack:
            code = await _unless_given_up(stack, _main_job(stack, auto_approve))
            if not auto_approve:
                say("The stack keeps running; stop it with Ctrl-C.")
                await _unless_given_up(stack, asyncio.Event().wait())
    except (Unavailable, Refused):
        say(f"The demo failed. The logs are in {folder.path / 'logs'}")
        raise
    except asyncio.CancelledError:
        say("Stopped.")
    return code


async def _unless_given_up(stack: "Stack", work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or the error that a part of the stack can't be kept running."""
    from deployments.stack.processes import given_up

    task = asyncio.create_task(work)
    lost = stack.processes.gave_up
    either: set[asyncio.Future[Any]] = {task, lost}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise given_up(lost.result())
        return task.result()
    finally:
        task.cancel()


async def _main_job(stack: "Stack", auto_approve: bool) -> int:
    profile = read(stack.folder.path / NAME)
    assert profile is not None, "the stack has just written it"
    demo = Demo(stack, Connection(profile.url, profile.token), socket.gethostname().lower())
    await _start_agent(demo)
    applied = await asyncio.to_thread(apply_folder, demo.connection, EXAMPLES)
    say(f"Applied {len(applied)} definitions from {EXAMPLES.name}/.")
    await _wait_online(demo)
    await asyncio.to_thread(_cancel_earlier, demo)
    body = {"hosts": [demo.host], "inputs": {}}
    instance = await asyncio.to_thread(demo.connection.post, f"/workflows/{WORKFLOW}/start", body)
    write_private(stack.folder.path / LAST, str(instance["id"]))
    page = f"{stack.url}/instances/{instance['id']}"
    say(f"Started instance {instance['id']} of {instance['workflow_name']} on {demo.host}.")
    say(f"  Opsgate:  {page}")
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


def _cancel_earlier(demo: Demo) -> None:
    """End what an earlier demo left at its gate, and nothing that a person started."""
    try:
        earlier = int((demo.stack.folder.path / LAST).read_text(encoding="utf-8"))
        if demo.connection.get(f"/instances/{earlier}")["status"] in ENDED:
            return
        demo.connection.post(f"/instances/{earlier}/cancel", {"reason": "A new demo was started."})
    except (FileNotFoundError, ValueError, Refused):
        return
    say(f"Cancelled instance {earlier}, which an earlier demo left unfinished.")


async def _start_agent(demo: Demo) -> None:
    """Enrol this machine once, by an organisation secret given on stdin, and run its agent."""
    stack, state = demo.stack, demo.stack.folder.path / "agent"
    known = state / "agent.json"
    if not known.exists():
        await _enrol(demo, state)
    elif json.loads(known.read_text(encoding="utf-8"))["server"].rstrip("/") != stack.url:
        # Our port was taken by somebody else and we moved: the agent joins the new address.
        host = segment(demo.host)
        await asyncio.to_thread(demo.connection.post, f"/hosts/{host}/allow-reenrolment")
        await _enrol(demo, state, "--again")
    await stack.processes.start(stack.program("agent", "agent", "run", "--state", str(state), "--grace", "3"))


async def _enrol(demo: Demo, state: Path, *options: str) -> None:
    body = {"name": "demo", "max_uses": 1, "lifetime_minutes": 10}
    secret = (await asyncio.to_thread(demo.connection.post, "/org-secrets", body))["secret"]
    stack = demo.stack
    arguments = ("enrol", "--server", stack.url, "--secret-file", "-", "--state", str(state), *options)
    program = stack.program("agent", "agent", *arguments)
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
    say(f"Enrolled this machine as {demo.host}.")


async def _wait_online(demo: Demo) -> None:
    async with asyncio.timeout(60):
        while True:
            hosts = (await asyncio.to_thread(demo.connection.get, "/hosts"))["items"]
            if any(host["name"] == demo.host and host["online"] for host in hosts):
                return
            await asyncio.sleep(0.2)


OnApproval = Callable[[Demo, dict[str, Any]], None]


async def _follow(demo: Demo, instance_id: int, on_approval: OnApproval, limited: bool) -> dict[str, Any]:
    """Print each change until the instance ends; call back once for every open approval request."""
    seen: dict[tuple[str, int], str] = {}
    asked: set[int] = set()
    in_prefect = False
    async with asyncio.timeout(TIME_LIMIT if limited else None):
        while True:
            found: dict[str, Any] = await asyncio.to_thread(demo.connection.get, f"/instances/{instance_id}")
            if found["flow_run_id"] and not in_prefect:
                in_prefect = True
                prefect = demo.stack.prefect
                say(f"  Prefect:  {prefect.url}/v2/runs/flow-run/{found['flow_run_id']}")
                say(f"            (its key: {prefect.auth_file})")
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
    from deployments.stack.first_start import SECOND_PASSWORD, SECOND_PERSON, SECOND_PROFILE

    folder = demo.stack.folder.path
    opsgate = "./run opsgate" if Path("run").exists() else "opsgate"
    say(f"Waits for approval: {request['title']}")
    say(f"  Page:     {demo.stack.url}/approvals/{request['id']}")
    say(f"            (sign in as {SECOND_PERSON}; password in {folder / 'secrets' / SECOND_PASSWORD})")
    say(f"  Terminal: OPSGATE_PROFILE={folder / SECOND_PROFILE} {opsgate} approval approve {request['id']}")


def _vote(demo: Demo, request: dict[str, Any]) -> None:
    """Sign in as the second person and approve what that person is shown."""
    from deployments.stack.first_start import SECOND_PASSWORD, SECOND_PERSON

    password = demo.stack.folder.secret(SECOND_PASSWORD)
    if password is None:
        raise Unavailable(f"The password of {SECOND_PERSON} is not kept in {demo.stack.folder.path}.")
    with SignedIn(demo.stack.url, SECOND_PERSON, password) as session:
        shown = session.get(f"/approvals/{request['id']}")
        body = {"decision": "approve", "comment": "--auto-approve", "digest": shown["digest"]}
        vote = session.post(f"/approvals/{request['id']}/vote", body)
    say(f"  {vote['sentence']}")

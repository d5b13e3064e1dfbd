"""The agent that people run, started beside the stack and stopped with it."""

import asyncio

from benchmarks.ours.installation import Installation

HOST = "bench-real"
SLOTS = "10"


async def real_agent(here: Installation) -> str:
    """Enrol and run it; the name of its host, once it has polled."""
    state = here.stack.folder.folder("agent")
    options = ("--server", here.stack.url, "--secret-file", "-", "--state", str(state), "--hostname", HOST)
    program = here.stack.program("agent", "agent", "enrol", *options)
    process = await asyncio.create_subprocess_exec(
        *program.command,
        env=dict(program.environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(f"{await here.org_secret(1)}\n".encode())
    if process.returncode != 0:
        raise RuntimeError(f"the agent could not enrol: {said.decode(errors='replace').strip()}")
    arguments = ("agent", "run", "--state", str(state), "--grace", "1", "--slots", SLOTS)
    await here.stack.processes.start(here.stack.program("agent", *arguments))
    await here.online(HOST)
    return HOST

"""`opsgate up`, `web`, `worker`, `migrate`: the commands that run something or touch the store."""

import asyncio
import signal
from typing import TYPE_CHECKING

from definitions.errors import Unavailable

if TYPE_CHECKING:
    from deployments.stack.embedded import Stack


def up() -> None:
    """Start the embedded stack and keep it running until Ctrl-C."""
    asyncio.run(_up())


async def _up() -> None:
    from deployments.stack.data_folder import DataFolder
    from deployments.stack.embedded import running

    stop = stop_signal()
    async with running(DataFolder.default(), second_person=False, say=say) as stack:
        say(f"Opsgate:  {stack.url}")
        say(f"Prefect:  {stack.prefect.url}  (its key: {stack.prefect.auth_file})")
        say("Stop with Ctrl-C. `opsgate` commands in this folder use this stack.")
        await until_stopped(stop, stack)
        say("Stopping.")


async def until_stopped(stop: asyncio.Event, stack: "Stack") -> None:
    """Wait for a signal; fail when a part of the stack can't be kept running."""
    from deployments.stack.processes import given_up

    given = stack.processes.gave_up
    given.add_done_callback(lambda _: stop.set())
    await stop.wait()
    if given.done():
        raise given_up(given.result())


def web() -> None:
    """Run the web process alone, with the settings of OPSGATE_* and opsgate.toml."""
    from deployments.settings import WebSettings
    from deployments.web import serve

    asyncio.run(serve(WebSettings()))


def worker() -> None:
    """Run a warm worker alone; waits for Prefect's server to answer first."""
    from flows.serve import prepare_prefect, run_worker
    from flows.settings import EngineSettings

    settings = EngineSettings()
    # Importing Prefect takes seconds, in which its server may come up.
    prepare_prefect(settings)
    asyncio.run(_wait_for_prefect(settings.prefect_api_url))
    run_worker(settings)


def migrate() -> None:
    """Bring the database's schema to the newest version."""
    from flows.settings import EngineSettings
    from store.migrate import migrate as upgrade

    asyncio.run(upgrade(EngineSettings().database_url))
    say("The schema is at its newest version.")


def say(line: str) -> None:
    """A line for the person at the terminal, at once."""
    print(line, flush=True)


def stop_signal() -> asyncio.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set, instead of killing the stack in the middle."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(sign, stop.set)
    return stop


async def _wait_for_prefect(api_url: str, seconds: float = 120) -> None:
    import httpx2

    deadline = asyncio.get_running_loop().time() + seconds
    async with httpx2.AsyncClient(timeout=3) as client:
        while True:
            try:
                if (await client.get(f"{api_url}/health")).is_success:
                    return
            except httpx2.HTTPError:
                pass
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"Prefect's server at {api_url} did not answer within {seconds:.0f} s.")
            await asyncio.sleep(0.2)

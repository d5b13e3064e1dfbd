"""`opsgate up`, `web`, `worker`, `migrate`: the commands that run something or touch the store."""

import asyncio
import signal

from approvals_ui.prefect import places
from definitions.errors import Unavailable


def up() -> None:
    """Start the embedded stack and keep it running until Ctrl-C."""
    asyncio.run(_up())


async def _up() -> None:
    from deployments.stack.data_folder import DataFolder
    from deployments.stack.embedded import running
    from deployments.stack.processes import given_up

    cancel_on_signal()
    try:
        async with running(DataFolder.default(), second_person=False, say=say) as stack:
            say(f"Opsgate:  {stack.url}")
            say(f"Prefect:  {places.home(stack.url)}")
            say("Stop with Ctrl-C. `opsgate` commands in this folder use this stack.")
            raise given_up(await stack.processes.gave_up)
    except asyncio.CancelledError:
        say("Stopped.")


def web() -> None:
    """Run the web process alone, with the settings of OPSGATE_* and opsgate.toml."""
    from store.long_running import calm_collector, collector_at_rest, new_loop

    with collector_at_rest():
        from deployments.settings import WebSettings
        from deployments.web import serve
    calm_collector()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve(WebSettings()))


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


def cancel_on_signal() -> None:
    """Let the first SIGINT, SIGTERM or SIGHUP cancel this task; more of them don't disturb the clean-up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def stop() -> None:
        if not task.cancelling():
            say("Stopping.")
            task.cancel()

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(sign, stop)


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

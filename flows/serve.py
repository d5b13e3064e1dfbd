"""`opsgate worker`: one warm worker, until SIGINT or SIGTERM.

Prefect reads its settings when it is imported; so they are put in place here first, and prefect
is imported after. The auth string comes from a file and does not stay in the environment, which
child processes would inherit.
"""

import asyncio
import os
import signal

from flows.settings import WORK_POOL, EngineSettings
from store.long_running import collector_at_rest


def prepare_prefect(settings: EngineSettings) -> None:
    """Point Prefect's client at the engine. Call before anything imports prefect."""
    os.environ["PREFECT_API_URL"] = settings.prefect_api_url
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    if settings.prefect_auth_file is not None:
        os.environ["PREFECT_API_AUTH_STRING"] = settings.prefect_auth_file.read_text(encoding="utf-8").strip()
    try:
        with collector_at_rest():
            import prefect.context  # noqa: F401  # reads the settings now
    finally:
        os.environ.pop("PREFECT_API_AUTH_STRING", None)


def run_worker(settings: EngineSettings, name: str | None = None) -> None:
    """Run a warm worker until a signal; returns when everything has parked."""
    prepare_prefect(settings)
    asyncio.run(_serve(settings, name))


async def _serve(settings: EngineSettings, name: str | None) -> None:
    with collector_at_rest():
        from prefect.client.orchestration import get_client

        from flows.deploy import ensure_pool
        from flows.worker import OpsgateWorker

    async with get_client() as client:
        await ensure_pool(client)
    worker = OpsgateWorker(
        work_pool_name=WORK_POOL, name=name, settings=settings, limit=settings.worker_limit or None
    )
    serving = asyncio.create_task(worker.start())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        return

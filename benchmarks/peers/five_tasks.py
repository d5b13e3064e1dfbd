"""The bare flow: five trivial tasks in a row, nothing of Opsgate in it."""

import asyncio

from prefect import flow, task
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE, persist_result=False)
async def trivial() -> str:
    """The task."""
    return "done"


@flow(persist_result=False)
async def five_tasks() -> None:
    """Five sequential tasks."""
    for _ in range(5):
        await trivial()


if __name__ == "__main__":
    asyncio.run(five_tasks())

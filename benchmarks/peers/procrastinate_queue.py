"""procrastinate: tasks that do nothing, deferred beforehand, then worked off in this process.

Arguments: the database's URL, how many tasks, how many at once.
"""

import asyncio
import json
import sys
import time

import procrastinate


async def main(address: str, count: int, at_once: int) -> dict[str, float]:
    """Tasks a second, from the worker's start until nothing is left."""
    connector = procrastinate.PsycopgConnector(conninfo=address, min_size=at_once, max_size=at_once + 2)
    app = procrastinate.App(connector=connector)
    done = 0

    @app.task(name="nothing")
    async def nothing(number: int) -> None:
        nonlocal done
        done += 1

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await nothing.batch_defer_async(*({"number": number} for number in range(count)))
        began = time.monotonic()
        await app.run_worker_async(wait=False, concurrency=at_once, install_signal_handlers=False)
        took = time.monotonic() - began
    if done != count:
        raise SystemExit(f"{done} of {count} tasks ran")
    return {"rate": count / took}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))

"""Other ways to run the same deployments: Prefect's stock process worker, and its own command line."""

from tests.acceptance.conftest import Ledger
from tests.live.stack import LiveStack


def test_the_stock_process_worker_runs_the_same_entrypoint(workflows: LiveStack, ledger: Ledger) -> None:
    workflows.worker_with(OPSGATE_WORKER_LIMIT="0")
    stock = workflows.stack.program(
        "stock-worker", "prefect", "worker", "start", "--pool", "opsgate", "--type", "process"
    )
    workflows.call(workflows.stack.processes.replace(stock))
    try:
        number = workflows.launch("three", ["host-1"], ledger=str(ledger.path))
        ended = workflows.ended(number, 90)
    finally:
        workflows.call(workflows.stack.processes.remove("stock-worker"))
        workflows.worker_with()
    assert ended["status"] == "completed", ended["reason"]
    assert ledger.lines() == [f"{number} a", f"{number} b", f"{number} c"]


def test_prefects_own_command_starts_the_warm_worker(workflows: LiveStack, ledger: Ledger) -> None:
    own = workflows.stack.program(
        "worker", "prefect", "worker", "start", "--pool", "opsgate", "--type", "opsgate"
    )
    workflows.call(workflows.stack.processes.replace(own))
    try:
        number = workflows.launch("three", ["host-1"], ledger=str(ledger.path))
        ended = workflows.ended(number, 60)
    finally:
        workflows.worker_with()
    assert ended["status"] == "completed", ended["reason"]
    assert ledger.lines() == [f"{number} a", f"{number} b", f"{number} c"]

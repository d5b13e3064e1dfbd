"""The benchmark harness works: spreads, the table, the results file, and a child's figures."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import machine, results, spent
from benchmarks.child import MeasurementFailed, measured
from benchmarks.figure import BARE, OURS, PGBENCH, PROCRASTINATE, STOCK, TEMPORAL, Figure, of
from benchmarks.measure import in_flight, spread
from benchmarks.ours.workflows import DOCUMENTS, SCRIPT_DOCUMENT
from benchmarks.table import grid, markdown
from definitions.script import parse_script
from definitions.workflow import parse


def test_the_ninetieth_percentile_is_a_value_that_was_seen() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0]).p90 == 9.0
    assert spread([3.0]).p90 == 3.0


async def test_never_more_than_asked_are_in_flight_and_each_is_done_once() -> None:
    done: list[int] = []
    now = most = 0

    async def work(number: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        done.append(number)

    await in_flight(20, 3, work)
    assert sorted(done) == list(range(20))
    assert most == 3


def test_a_row_compares_everyone_and_says_whether_the_aim_is_met() -> None:
    figures = [
        of("time per step", OURS, spread([0.02]), "s"),
        of("time per step", TEMPORAL, spread([0.06]), "s"),
        Figure("start call to first job", OURS, 0.7, "s"),
    ]
    header, rows = grid(figures)
    assert header == ["figure", OURS, TEMPORAL, "aim", "met"]
    assert rows[0] == ["time per step", "20 ms (p90 20 ms)", "60 ms (p90 60 ms)", "under Temporal's", "yes"]
    assert rows[1][-1] == "NO"


@pytest.mark.parametrize(
    ("ours", "bare", "stock", "met"), [(3.0, 3.0, 0.2, "yes"), (2.0, 3.0, 0.1, "NO"), (3.0, 3.0, 0.5, "NO")]
)
def test_throughput_is_held_against_both_kinds_of_prefect(
    ours: float, bare: float, stock: float, met: str
) -> None:
    name = "workflows/s, 10 at once"
    values = ((OURS, ours), (BARE, bare), (STOCK, stock))
    assert grid([Figure(name, who, value, "/s") for who, value in values])[1][0][-1] == met


@pytest.mark.parametrize(
    ("ours", "procrastinate", "bare", "met"),
    [(500.0, 400.0, 1500.0, "yes"), (500.0, 600.0, 1500.0, "NO"), (500.0, 400.0, 1600.0, "NO")],
)
def test_the_job_queue_is_held_against_procrastinate_and_the_bare_sql(
    ours: float, procrastinate: float, bare: float, met: str
) -> None:
    name = "jobs/s, claimed and completed"
    values = ((OURS, ours), (PROCRASTINATE, procrastinate), (PGBENCH, bare))
    assert grid([Figure(name, who, value, "/s") for who, value in values])[1][0][-1] == met


def test_an_aim_against_a_missing_peer_is_left_open() -> None:
    assert grid([of("time per step", OURS, spread([0.02]), "s")])[1][0][-1] == ""


def test_the_results_hold_the_machine_and_no_path_and_no_host_name(tmp_path: Path) -> None:
    about = machine.describe()
    written = results.write(about, ["steps"], [Figure("rate", OURS, 2.0, "/s", note="a note")], tmp_path)
    text = "".join(path.read_text() for path in written)
    assert json.loads(written[0].read_text())["figures"][0]["value"] == 2.0
    assert "a note" in written[1].read_text()
    assert about["cores"] >= 1
    assert os.uname().nodename not in text
    assert str(machine.ROOT) not in text


def test_markdown_has_a_cell_in_every_column() -> None:
    lines = markdown([Figure("a", OURS, 1.0, "s"), Figure("b", TEMPORAL, 1.0, "s")]).strip().splitlines()
    assert {line.count("|") for line in lines} == {6}


def test_the_processor_time_of_dead_children_is_not_lost() -> None:
    me = {"me": os.getpid()}
    before = spent.cpu_seconds(me)
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert spent.since(before, me)["me"] >= 0.15


async def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(MeasurementFailed, match="no_such_module"):
        await measured("benchmarks.no_such_module", environment=os.environ, limit_seconds=30)


def test_the_measured_workflows_are_valid_definitions() -> None:
    for document in DOCUMENTS.values():
        assert parse(document)[1] == []
    assert parse_script(SCRIPT_DOCUMENT)[1] == []

"""Where an instance goes on that failed or was stopped."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from definitions.errors import Conflict
from definitions.resuming import Left, Resumption, resume
from definitions.routing import Active, Outcome, advance, fork, joined, start
from definitions.steps import ParallelStep, Step
from definitions.workflow import Workflow, all_steps, parse
from tests.definitions.test_parallel_routing import _lists, _parallel, _step, _workflow


def left(outcome: str | None, visit: int = 1, status: str = "", routed_to: str | None = None) -> Left:
    status = status or ("failed" if outcome == "failure" else "completed")
    return Left(visit, visit, status, outcome, routed_to)


OK, BAD, STOPPED = left("success"), left("failure"), left(None, status="cancelled")


def again(workflow: Workflow, **states: Left) -> tuple[str, ...]:
    return resume(workflow, states).again


def test_it_goes_on_at_the_step_that_failed_in_a_new_visit() -> None:
    workflow = _workflow(_step("a"), _step("b"), _step("c"))
    found = resume(workflow, {"a": OK, "b": BAD})
    assert (found.frontier, found.visit) == ((Active("b", 2),), 2)


def test_what_only_came_after_the_failure_does_not_run_alone() -> None:
    workflow = _workflow(_step("a", on_failure="tell"), _step("b"), _step("tell", on_success="fail"))
    assert again(workflow, a=BAD, tell=OK) == ("a",)
    assert again(workflow, a=BAD, tell=BAD) == ("a",)


def test_a_failure_that_was_mended_is_past() -> None:
    workflow = _workflow(_step("a", on_failure="mend"), _step("b"), _step("mend", on_success="b"))
    assert again(workflow, a=BAD, mend=OK, b=BAD) == ("b",)


def test_a_failure_that_leads_where_success_does_is_past() -> None:
    workflow = _workflow(_step("a", on_failure="continue"), _step("b"))
    assert again(workflow, a=BAD, b=BAD) == ("b",)


def test_a_condition_that_ended_it_goes_by_the_step_that_failed_before() -> None:
    scan = _step("scan", on_failure="check")
    check = {"id": "check", "type": "condition", "condition": "1 == 1", "on_false": "fail"}
    workflow = _workflow(scan, check)
    assert again(workflow, scan=BAD, check=left("false")) == ("scan",)
    with pytest.raises(Conflict, match="ended by check, which would decide the same"):
        again(workflow, scan=OK, check=left("false"))
    assert again(workflow, scan=OK, check=BAD) == ("check",), "a condition that failed may be mended"


def test_one_that_was_stopped_goes_on_where_it_was() -> None:
    workflow = _workflow(_step("a"), _step("b"))
    assert again(workflow) == ("a",)
    assert again(workflow, a=STOPPED) == ("a",)
    assert again(workflow, a=left("failure", status="cancelled", routed_to="cancelled")) == ("a",)


def test_a_step_that_ended_while_it_was_stopped_leads_on_after_all() -> None:
    workflow = _workflow(_step("a"), _step("b"))
    found = resume(workflow, {"a": left("success", routed_to="cancelled")})
    assert (found.again, found.led_to) == (("b",), {"a": "b"})


def test_what_is_done_is_not_gone_on_with() -> None:
    with pytest.raises(Conflict, match="nothing to go on with"):
        again(_workflow(_step("a")), a=left("success", routed_to="cancelled"))


def test_only_the_branches_that_failed_run_again() -> None:
    workflow = _workflow(_parallel([_step("a"), _step("c")], [_step("b")]), _step("z"))
    found = resume(workflow, {"p": BAD, "a": OK, "c": BAD, "b": OK})
    assert found.frontier == (Active("p", 2), Active("c", 2))
    assert (found.begun, found.again) == ({"p"}, ("c",))


def test_a_parallel_step_that_had_not_begun_begins_whole() -> None:
    workflow = _workflow(_step("y"), _parallel([_step("a")], [_step("b")]))
    found = resume(workflow, {"y": left("success", routed_to="cancelled")})
    assert (found.frontier, found.begun) == ((Active("p", 2),), frozenset())


def test_branches_that_all_ended_well_before_it_was_stopped_only_join() -> None:
    workflow = _workflow(_parallel([_step("a")], [_step("b")]))
    found = resume(workflow, {"p": STOPPED, "a": OK, "b": left("success", routed_to="cancelled")})
    assert (found.frontier, found.begun, found.led_to["b"]) == ((Active("p", 2),), {"p"}, "end")


def test_a_visit_of_a_path_that_was_left_does_not_count() -> None:
    # `a` failed and led to `tell`; resumed it failed again, and was stopped before `tell`.
    workflow = _workflow(_step("a", on_failure="tell"), _step("tell", on_success="fail"))
    assert again(workflow, a=left("failure", 2), tell=left("success", 1)) == ("tell",)
    # Here the branches began anew in visit 2, so what `a` did in visit 1 is of another time.
    workflow = _workflow(_step("y"), _parallel([_step("a")], [_step("b")]))
    states = {"y": left("success", 2), "p": left(None, 2, "cancelled"), "a": left("success", 1)}
    assert again(workflow, **states, b=left("success", 2)) == ("a",)
    # And here `p` itself is of visit 1, and has not begun on this path.
    assert resume(workflow, {"y": left("success", 2), "p": BAD, "a": BAD, "b": OK}).begun == frozenset()


class _Instance:
    """An instance as the engine would run it, whose steps end as the dice fall."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.left: dict[str, Left] = {}
        self.ran: list[Active] = []
        self.frontier = start(workflow).frontier
        self.begun: frozenset[str] = frozenset()

    def run(self, fails: float, stops: float, dice: random.Random) -> str:
        """To its end, or until it is stopped on the way."""
        while True:
            self._begin()
            if dice.random() < stops:
                return self._stop()
            ready = [(active, outcome) for active in self.frontier if (outcome := self._ready(active))]
            active, parallel = dice.choice(ready)
            outcome = parallel if parallel != "any" else self._fall(fails, dice)
            done = advance(self.workflow, self.frontier, active, Outcome(outcome))
            for given_up in done.dropped:
                self._note(given_up, None, "cancelled", None)
            self._note(active, outcome, "failed" if outcome == "failure" else "completed", done.target)
            self.frontier = done.frontier
            if done.ended is not None:
                return done.target

    def go_on(self) -> Resumption:
        found = resume(self.workflow, self.left)
        for step_id, target in found.led_to.items():
            was = self.left[step_id]
            self.left[step_id] = Left(was.visit, was.begun, was.status, was.outcome, target)
        for step_id in found.begun:
            was = self.left[step_id]
            self.left[step_id] = Left(found.visit, was.begun, "running", None, None)
        self.frontier, self.begun = found.frontier, found.begun
        return found

    def _begin(self) -> None:
        while new := [each for each in self.frontier if each not in self.ran]:
            self.ran += new
            for active in new:
                if active.step in self.begun:
                    continue
                self._note(active, None, "running", None)
                if isinstance(self.workflow.step(active.step), ParallelStep):
                    self.frontier = fork(self.workflow, self.frontier, active)
        self.begun = frozenset()

    def _stop(self) -> str:
        for active in self.frontier:
            self._note(active, None, "cancelled", None)
        return "stopped"

    def _ready(self, active: Active) -> str | None:
        if not isinstance(self.workflow.step(active.step), ParallelStep):
            return "any"
        ended = {step: found.routed_to for step, found in self.left.items() if found.routed_to is not None}
        return joined(self.workflow, self.frontier, active.step, ended)

    def _fall(self, fails: float, dice: random.Random) -> str:
        return "failure" if dice.random() < fails else "success"

    def _note(self, active: Active, outcome: str | None, status: str, target: str | None) -> None:
        was = self.left.get(active.step)
        begun = was.begun if was is not None and was.visit == active.visit else active.visit
        self.left[active.step] = Left(active.visit, begun, status, outcome, target)


def _ends_well(steps: tuple[Step, ...]) -> list[dict[str, object]]:
    """The same, with every success leading on: so an instance in which nothing fails ends well."""
    documents: list[dict[str, object]] = []
    for step in steps:
        document: dict[str, object] = {"id": step.id, "type": step.type, "on_failure": step.on_failure}
        if isinstance(step, ParallelStep):
            document["join"] = step.join
            document["branches"] = [{"steps": _ends_well(branch.steps)} for branch in step.branches]
        else:
            document["command"] = "true"
        documents.append(document)
    return documents


@settings(max_examples=300, deadline=None)
@given(_lists("s", 2, None), st.integers(0, 2**32))
def test_however_often_it_fails_or_is_stopped_it_comes_to_its_end_and_repeats_nothing_that_went_well(
    steps: list[dict[str, object]], seed: int
) -> None:
    raw, _ = parse({"name": "w", "steps": steps})
    assert raw is not None
    workflow, dice = _workflow(*_ends_well(raw.steps)), random.Random(seed)
    instance = _Instance(workflow)
    ending = instance.run(0.4, 0.1, dice)
    for _ in range(3):
        if ending == "end":
            return
        well = {step for step, found in instance.left.items() if found.outcome == "success"}
        on_the_way = _on_the_way(workflow, instance)
        found = instance.go_on()
        assert not set(found.again) & well & on_the_way, "a step that went well runs again"
        assert all(active not in instance.ran for active in found.frontier), "the visit is a new one"
        ending = instance.run(0.4, 0.1, dice)
    while ending != "end":
        instance.go_on()
        ending = instance.run(0.0, 0.0, dice)
        assert ending == "end", "nothing failed, and yet it did not come to its end"


def _on_the_way(workflow: Workflow, instance: _Instance) -> set[str]:
    """The steps whose newest visit lies on the path taken last."""
    newest = max(found.visit for found in instance.left.values())
    return {step.id for step in all_steps(workflow.steps) if instance.left.get(step.id, OK).visit == newest}

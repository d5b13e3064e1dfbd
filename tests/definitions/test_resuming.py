"""Where an instance goes on that failed or was stopped."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from definitions.errors import Conflict
from definitions.resuming import Left, Resumption, resume
from definitions.routing import Active, Outcome, advance, fork, joined, outcomes, start
from definitions.steps import ParallelStep, Step
from definitions.workflow import Workflow, all_steps, parse
from tests.definitions.test_parallel_routing import _lists, _parallel, _step, _workflow


def left(outcome: str | None, visit: int = 1, status: str = "", routed_to: str | None = None) -> Left:
    status = status or ("failed" if outcome == "failure" else "completed")
    return Left(visit, visit, status, outcome, routed_to)


OK, BAD, STOPPED = left("success"), left("failure"), left(None, status="cancelled")


def again(workflow: Workflow, **states: Left) -> tuple[str, ...]:
    return resume(workflow, states).again


def refused(workflow: Workflow, **states: Left) -> str:
    """By which steps it ended, that would decide the same."""
    with pytest.raises(Conflict) as refusal:
        resume(workflow, states)
    found = re.fullmatch(r"No failure ended it: it ended by (.+), which would decide.*", str(refusal.value))
    assert found is not None, refusal.value
    return found[1]


def test_it_goes_on_at_the_step_that_failed_in_a_new_visit() -> None:
    workflow = _workflow(_step("a"), _step("b"), _step("c"))
    found = resume(workflow, {"a": OK, "b": BAD})
    assert (found.frontier, found.visit) == ((Active("b", 2),), 2)


def test_what_only_came_after_the_failure_does_not_run_alone() -> None:
    b, tell = _step("b", on_success="end", on_failure="tell"), _step("tell", on_success="fail")
    workflow = _workflow(_step("a", on_failure="tell"), b, tell)
    assert again(workflow, a=BAD, tell=OK) == ("a",)
    assert again(workflow, a=BAD, tell=BAD) == ("a",)
    assert again(workflow, a=OK, b=BAD, tell=OK) == ("b",)


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
    assert refused(workflow, scan=OK, check=left("false")) == "check"
    assert again(workflow, scan=OK, check=BAD) == ("check",), "a condition that failed may be mended"
    wait = {"id": "wait", "type": "delay", "seconds": 1}
    workflow = _workflow(_step("scan", on_failure="wait"), wait, check)
    assert again(workflow, scan=BAD, wait=OK, check=left("false")) == ("scan",), "waiting does nothing"


CHECK = {"id": "check", "type": "condition", "condition": "1 == 2", "on_false": "fail"}


def test_a_failure_after_which_something_went_well_is_past_however_it_ended() -> None:
    goes_on = _workflow(_step("a", on_failure="continue"), _step("b"), CHECK)
    assert refused(goes_on, a=BAD, b=OK, check=left("false")) == "check"
    ends_so = _workflow(_step("a", on_failure="continue"), _step("b", on_success="fail"))
    assert refused(ends_so, a=BAD, b=OK) == "b"
    check = {**CHECK, "on_true": "end"}
    mended = _workflow(_step("a", on_failure="mend"), check, _step("mend", on_success="check"))
    assert refused(mended, a=BAD, mend=OK, check=left("false")) == "check"
    half = _parallel([_step("x")], [_step("y")])
    skips = _workflow(_step("a", on_failure="p"), _step("b"), half)
    assert again(skips, a=BAD, p=BAD, x=OK, y=BAD) == ("y",), "from `a` on, `x` would run again"
    assert again(skips, a=BAD, p=BAD, x=BAD, y=BAD) == ("a",)


def test_a_step_that_went_well_is_not_repeated_when_it_ended_the_list() -> None:
    assert refused(_workflow(_step("a", on_success="fail")), a=OK) == "a"


@pytest.mark.parametrize(
    ("join", "p", "b", "ended_by"),
    [
        ("all", BAD, BAD, "check"),
        ("any", BAD, BAD, None),
        ("all", STOPPED, STOPPED, None),
        ("any", BAD, OK, "check, b"),
    ],
)
def test_a_branch_that_ended_by_a_decision_stays_so(
    join: str, p: Left, b: Left, ended_by: str | None
) -> None:
    branches = [_step("a"), CHECK], [_step("b", on_success="fail")]
    workflow = _workflow(_parallel(*branches, join=join))
    states = {"a": OK, "check": left("false"), "b": b, "p": p}
    if ended_by is None:
        assert again(workflow, **states) == ("b",)
    else:
        assert refused(workflow, **states) == ended_by


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


def test_a_decision_in_a_branch_that_cancelled_it_all_would_do_so_again() -> None:
    check = {**CHECK, "on_false": "cancelled"}
    workflow = _workflow(_parallel([_step("a"), check], [_step("b")], join="any"))
    assert refused(workflow, a=OK, check=left("false"), b=STOPPED, p=STOPPED) == "check"


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
            outcome = parallel if parallel != "any" else self._fall(active, fails, dice)
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

    def _fall(self, active: Active, fails: float, dice: random.Random) -> str:
        well = [each for each in outcomes(self.workflow.step(active.step)) if each != "failure"]
        return "failure" if dice.random() < fails else dice.choice(well)

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


def _any_steps(dice: random.Random, prefix: str, depth: int) -> list[dict[str, object]]:
    """A list of jobs, conditions and parallel steps that leads onward in any way."""
    names = [f"{prefix}{number}" for number in range(dice.randint(1, 5))]
    documents: list[dict[str, object]] = []
    for number, name in enumerate(names):
        ways = ["continue", *names[number + 1 :], "continue", "end", "fail", "cancelled"]
        document: dict[str, object] = {"id": name, "on_failure": dice.choice(ways)}
        kind = dice.choice(["command", "command", "condition", *["parallel"][:depth]])
        if kind == "condition":
            ends = {"on_true": dice.choice(ways), "on_false": dice.choice(ways)}
            document |= {"type": kind, "condition": "1 == 1", **ends}
        elif kind == "command":
            document |= {"type": kind, "command": "true", "on_success": dice.choice(ways)}
        else:
            branches = [{"steps": _any_steps(dice, f"{name}_{letter}", depth - 1)} for letter in "xy"]
            more = {"on_success": dice.choice(ways), "join": dice.choice(["all", "any"])}
            document |= {"type": kind, "branches": branches, **more}
        documents.append(document)
    return documents


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**32))
def test_what_went_well_on_the_last_path_does_not_run_again_unless_something_fails_anew(seed: int) -> None:
    dice = random.Random(seed)
    instance = _Instance(_workflow(*_any_steps(dice, "s", 1)))
    instance.run(0.3, 0.05, dice)
    well = {step for step, found in instance.left.items() if found.outcome == "success"}
    before = len(instance.ran)
    try:
        again = instance.go_on()
    except Conflict:
        return
    instance.run(0.0, 0.0, dice)
    anew = {step for step, found in instance.left.items() if found.visit == again.visit}
    if not any(instance.left[step].outcome == "failure" for step in anew):
        assert not well & {active.step for active in instance.ran[before:]}


def _on_the_way(workflow: Workflow, instance: _Instance) -> set[str]:
    """The steps whose newest visit lies on the path taken last."""
    newest = max(found.visit for found in instance.left.values())
    return {step.id for step in all_steps(workflow.steps) if instance.left.get(step.id, OK).visit == newest}


def path(workflow: Workflow, **states: Left) -> list[str]:
    return sorted(resume(workflow, states).path)


def test_the_path_taken_last_is_known_and_one_that_was_left_is_no_part_of_it() -> None:
    a, b = _step("a", on_success="b", on_failure="undo"), _step("b", on_success="end")
    workflow = _workflow(a, b, _step("undo", on_success="fail"))
    assert path(workflow, a=BAD, undo=OK) == ["a", "undo"]
    assert path(workflow, a=left("success", 2), undo=OK, b=left("failure", 2)) == ["a", "b"]


def test_of_branches_that_were_taken_their_steps_are_on_it() -> None:
    p = _parallel([_step("x")], [_step("y"), _step("z")])
    assert path(_workflow(p, _step("a")), p=OK, x=OK, y=OK, z=OK, a=BAD) == ["a", "p", "x", "y", "z"]
    assert path(_workflow(p), p=BAD, x=OK, y=BAD) == ["p", "x", "y"]
    workflow = _workflow(_step("a"), p)
    assert path(workflow, a=left("success", 2), p=STOPPED, x=OK, y=STOPPED) == ["a", "p"]

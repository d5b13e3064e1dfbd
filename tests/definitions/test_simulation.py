"""Simulations: a workflow walked on paper, by the engine's own rules, touching no host."""

from datetime import UTC, datetime
from typing import Any

import pytest

from definitions.catalogue import Catalogue, ScriptFacts
from definitions.errors import Invalid
from definitions.examination import read_workflow
from definitions.parameters import Parameter
from definitions.simulation import SimulatedStep, Simulation, simulate

NOW = datetime(2027, 1, 31, 8, 0, tzinfo=UTC)
COMMAND: dict[str, Any] = {"type": "command", "command": "true"}
GATE: dict[str, Any] = {"type": "approval", "approvers": ["user:ann", "user:bob", "user:cas"]}


def _simulate(steps: list[dict[str, Any]], scenario: Any = None, **more: Any) -> Simulation:
    world = {key: more.pop(key) for key in ("known", "targets", "starter", "going_on") if key in more}
    reading = read_workflow({"name": "w", "steps": steps, **more})
    return simulate(reading, {} if scenario is None else scenario, NOW, **world)


def _steps(found: Simulation) -> dict[str, SimulatedStep]:
    return {step.step: step for step in found.path}


def _path(found: Simulation) -> list[str]:
    return [f"{step.step} {step.status}" for step in found.path]


def test_what_is_not_given_goes_well() -> None:
    found = _simulate(
        [{"id": "a", **COMMAND}, {"id": "ask", **GATE}, {"id": "nap", "type": "delay", "hours": 2}]
    )
    assert (found.status, found.reason) == (
        "completed",
        "nap: The time has come. Succeeded; the workflow ends.",
    )
    assert _path(found) == ["a completed", "ask completed", "nap completed"]
    assert [step.target for step in found.path] == ["ask", "nap", "end"]
    assert _steps(found)["nap"].input == {"until": "2027-01-31T10:00:02+00:00"}
    assert found.path[-1].ended == 7202


def test_a_value_is_shown_as_it_would_be_sent() -> None:
    steps = [
        {"id": "scan", **COMMAND},
        {"id": "tell", **COMMAND, "command": 'echo {{step_scan.json.ip}} "{{inputs.n}}"', "shell": "bash"},
        {"id": "ask", **GATE, "title": "{{step_tell.stdout}}?", "description": "{{instance.started_by}}"},
    ]
    told = {
        "steps": {"scan": {"json": {"ip": "10.0.0.1"}}, "tell": {"stdout": "done\n"}},
        "inputs": {"n": "4"},
        "started_by": "ann",
    }
    found = _simulate(
        steps, told, inputs=[{"name": "n", "type": "integer"}], outputs={"said": "{{step_tell.stdout}}"}
    )
    sent = {step.step: step.input for step in found.path}
    assert sent["tell"] == {
        "command": 'echo "${OPSGATE_V1}" "${OPSGATE_V2}"',
        "environment": {"OPSGATE_V1": "10.0.0.1", "OPSGATE_V2": "4"},
    }
    assert (sent["ask"]["title"], sent["ask"]["description"]) == ("done?", "ann")
    assert (found.inputs, found.outputs) == ({"n": 4}, {"said": "done"})


def test_a_branch_says_why_it_was_taken() -> None:
    steps = [
        {"id": "scan", **COMMAND},
        {
            "id": "low",
            "type": "condition",
            "condition": "{{step_scan.json.free}} < 20",
            "on_true": "mend",
            "on_false": "end",
        },
        {"id": "mend", **COMMAND},
    ]
    found = _simulate(steps, {"steps": {"scan": {"json": {"free": 12}}}})
    assert _steps(found)["low"].reason == "With its values: 12 < 20. The condition is true; next is mend."
    assert _path(_simulate(steps, {"steps": {"scan": {"json": {"free": 40}}}}))[-1] == "low completed"
    without = _simulate(steps)
    assert (without.status, _path(without)[-1]) == ("failed", "low failed")
    assert "{{step_scan.json.free}} has no value" in without.reason
    given = _simulate(steps, {"steps": {"low": "true"}})
    assert _path(given)[-1] == "mend completed"


def test_a_step_fails_by_its_exit_code_on_any_host_or_when_the_scenario_says_so() -> None:
    steps = [
        {"id": "a", **COMMAND, "on_failure": "b"},
        {"id": "b", **COMMAND, "command": "echo {{step_a.hosts.w2.exit_code}}"},
    ]
    told = {"hosts": ["w1", "w2", "w3"], "steps": {"a": {"hosts": {"w2": {"exit_code": 3, "stderr": "no"}}}}}
    found = _simulate(steps, told)
    assert _steps(found)["a"].reason == "On w2: exit code 3. Failed; next is b."
    assert [host.exit_code for host in _steps(found)["a"].hosts] == [0, 3, 0]
    assert _steps(found)["b"].input["environment"] == {"OPSGATE_V1": "3"}
    both = _simulate(steps, {"hosts": ["w1", "w2"], "steps": {"a": {"exit_code": 2}}})
    assert _steps(both)["a"].reason.startswith("On w1: exit code 2 (and 1 more of 2 jobs).")
    said = _simulate(steps, {"hosts": ["w2"], "steps": {"a": "failure"}})
    assert _steps(said)["a"].hosts[0].exit_code == 1
    timed_out = _simulate(steps, {"hosts": ["w2"], "steps": {"a": {"outcome": "failure", "exit_code": 0}}})
    assert _steps(timed_out)["a"].reason == "Failed, as the scenario says. Failed; next is b."


@pytest.mark.parametrize(
    ("kind", "votes", "status", "words"),
    [
        ("one_of_many", ["reject", "approve"], "completed", "Approved: 1 of 3"),
        ("all", ["approve", "reject"], "failed", "Rejected: approval can no longer be reached"),
        ("two_of_many", ["approve"], "paused", "1 of 2, one more needed"),
        ("singular", ["approve"], "failed", "exactly one person"),
    ],
)
def test_votes_decide_a_gate(kind: str, votes: list[str], status: str, words: str) -> None:
    found = _simulate([{"id": "ask", **GATE, "approval_type": kind}], {"steps": {"ask": {"votes": votes}}})
    assert found.status == status
    assert words in found.reason


def test_a_gate_nobody_decides_is_rejected_at_its_deadline_and_else_waits() -> None:
    gate = {"id": "ask", **GATE, "approval_type": "all"}
    told = {"steps": {"ask": {"votes": ["approve"]}}}
    waits = _simulate([gate], told)
    assert (waits.status, _path(waits), waits.path[0].ended) == ("paused", ["ask waiting"], None)
    ended = _simulate([{**gate, "timeout_minutes": 2}], told)
    assert (ended.status, ended.path[0].ended) == ("failed", 120)
    assert "deadline" in ended.reason


def test_a_server_knows_how_many_may_vote() -> None:
    known = Catalogue(people={"user:ann": frozenset({1}), "user:bob": frozenset({1})})
    gate = {"id": "ask", **GATE, "approval_type": "singular"}
    assert _simulate([gate], {"steps": {"ask": {"votes": ["approve"]}}}, known=known).status == "completed"
    assert _simulate([{"id": "ask", **GATE}], {"steps": {"ask": "failure"}}).reason.startswith(
        "ask: Rejected"
    )


def test_who_starts_it_decides_at_no_gate_that_does_not_say_so() -> None:
    known = Catalogue(people={"role:admin": frozenset({1, 2, 3})})
    gate = {"id": "ask", "type": "approval", "approvers": ["role:admin"], "approval_type": "all"}
    told = {"steps": {"ask": {"votes": ["approve", "approve"]}}}
    assert "2 of 2 said yes" in _simulate([gate], told, known=known, starter=3).reason
    for more in ({"starter": 9}, {"starter": None}):
        assert _simulate([gate], told, known=known, **more).status == "paused"
    assert _simulate([{**gate, "allow_self": True}], told, known=known, starter=3).status == "paused"


def test_without_a_server_a_role_holds_as_many_as_the_gate_needs() -> None:
    gate = {"id": "ask", "type": "approval", "approvers": ["role:admin"], "approval_type": "two_of_many"}
    found = _simulate([gate], {"steps": {"ask": {"votes": ["approve"]}}})
    assert (found.status, "1 of 2, one more needed" in found.reason) == ("paused", True)


def test_a_script_the_server_knows_gets_the_parameters_it_declares() -> None:
    declared = (
        Parameter(name="n", type="integer", required=True),
        Parameter(name="level", default="low"),
        Parameter(name="key", type="secret"),
    )
    known = Catalogue(scripts=(ScriptFacts(7, "check", declared),), hosts=frozenset())
    step = {
        "id": "a",
        "type": "script",
        "script": 7,
        "parameters": {"n": "{{inputs.n}}", "key": "{{inputs.key}}"},
    }
    inputs = [{"name": "n"}, {"name": "key", "type": "secret", "required": True}]
    found = _simulate([step], {"inputs": {"n": "4", "key": "hunter2"}}, inputs=inputs, known=known)
    assert found.path[0].input == {"script": "check", "parameters": {"n": 4, "level": "low", "key": "***"}}
    assert found.inputs == {"n": "4", "key": "***"}
    assert "hunter2" not in found.model_dump_json()
    wrong = _simulate([step], {"inputs": {"n": "many"}}, inputs=inputs, known=known)
    assert "must be a whole number" in wrong.reason
    alone = _simulate([step], {"inputs": {"n": "4"}}, inputs=inputs)
    assert alone.path[0].input == {"script": 7, "parameters": {"n": "4", "key": "***"}}
    assert [problem.code for problem in alone.problems] == ["not-checked"]


def test_targets_become_hosts() -> None:
    step = {"id": "a", **COMMAND, "hosts": ["tag:web", "db"]}

    def hosts(scenario: Any = None, **world: Any) -> list[str]:
        return [host.host for host in _simulate([step], scenario, **world).path[0].hosts]

    assert hosts() == ["tag:web", "db"]
    assert hosts(targets={"tag:web": ("w1", "db")}) == ["w1", "db"]
    assert hosts({"steps": {"a": {"hosts": {"w1": {}, "w2": {}, "db": {}}}}}) == ["w1", "w2", "db"]


def _fork(*branches: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": "p", "type": "parallel", "branches": [{"steps": steps} for steps in branches], **more}


def test_branches_run_side_by_side_and_the_quicker_comes_first() -> None:
    branches = [{"id": "a", **COMMAND}, {"id": "b", **COMMAND}], [{"id": "c", **COMMAND}]
    found = _simulate([_fork(*branches), {"id": "z", **COMMAND}], {"steps": {"c": {"seconds": 9}}})
    assert [(step.step, step.began, step.ended) for step in found.path] == [
        ("p", 0, 9),
        ("a", 0, 1),
        ("c", 0, 9),
        ("b", 1, 2),
        ("z", 9, 10),
    ]
    assert _steps(found)["b"].branch == "p.0/"
    assert _steps(found)["p"].reason == "Its branches have joined. Succeeded; next is z."


def test_with_any_the_first_wins_and_the_others_leave_nothing() -> None:
    slow = [{"id": "c", **COMMAND}, {"id": "d", **COMMAND}]
    after = {"id": "z", **COMMAND, "command": "echo {{step_c.stdout}}{{step_d.stdout}}"}
    told = {"steps": {"c": {"stdout": "c"}, "d": {"stdout": "d", "seconds": 9}, "a": {"seconds": 3}}}
    found = _simulate([_fork([{"id": "a", **COMMAND}], slow, join="any"), after], told)
    assert _steps(found)["d"].status == "cancelled"
    assert _steps(found)["d"].reason == "Another branch of p came first."
    assert _steps(found)["z"].input["environment"] == {"OPSGATE_V1": "c", "OPSGATE_V2": ""}
    assert "not-on-every-path" in [problem.code for problem in found.problems]
    failed = _simulate([_fork([{"id": "a", **COMMAND}], join="any")], {"steps": {"a": "failure"}})
    assert failed.reason == "p: No branch came to its end. Failed; the workflow fails."


def test_cancelled_in_a_branch_ends_it_all() -> None:
    branches = [{"id": "a", **COMMAND, "on_success": "cancelled"}], [{"id": "b", **GATE}]
    found = _simulate([_fork(*branches)], {"steps": {"b": {"seconds": 50}}})
    assert (found.status, _path(found)) == ("cancelled", ["p cancelled", "a completed", "b cancelled"])


def test_an_identity_gives_its_name_to_run_as_and_no_credential() -> None:
    steps = [
        {
            "id": "out",
            "type": "pam_checkout",
            "identity": "db_admin",
            "variable_name": "dba",
            "reason": "for {{instance.id}}",
        },
        {"id": "a", **COMMAND, "command": "echo {{dba.username}} {{db_admin.password}}", "run_as": "{{dba}}"},
        {"id": "in", "type": "pam_checkin", "checkout": "out"},
    ]
    found = _simulate(steps, {"steps": {"out": {"username": "root"}}})
    assert [step.input for step in found.path] == [
        {"identity": "db_admin", "reason": "for 1"},
        {
            "command": 'echo "${OPSGATE_V1}" "${OPSGATE_V2}"',
            "environment": {"OPSGATE_V1": "root", "OPSGATE_V2": "***CREDENTIAL_BLOCKED***"},
            "run_as": "dba",
        },
        {"checkout": ["out"]},
    ]
    refused = _simulate(steps, {"steps": {"out": "failure"}})
    assert (refused.status, len(refused.path)) == ("failed", 1)


def test_a_delay_that_is_told_to_fail_or_has_come() -> None:
    step = {"id": "nap", "type": "delay", "until": "{{inputs.at}}"}
    inputs = [{"name": "at", "default": "2020-01-01T00:00:00Z"}]
    assert _simulate([step], inputs=inputs).path[0].reason.startswith("The time had already come.")
    assert _simulate([step], {"steps": {"nap": "failure"}}, inputs=inputs).status == "failed"
    broken = _simulate([step], {"inputs": {"at": "soon"}}, inputs=inputs)
    assert "no ISO 8601" in broken.reason


def test_an_output_without_a_value_is_told() -> None:
    found = _simulate([{"id": "a", **COMMAND}], outputs={"ip": "{{step_a.json.ip}}"})
    assert found.outputs == {"ip": None}
    assert [(problem.code, problem.pointer) for problem in found.problems] == [
        ("output-without-value", "/outputs/ip")
    ]


@pytest.mark.parametrize(
    ("document", "scenario", "codes"),
    [
        ({"name": "w"}, {}, ["missing-field"]),
        ({"name": "w", "steps": [{"id": "a", **COMMAND, "on_success": "b"}]}, {}, ["unknown-target"]),
        ({"name": "w", "steps": [{"id": "a", **COMMAND, "on_success": "a"}]}, {}, ["cycle"]),
        ({"name": "w", "steps": [{"id": "a", **COMMAND}]}, {"inputs": {"n": 1}}, ["unknown-parameter"]),
        ({"name": "w", "steps": [{"id": "a", **COMMAND}]}, {"steps": {"b": {}}}, ["unknown-step"]),
    ],
)
def test_what_can_not_be_walked_is_refused_with_every_problem(
    document: dict[str, Any], scenario: dict[str, Any], codes: list[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        simulate(read_workflow(document), scenario, NOW)
    assert [problem.code for problem in caught.value.problems] == codes


def test_a_simulation_ends_when_nobody_waits_or_it_says_too_much() -> None:
    with pytest.raises(Invalid, match="too long"):
        _simulate([{"id": "a", **COMMAND}], going_on=lambda: False)
    many = [{"id": f"s{n}", **GATE, "title": "{{inputs.x}}"} for n in range(80)]
    with pytest.raises(Invalid, match="comes to more"):
        _simulate(many, {"inputs": {"x": "x" * 60_000}}, inputs=[{"name": "x"}])


def test_what_every_host_prints_counts_once_for_each_host() -> None:
    told = {"hosts": [f"h{n}" for n in range(1000)], "steps": {"a": {"stdout": "x" * 20_000}}}
    with pytest.raises(Invalid, match="comes to more"):
        _simulate([{"id": "a", **COMMAND}], told)
    few = _simulate([{"id": "a", **COMMAND}], {**told, "hosts": ["h1", "h2"]})
    assert few.status == "completed"


def test_no_moment_lies_beyond_the_calendar() -> None:
    last = {"id": "last", "type": "delay", "until": "9999-12-31T23:59:00Z"}
    far = _simulate([last, {"id": "nap", "type": "delay", "hours": 100}])
    assert (far.status, "after the year 9999" in far.reason) == ("failed", True)
    with pytest.raises(Invalid, match="after the year 9999"):
        _simulate([last, {"id": "ask", **GATE}, {"id": "b", **COMMAND}], {"steps": {"ask": {"seconds": 90}}})
    with pytest.raises(Invalid) as caught:
        _simulate([last], {"now": "9999-12-31T00:00:00Z"})
    assert [problem.pointer for problem in caught.value.problems] == ["/scenario/now"]

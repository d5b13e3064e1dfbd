"""The proof: every way a workflow could fail to run is found before it is published."""

import pytest

from definitions.catalogue import Catalogue, IdentityFacts, ScriptFacts
from definitions.parameters import Parameter
from definitions.problems import Problem, has_errors
from definitions.proof import prove
from definitions.workflow import Workflow, parse

KNOWN = Catalogue(
    scripts=(
        ScriptFacts(
            1,
            "health_check",
            (
                Parameter(name="threshold", type="integer", required=True),
                Parameter(name="key", type="secret"),
                Parameter(name="level", default="low"),
            ),
        ),
    ),
    hosts=frozenset({"web-1", "web.1", "7", "tag:web"}),
    people={
        "role:admin": frozenset({1, 2}),
        "role:one": frozenset({3}),
        "user:5": frozenset({5}),
        "user:ann": frozenset({5}),
        "role:empty": frozenset(),
    },
    identities=(IdentityFacts(4, "db_admin"),),
)
COMMAND: dict[str, object] = {"type": "command", "command": "true"}


def _workflow(*steps: dict[str, object], **more: object) -> Workflow:
    workflow, problems = parse({"name": "w", "steps": list(steps), **more})
    assert workflow is not None, problems
    return workflow


def _codes(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.code, problem.pointer) for problem in problems]


def _prove(*steps: dict[str, object], **more: object) -> list[tuple[str, str]]:
    return _codes(prove(_workflow(*steps, **more), KNOWN))


def test_a_sound_workflow_has_no_problem() -> None:
    steps: list[dict[str, object]] = [
        {
            "id": "a",
            "type": "script",
            "script": 1,
            "parameters": {"threshold": "{{inputs.t}}"},
            "hosts": ["Web-1", 7],
        },
        {"id": "b", **COMMAND, "command": "echo {{step_a.stdout}} {{instance.id}}", "hosts": ["tag:web"]},
        {"id": "c", "type": "condition", "condition": "{{step_a.exit_code}} == 0", "on_false": "end"},
        {
            "id": "d",
            "type": "approval",
            "approvers": ["role:admin"],
            "title": "{{step_b.hosts.web.1.json.a}}",
        },
        {"id": "e", "type": "delay", "until": "{{inputs.t}}"},
        {"id": "f", "type": "delay", "until": "2027-01-31T08:00:00+01:00"},
    ]
    assert _prove(*steps, inputs=[{"name": "t"}], outputs={"a": "{{step_a.json.k}}"}) == []


def test_an_unknown_target_names_the_nearest() -> None:
    problems = prove(_workflow({"id": "a", **COMMAND, "on_success": "emd"}), KNOWN)
    assert _codes(problems) == [("unknown-target", "/steps/0/on_success")]
    assert problems[0].fix == "Did you mean `end`?"
    far = prove(_workflow({"id": "a", **COMMAND, "on_success": "zzzzzz"}), KNOWN)
    assert "end" in far[0].fix


@pytest.mark.parametrize("back", ["a", "b"])
def test_a_cycle_is_named_once_with_its_steps(back: str) -> None:
    problems = prove(_workflow({"id": "a", **COMMAND}, {"id": "b", **COMMAND, "on_failure": back}), KNOWN)
    assert _codes(problems) == [("cycle", "/steps/1/on_failure")]
    assert ("a → b → a" if back == "a" else "b → b") in problems[0].message


def test_a_step_no_path_leads_to_is_dead() -> None:
    assert _prove({"id": "a", **COMMAND, "on_success": "end"}, {"id": "b", **COMMAND}) == [
        ("dead-step", "/steps/1")
    ]


def test_a_reference_must_be_defined_on_failure_paths_too() -> None:
    problems = _prove(
        {"id": "a", **COMMAND, "on_failure": "c"},
        {"id": "b", **COMMAND},
        {"id": "c", **COMMAND, "command": "echo {{step_a.stdout}} {{step_b.stdout}}"},
    )
    assert problems == [("not-on-every-path", "/steps/2/command")]


def test_outputs_must_be_defined_wherever_the_workflow_completes() -> None:
    steps = ({"id": "a", **COMMAND, "on_failure": "end"}, {"id": "b", **COMMAND})
    assert _prove(*steps, outputs={"x": "{{step_a.stdout}} {{step_b.stdout}}"}) == [
        ("not-on-every-path", "/outputs/x")
    ]


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("{{step_a.stdout}}", "not-on-every-path"),
        ("{{step_z.stdout}}", "unknown-reference"),
        ("{{step_w.stdout}}", "no-output"),
        ("{{step_first.output}}", "unknown-property"),
        ("{{step_first}}", "unknown-property"),
        ("{{step_first.hosts.stdout}}", "unknown-property"),
        ("{{step_first.stdout.x}}", "unknown-property"),
        ("{{inputs.z}}", "unknown-reference"),
        ("{{inputs}}", "unknown-reference"),
        ("{{inputs.t.x}}", "unknown-reference"),
        ("{{instance.owner}}", "unknown-reference"),
        ("{{nobody}}", "unknown-reference"),
        ("{{variables}}", "unknown-reference"),
        ("{{step first}}", "bad-reference"),
    ],
)
def test_a_reference_to_nothing_is_found(reference: str, code: str) -> None:
    found = _prove(
        {"id": "first", **COMMAND},
        {"id": "w", "type": "delay", "seconds": 1},
        {"id": "a", **COMMAND, "command": f"echo {reference}"},
        inputs=[{"name": "t"}],
    )
    assert found == [(code, "/steps/2/command")]


@pytest.mark.parametrize("steps", [[], [{"id": "b", **COMMAND}]])
def test_a_workflow_without_inputs_says_that_there_are_none(steps: list[dict[str, object]]) -> None:
    problems = prove(_workflow({"id": "a", **COMMAND, "command": "echo {{inputs.x}}"}, *steps), KNOWN)
    assert problems[0].fix == "There are none."


def test_an_unsafe_place_in_a_command_is_found() -> None:
    command = {"id": "a", **COMMAND, "command": "echo '{{instance.id}}'"}
    assert _prove(command) == [("unsafe-position", "/steps/0/command")]
    assert _prove({**command, "shell": "powershell"}) == [("unsafe-position", "/steps/0/command")]


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("{{inputs.n}} == 'x'", "type-mismatch"),
        ("{{inputs.s}} == 1", "type-mismatch"),
        ("{{inputs.b}} == 1", "type-mismatch"),
        ("{{instance.id}} == '1'", "type-mismatch"),
        ("{{instance.started_by}} == 1", "type-mismatch"),
        ("{{step_a.stdout}} == 0", "type-mismatch"),
        ("{{step_a.hosts.web.1.exit_code}} == ''", "type-mismatch"),
        ("{{step_a.exit_code}} ==", "bad-condition"),
        ("{{step_a.exit_code} == 0", "bad-reference"),
    ],
)
def test_a_condition_that_can_not_be_answered_is_found(condition: str, code: str) -> None:
    inputs = [{"name": "n", "type": "number"}, {"name": "s"}, {"name": "b", "type": "boolean"}]
    found = _prove(
        {"id": "a", **COMMAND}, {"id": "c", "type": "condition", "condition": condition}, inputs=inputs
    )
    assert found == [(code, "/steps/1/condition")]


def test_json_and_choices_compare_with_anything() -> None:
    condition = "{{step_a.json.x}} == 1 && {{inputs.c}} == 'x' && {{step_a.json}}.y == 'z'"
    inputs = [{"name": "c", "type": "choice", "choices": ["x", 1]}]
    check = {"id": "c", "type": "condition", "condition": condition}
    assert _prove({"id": "a", **COMMAND}, check, inputs=inputs) == []


def test_a_condition_on_an_unknown_input_is_found_once() -> None:
    check = {"id": "c", "type": "condition", "condition": "{{inputs.z}} == 1"}
    assert _prove(check) == [("unknown-reference", "/steps/0/condition")]


def test_on_success_of_a_condition_is_a_warning() -> None:
    problems = prove(
        _workflow({"id": "c", "type": "condition", "condition": "true", "on_success": "end"}), KNOWN
    )
    assert [(problem.code, problem.severity) for problem in problems] == [("unused-field", "warning")]


@pytest.mark.parametrize("until", ["2027-01-31", "2027-01-31T08:00:00", "tomorrow"])
def test_a_delay_until_no_instant_is_found(until: str) -> None:
    assert _prove({"id": "a", "type": "delay", "until": until}) == [("bad-instant", "/steps/0/until")]


def test_references_stand_only_where_they_may() -> None:
    found = _prove({"id": "a", **COMMAND, "name": "{{instance.id}}", "hosts": ["web-1"]})
    assert found == [("template-not-allowed", "/steps/0/name")]


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ({"script": "healthcheck"}, ("unknown-script", "/steps/0/script")),
        ({"script": 9}, ("unknown-script", "/steps/0/script")),
        ({"parameters": {}}, ("missing-parameter", "/steps/0/parameters/threshold")),
        ({"parameters": {"threshold": "x"}}, ("bad-value", "/steps/0/parameters/threshold")),
        ({"parameters": {"threshold": [1]}}, ("bad-value", "/steps/0/parameters/threshold")),
        ({"parameters": {"threshold": 1, "tresh": 1}}, ("unknown-parameter", "/steps/0/parameters/tresh")),
        ({"parameters": {"threshold": 1, "key": "k"}}, ("secret-in-definition", "/steps/0/parameters/key")),
        (
            {"parameters": {"threshold": "{{inputs.z}}"}},
            ("unknown-reference", "/steps/0/parameters/threshold"),
        ),
        ({"hosts": ["web-1", "web-2"]}, ("unknown-host", "/steps/0/hosts/1")),
        ({"hosts": ["group:db"]}, ("unknown-host", "/steps/0/hosts/0")),
        ({"hosts": ["@engine"]}, ("engine-steps-off", "/steps/0/hosts/0")),
        ({"run_as": "dba"}, ("no-identity", "/steps/0/run_as")),
    ],
)
def test_what_a_script_step_names_must_exist_and_fit(step: dict[str, object], found: tuple[str, str]) -> None:
    whole = {"id": "a", "type": "script", "script": "health_check", "parameters": {"threshold": 90}, **step}
    assert _prove(whole) == [found]


def test_a_step_may_run_on_the_engine_host_where_that_is_allowed() -> None:
    step = {"id": "a", "type": "command", "command": "true", "hosts": ["@engine"]}
    assert prove(_workflow(step), Catalogue(hosts=frozenset({"@engine"}))) == []


@pytest.mark.parametrize(
    ("gate", "found"),
    [
        ({"approvers": ["role:empty"]}, ["unknown-approver", "too-few-approvers"]),
        ({"approvers": ["role:nobody", "role:admin"]}, ["unknown-approver"]),
        ({"approvers": ["role:admin"], "approval_type": "singular"}, ["too-few-approvers"]),
        ({"approvers": ["user:5"], "approval_type": "singular"}, []),
        ({"approvers": ["user:5", "user:ann"], "approval_type": "two_of_many"}, ["too-few-approvers"]),
        ({"approvers": ["role:admin"], "approval_type": "two_of_many"}, ["few-approvers"]),
        ({"approvers": ["role:admin"], "approval_type": "two_of_many", "allow_self": True}, []),
        ({"approvers": ["role:admin", "user:5"], "approval_type": "two_of_many"}, []),
        ({"approvers": ["user:5"]}, []),
    ],
)
def test_a_gate_needs_enough_distinct_people(gate: dict[str, object], found: list[str]) -> None:
    assert [code for code, _ in _prove({"id": "a", "type": "approval", **gate})] == found


def test_a_kind_of_step_is_named_with_its_article() -> None:
    gate = {"id": "a", "type": "approval", "approvers": ["role:x"], "retries": 1}
    read = {"id": "b", "type": "command", "command": "echo {{step_a.stdout}}"}
    messages = [problem.message for problem in prove(_workflow(gate, read))]
    assert messages[0] == "An approval step has no jobs that could be tried again."
    assert messages[1] == "{{step_a.stdout}}: an approval step leaves no output."


@pytest.mark.parametrize(
    ("gate", "found"),
    [
        ({"approvers": ["user:5", "user:5"]}, ["too-few-approvers", "not-checked"]),
        ({"approvers": ["role:admin"]}, ["not-checked"]),
        ({"approvers": ["user:5", "user:6"]}, ["not-checked"]),
    ],
)
def test_offline_a_gate_of_one_named_person_can_not_be_two_of_many(
    gate: dict[str, object], found: list[str]
) -> None:
    workflow = _workflow({"id": "a", "type": "approval", "approval_type": "two_of_many", **gate})
    assert [problem.code for problem in prove(workflow)] == found


def test_offline_the_proof_says_what_it_left_out() -> None:
    workflow = _workflow(
        {"id": "a", "type": "script", "script": "x"},
        {"id": "b", **COMMAND, "hosts": ["x"]},
        {"id": "c", "type": "approval", "approvers": ["role:x"]},
    )
    problems = prove(workflow)
    assert not has_errors(problems)
    assert "scripts and their parameters, hosts, approvers" in problems[-1].message


def test_nothing_is_left_out_where_nothing_would_be_checked() -> None:
    assert prove(_workflow({"id": "a", **COMMAND})) == []


CHECKOUT: dict[str, object] = {
    "id": "out",
    "type": "pam_checkout",
    "identity": "db_admin",
    "variable_name": "dba",
}


def _identity(text: str, **step: object) -> list[tuple[str, str]]:
    approval = {"id": "a", "type": "approval", "approvers": ["role:admin"], "title": text, **step}
    found = prove(_workflow(CHECKOUT, approval), KNOWN)
    return [(problem.code, problem.severity) for problem in found]


@pytest.mark.parametrize("name", ["dba", "db_admin", "variables.dba"])
def test_an_identity_is_known_by_both_its_names_and_gives_no_credential(name: str) -> None:
    assert _identity(f"{{{{{name}.username}}}}") == []
    assert _identity(f"{{{{{name}.Password}}}}") == [("credential-blocked", "warning")]


def test_a_credential_in_a_condition_is_an_error() -> None:
    found = prove(
        _workflow(CHECKOUT, {"id": "c", "type": "condition", "condition": "{{dba.password}} == 'x'"}), KNOWN
    )
    assert ("credential-blocked", "error") in [(problem.code, problem.severity) for problem in found]


def test_an_identity_must_be_checked_out_first() -> None:
    first = {"id": "a", **COMMAND, "command": "echo {{dba.username}}"}
    assert ("not-on-every-path", "/steps/0/command") in _prove(first, CHECKOUT)


@pytest.mark.parametrize("name", ["inputs", "step_x", "variables", "instance"])
def test_an_identity_can_not_take_a_reserved_name(name: str) -> None:
    assert ("reserved-name", "/steps/0/variable_name") in _prove({**CHECKOUT, "variable_name": name})
    assert ("reserved-name", "/steps/0/identity") in _prove({**CHECKOUT, "identity": name})


def test_a_problem_in_a_branch_is_found_where_it_stands() -> None:
    branches = [{"name": "x", "steps": [{"id": "b", **COMMAND, "on_success": "zz"}]}]
    found = _prove({"id": "a", **COMMAND}, {"id": "p", "type": "parallel", "branches": branches})
    assert found == [("unknown-target", "/steps/1/branches/0/steps/0/on_success")]


def test_a_branch_sees_what_ran_before_it_and_not_beside_it() -> None:
    def branch(text: str, step_id: str) -> dict[str, object]:
        return {"steps": [{"id": step_id, **COMMAND, "command": f"echo {text}"}]}

    branches = [branch("{{step_a.stdout}}", "b"), branch("{{step_b.stdout}}", "c")]
    found = _prove({"id": "a", **COMMAND}, {"id": "p", "type": "parallel", "branches": branches})
    assert ("not-on-every-path", "/steps/1/branches/1/steps/0/command") in found
    assert len(found) == 1


def test_of_very_many_long_conditions_the_last_are_not_looked_at() -> None:
    def conditions(same: str) -> list[tuple[str, str]]:
        texts = [f"{same or f'x{n}'} == 1" + " && true" * 240 for n in range(22)]
        texts.append("'no {{instance.id}} stands in a text' == ''")
        return _prove(
            *({"id": f"c{n}", "type": "condition", "condition": text} for n, text in enumerate(texts))
        )

    found = [code for code, pointer in conditions("") if pointer.endswith("/condition")]
    assert (found.count("unknown-name"), found.count("too-much-work")) == (20, 3)
    assert [code for code, _ in conditions("2")] == ["bad-condition"]

"""What the proof says of steps on hosts: hosts that references name, and fields that change nothing."""

import pytest

from definitions.catalogue import Catalogue
from definitions.host_references import needs_hosts, unmet
from definitions.proof import prove
from definitions.workflow import Workflow, parse

KNOWN = Catalogue(
    hosts=frozenset({"web-1", "web.1", "7", "tag:web"}), people={"role:admin": frozenset({1, 2})}
)
COMMAND: dict[str, object] = {"type": "command", "command": "true"}


def workflow(*steps: dict[str, object]) -> Workflow:
    made, problems = parse({"name": "w", "steps": list(steps)})
    assert made is not None, problems
    return made


def codes(*steps: dict[str, object]) -> list[tuple[str, str]]:
    return [(problem.code, problem.pointer) for problem in prove(workflow(*steps), KNOWN)]


@pytest.mark.parametrize(
    ("hosts", "name", "found"),
    [
        (["web-1"], "web-1", []),
        (["Web-1"], "web-1", []),
        (["web-1"], "web.1", [("unknown-host", "/steps/1/command")]),
        (["web-1"], "Web-1", [("unknown-host", "/steps/1/command")]),
        (["tag:web"], "web.1", []),
        ([7], "web.1", []),
        ([], "web-1", []),
        ([], "web-2", [("unknown-host", "/steps/1/command")]),
        ([], "7", [("unknown-host", "/steps/1/command")]),
        ([7], "7", [("unknown-host", "/steps/1/command")]),
    ],
)
def test_a_host_that_a_reference_names_must_be_one_of_the_steps(
    hosts: list[object], name: str, found: list[tuple[str, str]]
) -> None:
    told = {"id": "b", **COMMAND, "command": f"echo {{{{step_a.hosts.{name}.stdout}}}}"}
    assert codes({"id": "a", **COMMAND, "hosts": hosts}, told) == found


def test_a_part_of_a_hosts_name_may_be_called_like_a_property() -> None:
    told = {"id": "b", **COMMAND, "command": "echo {{step_a.hosts.db.json.lan.json.n}}"}
    facts = Catalogue(hosts=frozenset({"db.json.lan"}))
    assert prove(workflow({"id": "a", **COMMAND, "hosts": ["db.json.lan"]}, told), facts) == []


def test_without_a_catalogue_a_host_in_a_reference_is_checked_by_the_step_alone() -> None:
    told = {"id": "b", **COMMAND, "command": "echo {{step_a.hosts.nowhere.stdout}}"}
    assert prove(workflow({"id": "a", **COMMAND}, told)) == []


WAVES = {"max_parallel": 2, "max_failures": 1, "retries": 2, "retry_delay_seconds": 5, "retry_backoff": 2}
GATE = {"id": "a", "type": "approval", "approvers": ["role:admin"]}


@pytest.mark.parametrize(
    "step",
    [
        {"id": "a", **COMMAND, **WAVES, "retry_max_delay_seconds": 60, "timeout_minutes": 5},
        {"id": "a", **COMMAND, "max_failures": 1, "retries": 1},
        {**GATE, "timeout_minutes": 5},
        {"id": "a", "type": "delay", "seconds": 5, "timeout_minutes": 5},
    ],
)
def test_what_a_step_makes_use_of_is_no_problem(step: dict[str, object]) -> None:
    assert codes(step) == []


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({"id": "a", **COMMAND, "max_failures": 1}, "max_failures"),
        ({"id": "a", **COMMAND, "retry_delay_seconds": 5}, "retry_delay_seconds"),
        ({"id": "a", **COMMAND, "retry_backoff": 2}, "retry_backoff"),
        ({"id": "a", **COMMAND, "retry_max_delay_seconds": 0}, "retry_max_delay_seconds"),
        ({**GATE, "retries": 1}, "retries"),
        ({"id": "a", "type": "condition", "condition": "true", "timeout_minutes": 5}, "timeout_minutes"),
    ],
)
def test_a_field_that_changes_nothing_is_a_warning(step: dict[str, object], field: str) -> None:
    found = [(found.code, found.severity, found.pointer) for found in prove(workflow(step), KNOWN)]
    assert found == [("unused-field", "warning", f"/steps/0/{field}")]


COPY = {"id": "a", "type": "command", "command": "cp {{instance.id}}.log /tmp"}


@pytest.mark.parametrize(
    ("step", "found"),
    [
        (COPY, [("unsafe-position", "warning")]),
        ({**COPY, "shell": "bash"}, []),
        ({**COPY, "shell": "powershell"}, [("unsafe-position", "error")]),
        ({**COPY, "command": "echo '{{instance.id}}'"}, [("unsafe-position", "error")]),
    ],
)
def test_where_the_host_decides_on_the_shell_what_powershell_would_refuse_is_a_warning(
    step: dict[str, object], found: list[tuple[str, str]]
) -> None:
    assert [(one.code, one.severity) for one in prove(workflow(step), KNOWN)] == found


def test_a_host_that_a_reference_names_must_be_one_of_the_instances() -> None:
    told = {
        "id": "b",
        **COMMAND,
        "command": "echo {{step_a.hosts.web-1.stdout}} {{step_c.hosts.web-1.stdout}}",
    }
    made, _ = parse(
        {
            "name": "w",
            "steps": [{"id": "a", **COMMAND}, {"id": "c", **COMMAND, "hosts": ["web-1"]}, told],
            "outputs": {"x": "{{step_a.hosts.db.json.n}}", "y": "{{step_a.stdout}}"},
        }
    )
    assert made is not None
    assert unmet(made, frozenset({"web-1", "db"})) == []
    found = [(one.pointer, one.fix) for one in unmet(made, frozenset({"web-2"}))]
    assert found == [
        ("/steps/2/command", "Did you mean `web-2`?"),
        ("/outputs/x", "Start it on that host too."),
    ]


@pytest.mark.parametrize(
    ("steps", "needed"),
    [
        ([{"id": "a", **COMMAND}], True),
        ([{"id": "a", **COMMAND, "hosts": ["@engine"]}, {"id": "d", "type": "delay", "seconds": 1}], False),
        ([{"id": "p", "type": "parallel", "branches": [{"steps": [{"id": "a", **COMMAND}]}]}], True),
    ],
)
def test_only_steps_without_hosts_of_their_own_need_those_of_the_instance(
    steps: list[dict[str, object]], needed: bool
) -> None:
    assert needs_hosts(workflow(*steps)) is needed

"""Variables: the grammar, the values, and that no credential ever appears."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.parameters import Value
from definitions.references import malformed, references
from definitions.variables import (
    BLOCKED,
    CheckoutFacts,
    HostFacts,
    Scope,
    StepFacts,
    Unresolved,
    beginnings,
    identities_of,
    resolve,
    resolve_run_as,
    resolve_text,
    scope,
)

SECRET = "hunter2-the-secret"
SCAN = HostFacts(
    host="web-1.example.com",
    stdout='{"ip": "10.0.0.1", "ports": [22, 443], "deep": {"a-b": {"0": true}}, "bad": "\\u0000"}\r\n\n',
    stderr="warned\n",
    exit_code=0,
)
OTHER = HostFacts(host="json", stdout="plain", exit_code=3)


def _scope(**results: StepFacts | None) -> Scope:
    return scope(
        inputs={"threshold": 90, "name": "{{step_scan.stdout}}", "list": ["x"], "none": None, "yes": True},
        instance={"id": 7, "started_by": "ann"},
        results={"scan": StepFacts(hosts=(SCAN, OTHER)), "my-step": StepFacts(hosts=(OTHER,)), **results},
        identities={
            "db_admin": {
                "username": "dba",
                "credential_type": "password",
                "domain": None,
                "password": SECRET,
                "Username": SECRET,
            }
        },
    )


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("{{inputs.threshold}}", 90),
        ("{{ inputs.threshold }}", 90),
        ("{{variables.inputs.threshold}}", 90),
        ("at {{inputs.threshold}}%", "at 90%"),
        ("{{inputs.threshold}}{{inputs.threshold}}", "9090"),
        ("{{inputs.none}}", None),
        ("<{{inputs.none}}>", "<>"),
        ("is {{inputs.yes}}", "is true"),
        ("{{inputs.list}}", ["x"]),
        ("l={{inputs.list}}", 'l=["x"]'),
        ("{{instance.id}}", 7),
        ("by {{instance.started_by}}", "by ann"),
        ("{{step_scan.json.ip}}", "10.0.0.1"),
        ("{{step_scan.json.ports.1}}", 443),
        ("{{step_scan.json.deep.a-b.0}}", True),
        ("{{step_scan.json.deep}}", {"a-b": {"0": True}}),
        ("{{step_scan.stderr}}", "warned"),
        ("{{step_my-step.stdout}}", "plain"),
        ("{{variables.step_my-step.stdout}}", "plain"),
        ("{{step_scan.hosts.web-1.example.com.exit_code}}", 0),
        ("{{step_scan.hosts.web-1.example.com.json.ports.0}}", 22),
        ("{{step_scan.hosts.json.exit_code}}", 3),
        ("{{db_admin.username}}", "dba"),
        ("{{variables.db_admin.username}}", "dba"),
        ("{{db_admin.credential_type}}", "password"),
        ("{{db_admin.domain}}", None),
        ("{{db_admin}}", BLOCKED),
        ({"a": ["{{inputs.threshold}}", 1]}, {"a": [90, 1]}),
        ("{{.Names}}", "{{.Names}}"),
    ],
)
def test_a_reference_resolves(template: Value, value: Value) -> None:
    resolved = resolve(template, _scope())
    assert resolved == value
    assert type(resolved) is type(value)


def test_a_value_is_never_scanned_again() -> None:
    assert resolve("{{inputs.name}} {{inputs.name}}", _scope()) == "{{step_scan.stdout}} {{step_scan.stdout}}"


def test_the_exit_code_of_several_hosts_is_the_first_that_is_not_zero() -> None:
    assert resolve("{{step_scan.exit_code}}", _scope()) == 3


@pytest.mark.parametrize(("codes", "whole"), [((0, 0), 0), ((0, None), None), ((None, 4), 4), ((), None)])
def test_the_exit_code_is_null_when_a_host_has_none(codes: tuple[int | None, ...], whole: int | None) -> None:
    facts = StepFacts(hosts=tuple(HostFacts(host=str(n), exit_code=code) for n, code in enumerate(codes)))
    assert facts.exit_code == whole


@pytest.mark.parametrize("results", [{}, {"late": None}, {"late": StepFacts()}])
def test_a_step_that_never_ran_has_empty_output_and_no_exit_code(
    results: dict[str, StepFacts | None],
) -> None:
    after = _scope(**results)
    assert resolve("{{step_late.stdout}}", after) == ""
    assert resolve("{{step_late.stderr}}", after) == ""
    assert resolve("{{step_late.exit_code}}", after) is None
    assert resolve("{{step_late.hosts.web-1.example.com.stdout}}", after) == ""


@pytest.mark.parametrize(
    "template",
    [
        "{{step_scan.json.nothing}}",
        "{{step_scan.json.ports.2}}",
        "{{step_scan.json.ports.x}}",
        "{{step_scan.json.ports.00000000000000001}}",
        "{{step_scan.json.ip.0}}",
        "{{step_scan.json.bad}}",
        "{{step_my-step.json.a}}",
        "{{step_late.json.a}}",
        "{{step_scan}}",
        "{{step_scan.output}}",
        "{{step_scan.stdout.x}}",
        "{{step_scan.hosts}}",
        "{{step_scan.hosts.web-1.stdout}}",
        "{{step_scan.hosts.web-1.example.com}}",
        "{{step_late.hosts.stdout}}",
        "{{step_late.hosts.web-1.output}}",
        "{{inputs.other}}",
        "{{inputs}}",
        "{{inputs.list.0}}",
        "{{instance.password}}",
        "{{variables}}",
        "{{nobody.password}}",
    ],
)
def test_a_reference_without_a_value_fails_and_is_named(template: str) -> None:
    with pytest.raises(Unresolved) as caught:
        resolve(f"x {template}", _scope())
    assert caught.value.reference == template
    assert template in str(caught.value)


@pytest.mark.parametrize("stdout", ["NaN", "[" * 100_000, "", '{"a": 1e', "[" * 50 + "]" * 50])
def test_output_that_is_no_json_we_can_keep_fails(stdout: str) -> None:
    with pytest.raises(Unresolved):
        resolve("{{step_x.json}}", _scope(x=StepFacts(hosts=(HostFacts(host="a", stdout=stdout),))))


CUT = HostFacts(host="web-1", stdout='{"ip": "10.', exit_code=0, truncated={"stdout": 8388})


@pytest.mark.parametrize("template", ["{{step_big.json.ip}}", "{{step_big.hosts.web-1.json}}"])
def test_json_of_which_only_the_beginning_is_here_is_not_called_no_json(template: str) -> None:
    with pytest.raises(Unresolved, match="web-1 printed more than 8 KiB to stdout"):
        resolve(template, _scope(big=StepFacts(hosts=(CUT,))))


def test_a_text_takes_the_beginning_of_an_output_and_it_can_be_said() -> None:
    after = _scope(big=StepFacts(hosts=(CUT,)))
    text = "{{step_big.stdout}} {{step_big.stderr}} {{step_scan.stdout}} {{inputs.yes}} {{step_big.hosts.x}}"
    assert resolve("<{{step_big.stdout}}>", after) == '<{"ip": "10.>'
    assert resolve("{{step_big.exit_code}}", after) == 0
    (said,) = beginnings([text, text], after)
    assert said.startswith("{{step_big.stdout}} is not the whole: web-1 printed more than 8 KiB")
    errors = HostFacts(host="h", truncated={"stderr": 5})
    (said,) = beginnings(["{{step_e.stderr}}"], _scope(e=StepFacts(hosts=(errors,))))
    assert "more than 5 bytes to stderr" in said


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "PASSWORD",
        "Username",
        "username.password",
        "secret",
        "domain.x",
        "private_key",
        "0",
    ],
)
@pytest.mark.parametrize("prefix", ["", "variables."])
def test_every_property_of_an_identity_that_is_not_allowed_is_the_marker(prefix: str, name: str) -> None:
    assert resolve(f"{{{{{prefix}db_admin.{name}}}}}", _scope()) == BLOCKED


def test_an_identity_can_not_take_a_reserved_name() -> None:
    odd = Scope({}, {}, {}, {"variables": {"username": SECRET}, "step_x": {"username": SECRET}})
    with pytest.raises(Unresolved):
        resolve("{{variables.variables.username}}", odd)
    for name in ("variables.variables", "step_x"):
        with pytest.raises(Unresolved):
            resolve_run_as(f"{{{{{name}}}}}", odd)


@pytest.mark.parametrize("run_as", ["{{db_admin}}", "{{ variables.db_admin }}"])
def test_a_whole_identity_stands_for_its_name_in_run_as_alone(run_as: str) -> None:
    assert resolve_run_as(run_as, _scope()) == "db_admin"


@pytest.mark.parametrize("run_as", ["svc", "{{db_admin.username}}", "x{{db_admin}}", "{{db_admin.password}}"])
def test_nothing_runs_as_anything_but_a_whole_identity(run_as: str) -> None:
    with pytest.raises(Unresolved, match="names an identity that was checked out"):
        resolve_run_as(run_as, _scope())


def test_an_identity_that_was_checked_in_can_be_read_and_runs_nothing() -> None:
    over = replace(_scope(), over={"db_admin": "Its time is over."})
    assert resolve("{{db_admin.username}}", over) == "dba"
    with pytest.raises(Unresolved, match=r"`db_admin` any more, its checkout has ended: Its time is over\."):
        resolve_run_as("{{db_admin}}", over)


def test_of_two_checkouts_with_one_name_the_later_counts() -> None:
    def left(number: int, username: str) -> StepFacts:
        names = ("dba", f"id{number}")
        facts = CheckoutFacts(
            id=number, names=names, vault="v", path="p", username=username, credential_type="password"
        )
        return StepFacts(checkout=facts)

    found = identities_of([left(1, "ann"), None, StepFacts(), left(2, "bob")])
    users = {name: facts["username"] for name, facts in found.items()}
    assert users == {"dba": "bob", "id1": "ann", "id2": "bob"}
    assert set(found["dba"]) == {"username", "credential_type", "domain"}


def test_an_identity_that_is_not_checked_out_runs_nothing() -> None:
    with pytest.raises(Unresolved):
        resolve_run_as("{{nobody}}", _scope())


def test_a_text_stays_a_text_whatever_its_one_reference_holds() -> None:
    assert resolve_text("{{inputs.threshold}}", _scope()) == "90"
    assert resolve_text("{{inputs.none}}", _scope()) == ""


PIECES = st.sampled_from(
    [
        "{{",
        "}}",
        "{",
        "}",
        "db_admin",
        ".",
        "password",
        "Username",
        "username",
        "variables.",
        "step_scan",
        ".json",
        ".hosts",
        "inputs",
        "name",
        "$",
        "'",
        "json",
        "domain",
        "instance",
        "-",
        "0",
        "{{db_admin.",
        "{{variables.db_admin.",
    ]
)


def _said(text: str) -> str:
    try:
        return str(resolve(text, _scope()))
    except Unresolved as error:
        return str(error)


@given(st.lists(PIECES | st.text(max_size=3), max_size=14).map("".join))
def test_no_text_ever_resolves_to_a_credential_or_crashes(text: str) -> None:
    assert SECRET not in _said(text)


@given(st.text())
def test_text_without_braces_stays_as_it_is(text: str) -> None:
    if "{{" not in text:
        assert resolve(text, _scope()) == text


def test_references_are_found_in_order_with_their_places() -> None:
    found = references("a {{x.y}} {{ variables.step_b.json.0 }}")
    assert [(reference.path, reference.start, reference.end) for reference in found] == [
        (("x", "y"), 2, 9),
        (("step_b", "json", "0"), 10, 39),
    ]
    assert [reference.step_id for reference in found] == [None, "b"]


@pytest.mark.parametrize(
    "text", ["{{step b}}", "{{}}", "{{ 1x }}", "{{a..b}}", "{{step_x.stdout", "{{inputs.a} x"]
)
def test_what_looks_like_a_reference_and_is_none_is_told(text: str) -> None:
    assert malformed(f"echo {text}")


@pytest.mark.parametrize("text", ["{{.Names}}", "{{ .Names }}", "{{inputs.a}}", "{ {a} }", "x {{ y", "${x}"])
def test_what_is_no_attempt_at_a_reference_may_stand(text: str) -> None:
    assert malformed(text) == ()

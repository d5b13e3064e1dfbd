"""What will run if people say yes: frozen when it is asked, shown with what changed since the last yes."""

from typing import Any

from definitions.permissions import Actor
from definitions.quorum import digest
from store import approvals, libraries, scripts, workflows
from store.approval_plans import StepPlan
from store.approvals import ApprovalDetail
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault

GATE = {"id": "gate", "type": "approval", "approvers": ["role:approver"]}
CHECK = {"type": "script", "script": "disk-check"}
LOOK = {"id": "look", "type": "command", "command": "df -h"}


def text(step: StepPlan) -> str:
    return "".join(piece.text for piece in step.text)


def values(step: StepPlan) -> dict[str, str]:
    return {name: "".join(piece.text for piece in found) for name, found in step.values.items()}


async def ended(org: Any, instance: int, step: str, stdout: str) -> None:
    """A step's result, as the engine leaves it."""
    facts = {"hosts": [{"host": "web-1", "stdout": stdout, "exit_code": 0}]}
    await org.db.execute(
        """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status, facts, ended_at)
           VALUES ($1, $2, 1, 'command', $2, 'completed', $3, now())""",
        instance,
        step,
        facts,
    )


async def asked(org: Any, workflow: int | str, stdout: str = "41 %", **inputs: Any) -> ApprovalDetail:
    """An instance at its gate, after a first step that printed something."""
    instance = await org.start(workflow, **inputs)
    await ended(org, instance.id, "look", stdout)
    request: ApprovalDetail = await org.open_gate(instance)
    return request


async def approved(org: Any, request: ApprovalDetail) -> None:
    await approvals.vote(org.db, org.bo, request.id, "approve", "", request.digest)


async def test_the_next_command_shows_what_it_will_be_given(org: Any) -> None:
    deploy = {"id": "deploy", "type": "command", "command": "deploy {{inputs.note}} at {{step_look.stdout}}"}
    check = {"id": "check", "type": "command", "command": "check {{step_deploy.stdout}}"}
    await org.publish([LOOK, GATE, deploy, check], inputs=[{"name": "note"}])
    first, second = (await asked(org, "deploy", note="release 7")).plan.steps
    assert (text(first), first.hosts, first.when) == ("deploy release 7 at 41 %", ("web-1",), "first")
    assert second.text[-1].unknown == "known when `deploy` has run"


async def checked_out(org: Any, instance: int, step: str, number: int, name: str) -> None:
    """What a checkout leaves under the name `acct`."""
    about = {"vault": "main", "path": "p", "username": f"{name}_user", "credential_type": "password"}
    await org.db.execute(
        """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status, facts, ended_at)
           VALUES ($1, $2, 1, 'pam_checkout', $2, 'completed', $3, now())""",
        instance,
        step,
        {"checkout": {"id": number, "names": ["acct", name], **about}},
    )


async def test_whom_a_step_runs_as_is_shown_of_its_own_branch_and_as_far_as_it_is_certain(org: Any) -> None:
    def out(step_id: str, identity: str) -> dict[str, Any]:
        return {"id": step_id, "type": "pam_checkout", "identity": identity, "variable_name": "acct"}

    def use(step_id: str) -> dict[str, Any]:
        return {"id": step_id, "type": "command", "command": "true", "run_as": "{{acct}}"}

    give_back = {"id": "in", "type": "pam_checkin"}
    own = [out("alice", "alice"), GATE, use("use"), give_back, out("eve", "eve"), use("late")]
    fork = {"id": "p", "type": "parallel", "branches": [{"steps": own}, {"steps": [out("bob", "bob")]}]}
    await save_vault(org)
    for name in ("alice", "bob", "eve"):
        await save_identity(org, name=name)
    await org.publish_unproved([fork])
    instance = await org.start("deploy")
    await checked_out(org, instance.id, "alice", 1, "alice")
    await checked_out(org, instance.id, "bob", 2, "bob")
    plan = {step.step: values(step) for step in (await org.open_gate(instance)).plan.steps}
    assert (plan["use"], plan["late"]) == ({"run as": "acct (alice_user)"}, {"run as": "{{acct}}"})


async def test_what_is_shown_is_what_the_digest_covers(org: Any) -> None:
    await org.publish(
        [LOOK, GATE, {"id": "deploy", "type": "command", "command": "echo {{step_look.stdout}}"}]
    )
    request = await asked(org, "deploy")
    assert digest(request.frozen) == request.digest
    assert [step["step"] for step in request.frozen["ahead"]] == ["deploy"]


async def test_a_script_is_shown_with_its_libraries_its_parameters_and_their_defaults(
    org: Any, save_script: Any
) -> None:
    library = libraries.LIBRARIES.model(name="lib", language="bash", content="f() { true; }")
    await libraries.LIBRARIES.put(org.db, org.ana, library)
    parameters = [
        {"name": "threshold", "type": "integer", "default": 90},
        {"name": "note"},
        {"name": "literal", "default": "{{inputs.note}}"},
    ]
    await save_script(libraries=["lib"], parameters=parameters, requires_elevation=True)
    run = {
        "id": "run",
        "type": "script",
        "script": "disk-check",
        "parameters": {"note": "{{step_look.stdout}}"},
    }
    await org.publish([LOOK, GATE, run])
    (step,) = (await asked(org, "deploy")).plan.steps
    assert values(step) == {"threshold": "90", "note": "41 %", "literal": "{{inputs.note}}"}
    assert step.script is not None
    assert (step.script.name, step.script.version, step.script.libraries) == ("disk-check", 1, {"lib": 1})
    assert step.script.requires_elevation
    assert step.content == "f() { true; }\ndf -h"


async def test_a_secret_input_is_no_more_than_a_mark(org: Any, save_script: Any) -> None:
    await save_script(parameters=[{"name": "key", "type": "secret"}])
    run = {"id": "run", "type": "script", "script": "disk-check", "parameters": {"key": "{{inputs.key}}"}}
    await org.publish([LOOK, GATE, run], inputs=[{"name": "key", "type": "secret"}])
    instance = await org.start("deploy")
    await org.db.execute('UPDATE instances SET inputs = \'{"key": "***"}\'')
    (step,) = (await org.open_gate(instance)).plan.steps
    assert values(step) == {"key": "***"}


async def test_hosts_that_a_tag_names_are_said_to_be_fixed(org: Any) -> None:
    await org.db.execute("UPDATE hosts SET tags = '{web}'")
    tagged = {"id": "tagged", "type": "command", "command": "true", "hosts": ["tag:web"]}
    await org.publish([LOOK, GATE, tagged])
    (step,) = (await asked(org, "deploy")).plan.steps
    assert (step.hosts, step.hosts_note) == (
        ("web-1", "web-2"),
        "tag:web: if this means other hosts when the step begins, the step fails",
    )


async def test_a_step_on_the_engine_host_says_so(org: Any) -> None:
    engine = await org.db.fetchval("INSERT INTO hosts (name, os) VALUES ('@engine', 'linux') RETURNING id")
    await org.db.execute(
        """INSERT INTO agents (host_id, token_sha256, public_key, version, last_seen_at)
           VALUES ($1, '', decode(repeat('00', 32), 'hex'), '1', now())""",
        engine,
    )
    here = {"id": "here", "type": "command", "command": "true", "hosts": ["@engine"]}
    await org.publish([LOOK, GATE, here])
    (step,) = (await asked(org, "deploy")).plan.steps
    assert (step.hosts, step.hosts_note) == (("@engine",), "")


async def test_hosts_that_are_gone_are_said_to_be(org: Any) -> None:
    there = {"id": "there", "type": "command", "command": "true", "hosts": ["web-2"]}
    await org.publish([LOOK, GATE, there])
    instance = await org.start("deploy")
    await org.db.execute("UPDATE hosts SET decommissioned_at = now() WHERE name = 'web-2'")
    (step,) = (await org.open_gate(instance)).plan.steps
    assert (step.hosts, step.hosts_note) == ((), "There is no host web-2.")


async def test_what_changed_in_a_script_since_the_last_yes_is_shown(org: Any, save_script: Any) -> None:
    await save_script()
    run = {"id": "run", "type": "script", "script": "disk-check"}
    await org.publish([LOOK, GATE, run])
    first = await asked(org, "deploy")
    assert (first.plan.compared_with, first.plan.steps[0].change) == (None, None)
    await approved(org, first)
    same = await asked(org, "deploy")
    assert same.plan.compared_with is not None
    assert same.plan.compared_with.request_id == first.id
    change = same.plan.steps[0].change
    assert change is not None
    assert (change.new, change.settings, change.content) == (False, "", "")
    await save_script(content="df -h\nrm -rf /tmp/x", timeout_seconds=5)
    changed = (await asked(org, "deploy")).plan.steps[0].change
    assert changed is not None
    assert "+rm -rf /tmp/x" in (changed.content or "")
    assert '+    "timeout_seconds": 5' in changed.settings


async def test_a_new_step_a_changed_command_and_one_that_is_gone(org: Any) -> None:
    def step(name: str, command: str) -> dict[str, Any]:
        return {"id": name, "type": "command", "command": command}

    await org.publish([LOOK, GATE, step("a", "old"), step("b", "b")])
    await approved(org, await asked(org, "deploy"))
    await org.publish([LOOK, GATE, step("a", "new"), step("c", "c")])
    plan = (await asked(org, "deploy")).plan
    a, c = (each.change for each in plan.steps)
    assert a is not None
    assert "-old\n+new" in (a.content or "")
    assert c is not None
    assert c.new
    assert plan.gone == ["b"]


async def test_a_refused_run_is_nothing_to_compare_with(org: Any) -> None:
    await org.publish(
        [LOOK, {**GATE, "approval_type": "all"}, {"id": "a", "type": "command", "command": "x"}]
    )
    request = await asked(org, "deploy")
    await approvals.vote(org.db, org.bo, request.id, "reject", "", request.digest)
    assert (await asked(org, "deploy")).plan.compared_with is None


async def test_who_may_not_see_scripts_sees_the_plan_without_their_text(org: Any, save_script: Any) -> None:
    await save_script()
    await org.publish([LOOK, GATE, {"id": "run", "type": "script", "script": "disk-check"}])
    await approved(org, await asked(org, "deploy"))
    await save_script(parameters=[{"name": "greeting", "default": "of the script alone"}])
    request = await asked(org, "deploy")
    bare = Actor("user", org.bo.id, "bo", frozenset({"workflows.view", "workflows.manage"}))
    (step,) = (await approvals.show(org.db, bare, request.id)).plan.steps
    assert (step.content, step.change and step.change.content) == (None, None)
    assert "scripts.view" in (step.content_hidden or "")
    assert step.change is not None
    assert step.change.settings == ""
    (seen,) = request.plan.steps
    assert seen.change is not None
    assert "of the script alone" in seen.change.settings, "the control"


async def test_a_decided_request_still_shows_all_of_it_when_its_workflow_is_archived(
    org: Any, save_script: Any
) -> None:
    await save_script()
    await org.publish([LOOK, GATE, {"id": "run", "type": "script", "script": "disk-check"}])
    request = await asked(org, "deploy")
    await approved(org, request)
    await workflows.archive(org.db, org.ana, "deploy")
    await scripts.archive(org.db, org.ana, "disk-check")
    later = await approvals.show(org.db, org.vi, request.id)
    assert (later.status, later.workflow_name, later.plan) == ("approved", "deploy", request.plan)
    listed = await approvals.listing(org.db, org.vi, status="approved")
    assert [row.id for row in listed.items] == [request.id]


async def test_a_gate_in_a_branch_says_what_is_not_known_yet(org: Any, save_script: Any) -> None:
    await save_script(parameters=[{"name": "note"}])
    branches = [{"steps": [GATE]}, {"steps": [{**LOOK, "id": "x"}]}]
    after = {"id": "z", **CHECK, "parameters": {"note": "{{step_x.stdout}}"}}
    await org.publish([{"id": "p", "type": "parallel", "branches": branches}, after])
    request = await org.open_gate(await org.start("deploy"))
    (step,) = request.plan.steps
    assert (step.when, step.values["note"][0].unknown) == ("after `p`", "known when `x` has run")

"""What holds for every job type: it is known, strict, and ends like any other job."""

import subprocess
import sys
from typing import get_args

import pytest

from agent import interpreters
from agent.payloads import JobPayload


def test_the_agent_executes_every_type_of_the_contract():
    types = {model.model_fields["type"].default for model in get_args(get_args(JobPayload)[0])}
    assert set(interpreters._KINDS) == types
    assert len(types) == 8


@pytest.mark.parametrize(
    ("type_", "payload", "field"),
    [
        ("service_control", {"action": "stop", "service": "--root=hush-hush"}, "service"),
        ("process_control", {"action": "kill", "name": "-hush-hush"}, "name"),
        ("network_diagnostic", {"action": "ping", "host": "$(hush-hush)"}, "host"),
        ("software_install", {"action": "install", "packages": ["-ohush-hush"]}, "packages"),
        ("user_control", {"action": "create", "user": "hush:hush"}, "user"),
        ("group_control", {"action": "delete", "group": "hush\nhush"}, "group"),
        ("command", {"command": "true", "run_as": "#hush"}, "run_as"),
    ],
)
async def test_a_payload_that_does_not_fit_is_refused_by_the_agent_as_well(type_, payload, field, run, agent):
    done = await run(type_, **payload)
    assert done.outcome == "refused"
    assert f"can't read the payload: {type_}.{field}" in done.reason
    assert "hush" not in done.reason + agent.log


async def test_such_a_job_is_stopped_by_its_timeout_like_any_other(run):
    """A process that ignores the signal is waited for, longer than the job may take."""
    stubborn = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(15, 1); print(flush=True); signal.pause()"],
        stdout=subprocess.PIPE,
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    done = await run("process_control", action="kill", pid=stubborn.pid, timeout_seconds=1)
    assert (done.outcome, done.reason) == ("timeout", "It ran longer than its timeout of 1 seconds.")
    assert stubborn.poll() is None
    stubborn.kill()
    stubborn.communicate()

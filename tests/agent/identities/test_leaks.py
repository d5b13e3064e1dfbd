"""That a credential stood in the output the server is told, whatever became of the agent or the attempt."""

import pytest

from agent.journal import Journal
from agent.output import StreamOutput
from agent.protocol import Credential
from agent.spool import Spool
from tests.agent.identities.conftest import Give

CREDENTIAL = Credential(identity="db_admin", type="database", username="app", secret="mArKeR-hunter2")


def prints(gate) -> dict[str, object]:
    """A script that prints its credential once the gate is there, and goes on for long."""
    wait = f"touch {gate}.begun; until [ -e {gate} ]; do sleep 0.02; done"
    content = f'{wait}; cat "$PGPASSFILE" >&2; sleep 600'
    return {"language": "bash", "content": content}


async def test_an_agent_killed_while_the_server_was_away_tells_it_after_its_restart(
    server, agent, give: Give, ended, soon, tmp_path
):
    agent.start()
    job = give(agent, CREDENTIAL, **prints(tmp_path / "gate"))
    await soon((tmp_path / "gate.begun").exists, 60)
    await server.go_away()
    (tmp_path / "gate").touch()
    await soon(lambda: b"***" in (agent.folder / "spool" / "1-1.stderr").read_bytes(), 60)
    agent.kill_9()
    assert b"hunter2" not in (agent.folder / "journal").read_bytes()
    (entry,) = Journal(agent.folder / "journal").held()
    assert (entry.state, entry.redactions, entry.leader is None) == ("started", {"stderr": True}, False)
    await server.come()
    agent.start()
    report = await ended(job, 60)
    assert (report["outcome"], job.output("stderr")) == ("interrupted", b"*:*:*:app:***\n")
    told = [(report[name]["redacted"], report[name]["credential_redacted"]) for name in ("stdout", "stderr")]
    assert told == [(0, False), (1, True)]


@pytest.mark.parametrize("how", ["forgotten", "restarted"])
async def test_an_attempt_that_the_server_has_ended_is_dropped_only_after_it_was_told(
    server, agent, give: Give, soon, tmp_path, how
):
    agent.start()
    job = give(agent, CREDENTIAL, **prints(tmp_path / "gate"))
    (tmp_path / "gate").touch()
    await soon(lambda: b"***" in job.output("stderr"), 60)
    job.status = "timeout"
    if how == "restarted":
        agent.kill_9()
        agent.start()
    server.forget = [{"job_id": 1, "attempt": 1}]
    server.nudge()
    await soon(lambda: job.refused, 60)
    assert job.refused[0]["stderr"]["credential_redacted"]
    await soon(lambda: server.polls[-1]["holding"] == [], 60)


async def test_it_is_noted_before_any_of_that_output_is_kept_and_once(tmp_path):
    out = StreamOutput("stdout", Spool(tmp_path / "spool"))
    out.redact([b"parameter"], [b"credential"])
    noted = []
    out.noted = lambda: noted.append((out.redacted, (tmp_path / "spool").read_bytes()))
    large = b"x" * 100_000
    for piece in (
        b"plain",
        b"a para",
        b"meter" + large,
        b"parameter",
        b"a credential" + large,
        b"credential",
    ):
        out.feed(piece)
    before = [(redacted, spool.count(b"***")) for redacted, spool in noted]
    assert before == [(False, 0), (True, 1)]
    assert out.finish().redacted == 4


async def test_one_at_the_very_end_is_noted_too(tmp_path):
    out = StreamOutput("stdout", Spool(tmp_path / "spool"))
    out.redact([], [b"word", b"wordwide"])
    noted = []
    out.noted = lambda: noted.append(out.redacted)
    out.feed(b"a word")
    report = out.finish()
    assert (noted, report.redacted, report.credential_redacted) == ([True], 1, True)

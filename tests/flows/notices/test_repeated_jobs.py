"""Who is told what became of a request by jobs that somebody else has had run again."""

from collections.abc import Awaitable, Callable

from flows.notices import round_of
from flows.process import EngineProcess
from store import approvals, executions, jobs
from tests.flows.notices.conftest import tells, vote
from tests.live.sinks import Webhook
from tests.store.workflows.conftest import Org, person
from tests.store.workflows.conftest import disk_check as disk_check
from tests.store.workflows.conftest import save_script as save_script
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault


async def test_of_the_end_who_ran_it_first_hears_as_who_repeated_it_does(
    org: Org, process: EngineProcess, webhook: Webhook, save_script: Callable[..., Awaitable[int]]
) -> None:
    ed = await person(org.db, "ed", "operator")
    await save_vault(org)
    await save_identity(org)
    await save_script(run_as="db_admin")
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})
    for status in ("pending", "running", "failed"):
        await org.db.execute("UPDATE jobs SET status = $1", status)
    await save_identity(org, requires_approval=True, approval={"approvers": ["user:bo"]})
    await jobs.retry(org.db, ed, made.jobs[0])
    for who in (org.ana, ed, org.cy):
        await tells(process, who, webhook.url(who.name), events=["approval.decided"])
    (row,) = (await approvals.listing(org.db, org.bo, mine=True)).items
    await vote(org, await approvals.show(org.db, org.bo, row.id), org.bo)
    await round_of(process)
    assert sorted(call.path for call in webhook.calls) == ["/ana", "/ed"]
    assert "Asked for by ed, for 1 host" in webhook.calls[0].message

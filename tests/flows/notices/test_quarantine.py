"""Who is told that the credential of an identity could not be replaced, or was printed and can't be."""

from definitions.permissions import SYSTEM
from flows.notices import round_of
from flows.process import EngineProcess
from store import notice_channels, notices
from tests.live.sinks import Webhook
from tests.store.workflows.conftest import Org, person
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault


async def test_of_a_quarantine_those_hear_who_look_after_vaults_until_it_is_lifted(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    root = await person(org.db, "root", "admin")
    await notice_channels.add(org.db, root, "mine", webhook.url("root"))
    await notice_channels.add(org.db, org.bo, "mine", webhook.url("bo"))
    room = {"role": "admin", "events": ["identity.quarantined"]}
    await notice_channels.add(org.db, SYSTEM, "room", webhook.url("room"), **room)
    await save_vault(org)
    number = await save_identity(org)
    sealed = "UPDATE identities SET quarantined_at = now(), quarantine_reason = 'The vault main is sealed.'"
    lifted = "UPDATE identities SET quarantined_at = NULL, quarantine_reason = NULL"
    for state in (sealed, lifted):
        await org.db.execute(state)
        async with org.db.transaction() as tx:
            await notices.tell(tx, "identity.quarantined", number)
        await round_of(process)
    assert sorted(call.path for call in webhook.calls) == ["/room", "/root"]
    assert webhook.calls[0].title == "Quarantined: db_admin"
    assert "The vault main is sealed." in webhook.calls[0].message


async def test_of_a_printed_credential_those_hear_who_look_after_vaults(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    root = await person(org.db, "root", "admin")
    await notice_channels.add(org.db, root, "mine", webhook.url("root"))
    await notice_channels.add(org.db, org.bo, "mine", webhook.url("bo"))
    await save_vault(org)
    number = await save_identity(org, source="kv_ssh_key")
    async with org.db.transaction() as tx:
        await notices.tell(tx, "identity.leaked", number, job_id=12)
    await round_of(process)
    (call,) = webhook.calls
    assert (call.path, call.title) == ("/root", "To be replaced by hand: db_admin")
    assert "in the output of job 12" in call.message
    assert "Opsgate does not replace it: A key is replaced where it is accepted" in call.message

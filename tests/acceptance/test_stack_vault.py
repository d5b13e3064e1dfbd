"""The stack's own vault: known to Opsgate from the first start on, and unsealed by every start."""

import httpx2
import pytest

from tests.live.stack import LiveStack, until

pytestmark = pytest.mark.stack


def test_the_stack_knows_its_vault_and_says_when_it_is_sealed(live: LiveStack):
    def tried() -> dict[str, object]:
        answer = live.admin.post("/vaults/local/test")
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    assert (tried()["works"], tried()["reason"]) == (True, None)
    vault = live.stack.vault
    assert vault is not None
    token = vault.root_token_file.read_text()
    sealed = httpx2.put(f"{vault.address}/v1/sys/seal", headers={"X-Vault-Token": token}, trust_env=False)
    assert sealed.status_code == 204, sealed.text
    assert (tried()["works"], tried()["reason"]) == (False, "sealed")
    before = live.kill("vault")
    until(lambda: live.stack.processes.pid("vault") not in (None, before), 30, "the vault to be back")
    until(lambda: tried()["works"], 30, "it to be unsealed")

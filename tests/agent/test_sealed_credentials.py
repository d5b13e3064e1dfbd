"""HPKE as RFC 9180 has it; and a sealed credential opens for one attempt on one host, or not at all."""

import base64
import random
from typing import Any

import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent import sealed as agent_sealed
from agent.protocol import SEALED_FOR_IDENTITY, SEALED_SUITE, AttemptRef, Credential
from agent.sealed import CannotOpen, Opened, Unsealer
from store import sealing

KEY = X25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
CREDENTIAL = Credential(
    identity="deployer",
    type="ssh_key",
    username="deploy",
    domain="example",
    secret="hünter2\n",
    passphrase="x y",
)
ABOUT = {"host_id": 3, "agent_id": 7, "job_id": 41, "attempt": 2}
REF = AttemptRef(job_id=41, attempt=2)


def seal(credential: Credential | None = CREDENTIAL, **about: int) -> str:
    values = {"PARAM_KEY_FILE": "value"}
    return sealing.seal_to_agent(values, PUBLIC, credential=credential, **{**ABOUT, **about})


def unseal(text: str | None, identity: str | None = "deployer", **about: Any) -> Opened:
    who = {**ABOUT, **about}
    ref = AttemptRef(job_id=who["job_id"], attempt=who["attempt"])
    unsealer = Unsealer(who["host_id"], who["agent_id"], KEY)
    return unsealer.open(ref, text, ["PARAM_KEY_FILE"], identity)


# RFC 9180, A.2.1: base mode of the suite that SEALED_SUITE names.
INFO = "4f6465206f6e2061204772656369616e2055726e"
PRIVATE = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"
ENCAPSULATED = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
PLAIN = "4265617574792069732074727574682c20747275746820626561757479"
AAD = "436f756e742d30"
CIPHERTEXT = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"


def test_the_suite_opens_the_vector_of_the_rfc():
    assert SEALED_SUITE == "hpke-0020-0001-0003"
    key = X25519PrivateKey.from_private_bytes(bytes.fromhex(PRIVATE))
    sealed, info = bytes.fromhex(ENCAPSULATED + CIPHERTEXT), bytes.fromhex(INFO)
    for suite in (agent_sealed._HPKE, sealing._HPKE):
        opened = openssl.hpke._decrypt_with_aad(suite, sealed, key, info, bytes.fromhex(AAD))
        assert opened == bytes.fromhex(PLAIN)


def test_it_comes_back_as_it_was_sealed():
    opened = unseal(seal())
    assert (opened.values, opened.credential) == ({"PARAM_KEY_FILE": "value"}, CREDENTIAL)
    assert "hünter2" not in repr(opened) + repr(CREDENTIAL) + str(CREDENTIAL)


def test_no_flipped_bit_goes_unnoticed():
    suite, _, text = seal().partition(":")
    sealed = base64.b64decode(text)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CannotOpen):
            unseal(f"{suite}:{base64.b64encode(bytes(changed)).decode()}")


def test_of_a_thousand_other_hosts_agents_jobs_and_attempts_none_can_open_it():
    text, draw = seal(), random.Random(9180)
    for _ in range(1000):
        field = draw.choice(list(ABOUT))
        other = draw.choice([ABOUT[field] + 1, ABOUT[field] - 1, draw.randrange(2**31)])
        if other == ABOUT[field]:
            continue
        with pytest.raises(CannotOpen):
            unseal(text, **{field: other})


@pytest.mark.parametrize("identity", [None, "another"])
def test_a_job_that_names_another_identity_or_none_does_not_run_by_it(identity):
    with pytest.raises(CannotOpen, match="not of the identity"):
        unseal(seal(), identity)


def test_a_job_that_names_an_identity_does_not_run_without_its_credential():
    with pytest.raises(CannotOpen, match="not of the identity"):
        unseal(seal(None))
    with pytest.raises(CannotOpen, match="did not come with it"):
        Unsealer(3, 7, KEY).open(REF, None, [], "deployer")


def test_the_word_that_older_agents_refuse_can_be_neither_left_out_nor_put_in():
    with_credential, without = seal(), seal(None)
    assert with_credential.startswith(f"{SEALED_FOR_IDENTITY}:")
    with pytest.raises(CannotOpen, match="another shape"):
        unseal(with_credential.replace(SEALED_FOR_IDENTITY, SEALED_SUITE))
    with pytest.raises(CannotOpen, match="another shape"):
        unseal(without.replace(SEALED_SUITE, SEALED_FOR_IDENTITY), None)


def test_what_was_sealed_to_a_key_before_or_after_opens_too():
    new = X25519PrivateKey.generate()
    unsealer = Unsealer(3, 7, KEY)
    unsealer.also(new)
    to_new = sealing.seal_to_agent({}, new.public_key().public_bytes_raw(), credential=CREDENTIAL, **ABOUT)
    assert unsealer.open(REF, to_new, [], "deployer").credential == CREDENTIAL
    assert unsealer.open(REF, seal(), ["PARAM_KEY_FILE"], "deployer").credential == CREDENTIAL

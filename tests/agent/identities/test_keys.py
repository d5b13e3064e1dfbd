"""A job that runs by a private key reaches it through an ssh-agent of its own, and never sees the key."""

import base64
import json
import pwd
import subprocess
from pathlib import Path

import pytest

from agent import credential
from agent.protocol import Credential
from tests.agent.test_secrets import places_of


def make_key(folder: Path, kind: str = "ed25519", passphrase: str = "") -> tuple[str, str]:
    """The private and the public key."""
    path = folder / f"{kind}-key"
    make = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "deploy@example", "-f", str(path)]
    subprocess.run(make, check=True)
    private, public = path.read_text(), path.with_suffix(".pub").read_text()
    path.unlink()
    return private, public


def by_key(private: str, passphrase: str | None = None) -> Credential:
    return Credential(
        identity="pusher", type="ssh_key", username="deploy", secret=private, passphrase=passphrase
    )


# Signs by the key in the agent, as logging in does.
SIGN = """
printf '%s' "$OPSGATE_V1" > key.pub
ssh-add -L | cut -d' ' -f1,2
printf 'a text' | ssh-keygen -q -Y sign -n test -f key.pub > signature
printf 'me %s' "$OPSGATE_V1" > allowed
printf 'a text' | ssh-keygen -Y verify -n test -I me -f allowed -s signature && stat -c %a "$SSH_AUTH_SOCK"
"""


@pytest.mark.parametrize(
    ("kind", "passphrase"), [("ed25519", ""), ("ed25519", "four w\x03rds ü"), ("rsa", ""), ("ecdsa", "x y")]
)
async def test_the_job_signs_by_the_key(agent, give, ended, tmp_path, kind, passphrase):
    private, public = make_key(tmp_path, kind, passphrase)
    agent.start()
    held = by_key(private.rstrip("\n"), passphrase or None)
    job = give(agent, held, command=SIGN, environment={"OPSGATE_V1": public})
    report = await ended(job, 60)
    assert report["exit_code"] == 0, (report, job.output("stderr"))
    lines = job.output("stdout").decode().splitlines()
    assert lines[0] == " ".join(public.split()[:2])
    assert lines[1].startswith('Good "test" signature')
    assert lines[2] == "600"
    assert report["stdout"]["redacted"] == 0


@pytest.mark.root
async def test_a_user_the_payload_names_reaches_it_and_another_does_not(agent, give, ended, tmp_path, user):
    private, _ = make_key(tmp_path)
    agent.start()
    job = give(agent, by_key(private), command="ssh-add -L; stat -c %U $SSH_AUTH_SOCK", run_as=user.pw_name)
    report = await ended(job, 60)
    assert report["exit_code"] == 0, job.output("stderr")
    assert job.output("stdout").decode().splitlines()[1] == user.pw_name


def ssh_agents_of(user: pwd.struct_passwd | None = None) -> set[str]:
    found = subprocess.run(["pgrep", "-f", "^/usr/bin/ssh-agent -D -a"], capture_output=True, check=False)
    return set(found.stdout.decode().split())


async def test_the_key_is_in_no_argument_environment_or_file_and_its_agent_ends_with_the_job(
    server, agent, give, ended, tmp_path, soon
):
    private, _ = make_key(tmp_path, passphrase="mArKeR pass")
    line = private.splitlines()[2].encode()
    agent.start()
    before = ssh_agents_of()
    command = f"touch {tmp_path}/runs; echo $SSH_AUTH_SOCK; sleep 600"
    job = give(agent, by_key(private, "mArKeR pass"), command=command)
    await soon((tmp_path / "runs").exists, 60)
    (own,) = ssh_agents_of() - before
    for words in (line, b"mArKeR"):
        assert places_of(words, agent.folder) == set()
    server.cancel(job)
    await ended(job, 60)
    assert own not in ssh_agents_of()
    place = Path(job.output("stdout").decode().strip())
    assert not place.exists()
    assert not place.parents[1].exists()


async def test_an_agent_that_is_killed_leaves_neither_key_nor_socket(agent, give, ended, tmp_path, soon):
    private, _ = make_key(tmp_path)
    agent.start()
    before = ssh_agents_of()
    where = tmp_path / "where"
    job = give(agent, by_key(private), command=f"echo $SSH_AUTH_SOCK > {where}; sleep 600")
    await soon(lambda: where.exists() and where.read_text().endswith("\n"), 60)
    agent.kill_9()
    await soon(lambda: ssh_agents_of() <= before, 30)
    agent.start()
    assert (await ended(job, 60))["outcome"] == "interrupted"
    assert not Path(where.read_text().strip()).parents[1].exists()


@pytest.mark.parametrize(
    ("spoil", "passphrase", "reason"),
    [
        (lambda key: key, "wrong", "it does not open by its passphrase"),
        (lambda key: key, None, "it has a passphrase, and none that can be typed came with it"),
        (lambda _: "no key at all", None, "Error loading key"),
    ],
)
async def test_a_key_that_can_not_be_loaded_is_refused_in_words_and_nothing_ran(
    agent, give, ended, tmp_path, spoil, passphrase, reason
):
    private, _ = make_key(tmp_path, passphrase="right")
    agent.start()
    job = give(agent, by_key(spoil(private), passphrase), command=f"touch {tmp_path}/ran")
    report = await ended(job, 60)
    assert report["outcome"] == "refused"
    assert report["reason"].startswith("ssh-add does not take the key of pusher: ")
    assert reason in report["reason"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
async def test_what_is_public_of_a_key_and_its_frame_is_no_leak(tmp_path, kind):
    private, public = make_key(tmp_path, kind)
    lines = private.splitlines()
    found = credential.harmless(by_key(private))
    assert {lines[0].encode(), lines[-1].encode()} <= set(found)
    content, key = base64.b64decode("".join(lines[1:-1])), base64.b64decode(public.split()[1])
    ends = content.index(key) + len(key)
    for number, line in enumerate(lines[1:-1]):
        is_public = 3 * 70 * (number + 1) // 4 <= ends or line in public
        assert (line.encode() in found) == is_public
    assert credential.harmless(by_key("no key")) == set()


async def test_a_job_that_prints_the_key_prints_none_of_its_lines(agent, give, ended, tmp_path):
    private, _ = make_key(tmp_path)
    agent.start()
    values = {"OPSGATE_V1": private, "OPSGATE_V2": json.dumps(private.splitlines())}
    command = 'printf "%s" "$OPSGATE_V1" | sed "s/^/  /"; echo "$OPSGATE_V2" >&2'
    job = give(agent, by_key(private), command=command, environment=values)
    report = await ended(job, 60)
    printed = job.output("stdout") + job.output("stderr")
    secret = private.splitlines()[3:-1]  # its beginning is public
    assert secret
    assert not [line for line in secret if line.encode() in printed]
    assert report["stdout"]["credential_redacted"]
    assert report["stderr"]["credential_redacted"]

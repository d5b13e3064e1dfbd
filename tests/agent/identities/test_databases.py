"""A job that runs by a database's credential logs in by it; no file, argument or variable holds it."""

import json
import os
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from agent import elevated
from agent.protocol import Credential
from tests.agent.test_secrets import places_of

PASSWORD = "mArKeR:\\p\"a'ß"


@dataclass(frozen=True)
class Role:
    """A role that has to give its password, and the folder of the cluster's socket."""

    name: str
    socket: str

    def credential(self, password: str = PASSWORD) -> Credential:
        return Credential(identity="db_admin", type="database", username=self.name, secret=password)


@pytest.fixture
async def role(postgres: str) -> AsyncIterator[Role]:
    """A real role of the tests' cluster, which trusts everybody else."""
    name = f"og_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(postgres)
    rules = Path(await connection.fetchval("SHOW hba_file"))
    before = rules.read_text()
    rules.write_text(f"local all {name} scram-sha-256\nhost all {name} all scram-sha-256\n{before}")
    quoted = await connection.fetchval("SELECT quote_literal($1)", PASSWORD)
    await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD {quoted}")
    await connection.execute("SELECT pg_reload_conf()")
    yield Role(name, parse_qs(urlsplit(postgres).query)["host"][0])
    rules.write_text(before)
    await connection.execute(f"DROP ROLE {name}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


LOG_IN = 'psql -X -w -At -h "$OPSGATE_V1" -d postgres -c "SELECT session_user"'


async def test_psql_logs_in_as_the_role_and_with_another_password_it_does_not(agent, give, ended, role):
    agent.start()
    where = {"OPSGATE_V1": role.socket}
    good = give(agent, role.credential(), command=LOG_IN, environment=where)
    bad = give(agent, role.credential("another"), command=LOG_IN, environment=where)
    report = await ended(good, 60)
    assert (report["exit_code"], job_text(good)) == (0, role.name), good.output("stderr")
    assert (await ended(bad, 60))["exit_code"] == 2
    assert b"password authentication failed" in bad.output("stderr")


def job_text(job) -> str:
    text: str = job.output("stdout").decode().strip()
    return text


@pytest.mark.root
async def test_as_another_user_of_the_host_it_works_as_well(agent, give, ended, role, user, postgres):
    agent.start()
    command = f"stat -Lc '%a %U' $PGPASSFILE $OPSGATE_CREDENTIAL_FILE; {LOG_IN}"
    where = {"OPSGATE_V1": role.socket}
    job = give(agent, role.credential(), command=command, environment=where, run_as=user.pw_name)
    await ended(job, 60)
    lines = job_text(job).splitlines()
    assert lines[:2] == [f"400 {user.pw_name}"] * 2
    # Where its user may enter the folder of the socket at all.
    assert lines[2:] == [role.name] or b"Permission denied" in job.output("stderr")


async def test_a_program_reads_it_as_json_and_an_output_that_holds_it_is_masked(agent, give, ended):
    agent.start()
    credential = Credential(
        identity="db_admin", type="database", username="app", domain="example", secret=PASSWORD
    )
    content = (
        "import json, os, sys\n"
        "found = json.load(open(os.environ['OPSGATE_CREDENTIAL_FILE']))\n"
        "print(sorted(found), found['identity'], found['username'], found['domain'])\n"
        "print(len(found['password']), found['password'])\n"
        "sys.stderr.write(open(os.environ['PGPASSFILE']).read())\n"
    )
    job = give(agent, credential, language="python", content=content)
    report = await ended(job, 60)
    assert job_text(job).splitlines() == [
        "['domain', 'identity', 'password', 'username'] db_admin app example",
        f"{len(PASSWORD)} ***",
    ]
    assert job.output("stderr") == b"*:*:*:app:***\n"
    assert report["stdout"]["credential_redacted"]
    assert report["stderr"]["credential_redacted"]


async def test_it_is_in_no_argument_no_environment_and_no_file(agent, give, ended, tmp_path, soon):
    agent.start()
    credential = Credential(identity="db_admin", type="database", username="app", secret=PASSWORD)
    command = f"touch {tmp_path}/runs; env > {tmp_path}/env; until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    job = give(agent, credential, command=command)
    await soon((tmp_path / "env").exists, 60)
    assert places_of(b"mArKeR", agent.folder) == set()
    (tmp_path / "go").touch()
    assert (await ended(job, 60))["exit_code"] == 0
    found = dict(line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines())
    assert found["PGUSER"] == "app"
    for name in ("PGPASSFILE", "OPSGATE_CREDENTIAL_FILE"):
        assert re.fullmatch(r"/proc/self/fd/\d+", found[name])
    assert "mArKeR" not in json.dumps(found)


def test_only_what_is_private_is_for_its_owner_alone():
    places = elevated.hold({"A": "x", "B": "y"}, ["A"])
    assert {name: os.fstat(fd).st_mode & 0o777 for name, fd in places.items()} == {"A": 0o400, "B": 0o444}
    for fd in places.values():
        os.close(fd)

"""Secret values reach the job by descriptor, and stand nowhere else on the host or on the way back."""

import asyncio
import contextlib
import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agent import elevated, environment, identity, interpreters, launcher, tree
from agent.payloads import ScriptPayload
from store.sealing import seal_to_agent

MARKER = "mArKeR/\"'$(x) ünïcode\nsecond line of the same"
DIGEST = hashlib.sha256(MARKER.encode()).hexdigest()


@pytest.fixture
def sealed(agent):
    """Seal values to the agent as the server does at a claim."""
    public_key = identity.load(agent.folder).private_key.public_key().public_bytes_raw()

    def seal(values: dict[str, str], **about: int) -> str:
        return seal_to_agent(
            values, public_key, **{"host_id": 3, "agent_id": 7, "job_id": 1, "attempt": 1, **about}
        )

    return seal


def script(content: str, *names: str, language: str = "bash") -> dict[str, object]:
    return {"language": language, "content": content, "secrets": list(names)}


async def test_a_script_reads_each_value_from_its_own_file_as_often_as_it_likes(server, agent, ended, sealed):
    agent.start()
    values = {"PARAM_KEY_FILE": MARKER, "PARAM_B_FILE": "another", "PARAM_EMPTY_FILE": ""}
    content = """
        exec 3</dev/null 4</dev/null 10</dev/null
        sha256sum < "$PARAM_KEY_FILE"; sha256sum < "$PARAM_KEY_FILE"; cat "$PARAM_KEY_FILE" | sha256sum
        wc -c < "$PARAM_B_FILE"; wc -c < "$PARAM_EMPTY_FILE"
        echo more 2>/dev/null >> "$PARAM_KEY_FILE" || echo unchangeable
        echo other 2>/dev/null 1<> "$PARAM_KEY_FILE" || echo unchangeable
        sha256sum < "$PARAM_KEY_FILE"
    """
    job = server.add(1, sealed=sealed(values), **script(content, *values))
    await ended(job)
    assert job.output("stdout").decode().split() == [
        *[DIGEST, "-"] * 3,
        "7",
        "0",
        *["unchangeable"] * 2,
        DIGEST,
        "-",
    ]


async def test_python_reads_it_too_and_hands_it_to_a_child_that_inherits_it(server, agent, ended, sealed):
    agent.start()
    content = (
        "import hashlib, os, subprocess\n"
        "place = os.environ['PARAM_KEY_FILE']\n"
        "for _ in range(2): print(hashlib.sha256(open(place, 'rb').read()).hexdigest())\n"
        "print(subprocess.check_output(['sha256sum', place], close_fds=False).decode().split()[0])\n"
    )
    job = server.add(
        1, sealed=sealed({"PARAM_KEY_FILE": MARKER}), **script(content, "PARAM_KEY_FILE", language="python")
    )
    report = await ended(job)
    assert (report["exit_code"], job.output("stderr")) == (0, b"")
    assert job.output("stdout").decode().split() == [DIGEST] * 3


def places_of(words: bytes, folder: Path) -> set[str]:
    """Where the words stand now: arguments and environments of processes, files of the agent."""
    found = set()
    for path in (
        *Path("/proc").glob("[0-9]*/cmdline"),
        *Path("/proc").glob("[0-9]*/environ"),
        *folder.rglob("*"),
    ):
        with contextlib.suppress(OSError):
            if path.is_file() and words in path.read_bytes():
                found.add(path.name)
    return found


async def test_the_value_is_in_no_argument_no_environment_and_no_file(server, agent, ended, sealed, soon):
    agent.start()
    content = 'touch "$OPSGATE_V1/reading"; cat "$PARAM_KEY_FILE"; sleep 0.5; printf "%s" "$PARAM_PLAIN"'
    plain = {"PARAM_PLAIN": "planted-marker", "OPSGATE_V1": str(agent.folder)}
    job = server.add(
        1, sealed=sealed({"PARAM_KEY_FILE": MARKER}), environment=plain, **script(content, "PARAM_KEY_FILE")
    )
    await soon((agent.folder / "reading").exists)
    await asyncio.sleep(0.2)
    assert places_of(b"planted-marker", agent.folder) == {"environ"}
    assert places_of(b"mArKeR", agent.folder) == set()
    report = await ended(job)
    assert job.output("stdout") == b"***planted-marker"
    assert report["stdout"]["redacted"] == 1
    assert places_of(b"mArKeR", agent.folder.parent) == set()


async def test_output_in_any_number_of_writes_has_no_secret_and_the_report_counts_them(
    server, agent, ended, sealed
):
    agent.start()
    content = (
        "import base64, os, sys, time\n"
        "value = open(os.environ['PARAM_KEY_FILE'], 'rb').read()\n"
        "for n, form in enumerate([value, base64.b64encode(value)]):\n"
        "    for byte in b'<' + form + b'>':\n"
        "        os.write(1 + n, bytes([byte]))\n"
        "        time.sleep(0.02)\n"
        "os.write(1, b'x' * 100_000 + value[:5])\n"
    )
    job = server.add(
        1,
        sealed=sealed({"PARAM_KEY_FILE": "hunter2-hunter"}),
        **script(content, "PARAM_KEY_FILE", language="python"),
    )
    report = await ended(job)
    assert job.output("stdout") == b"<***>" + b"x" * 100_000 + b"hunte"
    assert job.output("stderr") == b"<***>"
    assert (report["stdout"]["redacted"], report["stderr"]["redacted"]) == (1, 1)
    assert report["stdout"]["truncated"] is False


@pytest.mark.parametrize(
    ("about", "names", "reason"),
    [
        ({"job_id": 2}, ["PARAM_KEY_FILE"], "do not open"),
        ({"attempt": 2}, ["PARAM_KEY_FILE"], "do not open"),
        ({"host_id": 4}, ["PARAM_KEY_FILE"], "do not open"),
        ({"agent_id": 8}, ["PARAM_KEY_FILE"], "do not open"),
        ({}, ["PARAM_KEY_FILE", "PARAM_OTHER_FILE"], "not those that it names"),
        ({}, [], "not those that it names"),
        (None, ["PARAM_KEY_FILE"], "did not come with it"),
        ("hpke-0020-0001-0002:AAAA", ["PARAM_KEY_FILE"], "update it"),
        ("hpke-0020-0001-0003:!", ["PARAM_KEY_FILE"], "do not open"),
    ],
)
async def test_a_job_whose_values_do_not_open_is_refused_and_says_why(
    server, agent, ended, sealed, about, names, reason, tmp_path
):
    agent.start()
    text = sealed({"PARAM_KEY_FILE": MARKER}, **about) if isinstance(about, dict) else about
    job = server.add(1, sealed=text, **script(f"touch {tmp_path}/ran", *names))
    report = await ended(job)
    assert report["outcome"] == "refused"
    assert reason in report["reason"]
    assert not (tmp_path / "ran").exists()


async def test_a_job_delivered_again_with_the_values_sealed_anew_runs_once(
    server, agent, ended, fault, sealed
):
    lost = fault("poll", "drop")
    first, second = sealed({"PARAM_KEY_FILE": MARKER}), sealed({"PARAM_KEY_FILE": MARKER})
    assert first != second
    job = server.add(1, sealed=first, **script('sha256sum < "$PARAM_KEY_FILE"', "PARAM_KEY_FILE"))
    agent.start()
    while lost.times:
        await asyncio.sleep(0.01)
    job.sealed = second
    await ended(job)
    assert job.output("stdout").decode().split()[0] == DIGEST


async def test_through_sudo_the_values_pass_by_standard_input_and_never_through_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    programs, folder = tmp_path / "programs", tmp_path / "work"
    programs.mkdir()
    folder.mkdir()
    # Closes what sudo closes, and keeps what it was started with.
    (programs / "sudo").write_text(
        f"""#!/bin/bash\nprintf '%s\\n' "$@" >> {programs}/log; shift; [ "$1" = -- ] && shift
for fd in $(ls /proc/$$/fd); do [ $fd -gt 2 ] && eval "exec $fd>&-"; done\nexec /usr/bin/env -i "$@"\n"""
    )
    (programs / "sudo").chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    monkeypatch.setattr(environment, "PATH", f"{programs}:{environment.PATH}")
    payload = ScriptPayload(
        language="bash",
        content='cat - "$PARAM_KEY_FILE" | sha256sum; echo "$PARAM_PLAIN"; sleep 0.3',
        environment={"PARAM_PLAIN": "plain"},
        secrets=["PARAM_KEY_FILE"],
        requires_elevation=True,
    )
    launch = replace(await interpreters.prepare(payload, folder), secrets={"PARAM_KEY_FILE": MARKER})
    with launcher.start() as forks:
        process = await tree.start(launch, forks)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert (await process.stdout.read()).decode().split() == [DIGEST, "-", "plain"], (
        await process.stderr.read()
    )
    assert b"mArKeR" not in on_disk
    await process.close()


@pytest.mark.root
def test_a_process_of_another_user_reads_what_it_inherited():
    descriptor = elevated.memory_file(MARKER.encode())
    read = subprocess.run(
        ["sha256sum", f"/proc/self/fd/{descriptor}"],
        pass_fds=[descriptor],
        user="nobody",
        group="nogroup",
        capture_output=True,
        check=True,
    )
    assert read.stdout.decode().split()[0] == DIGEST

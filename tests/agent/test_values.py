"""Values are data: they arrive byte for byte, none is executed, nothing else is in the environment."""

import json
import os
import pwd
from pathlib import Path

HOSTILE = {
    "PARAM_QUOTES": "'\"`\\'\\\"",
    "PARAM_SUBSTITUTION": "$(touch EXECUTED) `touch EXECUTED` ${IFS}",
    "PARAM_CHAIN": "; touch EXECUTED & touch EXECUTED | touch EXECUTED\n touch EXECUTED",
    "PARAM_NEWLINES": "\n\r\n\tline\n\n",
    "PARAM_UNICODE": "žluťoučký \U0001f40e \u202e\ufeff",
    "PARAM_GLOB": "* /etc/* ~ {a,b} !!",
    "PARAM_SHELLSHOCK": "() { :;}; touch EXECUTED",
    "PARAM_TEMPLATE": "{{step_x.stdout}} ${OPSGATE_V1} %s {0} {{ 7*7 }}",
    "PARAM_LARGE": "ab'\"$`\\\n\u00e9" * 6000,
    "PARAM_EMPTY": "",
    "OPSGATE_V1": "-rf /; --help",
}


def marked(values: dict[str, str], folder: Path) -> dict[str, str]:
    return {name: value.replace("EXECUTED", str(folder / "EXECUTED")) for name, value in values.items()}


async def test_hostile_values_reach_bash_byte_for_byte(server, agent, ended, tmp_path):
    agent.start()
    values = marked(HOSTILE, tmp_path)
    text = "".join(f'printf "%s\\0" "${{{name}}}"\n' for name in values)
    for job in (
        server.add(1, language="bash", content=text, environment=values),
        server.add(2, command=text, environment=values),
    ):
        report = await ended(job)
        assert job.output("stdout").split(b"\0")[:-1] == [value.encode() for value in values.values()]
        assert (report["exit_code"], job.output("stderr")) == (0, b"")
    assert not (tmp_path / "EXECUTED").exists()


async def test_hostile_values_reach_python_byte_for_byte(server, agent, ended, tmp_path):
    agent.start()
    values = marked(HOSTILE, tmp_path)
    text = "import os, json; print(json.dumps({k: v for k, v in os.environ.items() if '_' in k}))"
    job = server.add(1, language="python", content=text, environment=values)
    await ended(job)
    assert json.loads(job.output("stdout")) == values
    assert not (tmp_path / "EXECUTED").exists()


async def test_the_whole_environment_of_a_job_is_this(server, agent, ended):
    agent.start()
    text = "import os, json; print(json.dumps(dict(os.environ)))"
    job = server.add(1, language="python", content=text, environment={"PARAM_A": "1"})
    await ended(job)
    assert json.loads(job.output("stdout")) == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": pwd.getpwuid(os.geteuid()).pw_dir,
        "LANG": "C.UTF-8",
        "PARAM_A": "1",
    }


async def test_a_job_inherits_no_descriptor_and_no_ignored_signal(server, agent, ended):
    agent.start()
    text = (
        "import os, signal\n"
        "print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:-1])\n"
        "print(os.readlink('/proc/self/fd/0'))\n"
        "print([s.name for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)"
        " if signal.getsignal(s) == signal.SIG_IGN])\n"
        "print([line for line in open('/proc/self/status') if line.startswith('SigBlk')][0].split()[1])\n"
    )
    job = server.add(1, language="python", content=text)
    await ended(job)
    assert job.output("stdout").decode().splitlines() == ["[0, 1, 2]", "/dev/null", "[]", "0" * 16]


async def test_no_value_and_no_text_of_a_job_stands_in_argv(server, agent, ended):
    agent.start()
    job = server.add(
        1,
        command='cat /proc/$$/cmdline | tr "\\0" " " # canary-text',
        environment={"OPSGATE_V1": "canary-value"},
    )
    await ended(job)
    assert b"canary" not in job.output("stdout")


async def test_a_nul_in_a_value_is_refused(server, agent, ended):
    agent.start()
    report = await ended(server.add(1, command="true", environment={"OPSGATE_V1": "a\0b"}))
    assert report["outcome"] == "refused"
    assert report["reason"].startswith("The value of OPSGATE_V1 holds a NUL")

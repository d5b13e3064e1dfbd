"""500 hostile values through every place where a value may stand, bound as the server binds them and
run by the real agent: none is executed, and each arrives byte for byte.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import identity
from agent.payloads import CommandPayload, ScriptPayload
from definitions.dispatch import command_payload, script_payload
from definitions.parameters import Parameter, bind
from definitions.script import Script
from definitions.secret_values import by_variable
from definitions.variables import bind_command, lint_command, resolve, scope
from store.sealing import seal_to_agent

RUN = "touch RAN"
"""What a value tries to do; RAN is replaced by a path of this test."""

PROGRAMS = [
    f"$({RUN})", f"`{RUN}`", f"; {RUN};", f"| {RUN}", f"|| {RUN}", f"&& {RUN}", f"& {RUN} &", f"\n{RUN}\n",
    f"\r\n{RUN}\r\n", f"'; {RUN}; '", f'"; {RUN}; "', f"'$({RUN})'", f'"$({RUN})"', f"\\$({RUN})",
    f"${{x:=$({RUN})}}", f"x[$({RUN})]", f"a[`{RUN}`]=1", f"$(({RUN}))", f"$((x[$({RUN})]))", f"<({RUN})",
    f">({RUN})", "> RAN", ">> RAN", ">| RAN", "<> RAN", f"() {{ :;}}; {RUN}", f"{{ {RUN}; }}", f"( {RUN} )",
    f"if true; then {RUN}; fi", f"eval {RUN}", f"exec {RUN}", f"bash -c '{RUN}'", f"!{RUN}", f"#\n{RUN}",
    f"\\\n{RUN}", f"EOF\n{RUN}\n", f"-e 'system(\"{RUN}\")'", f"__import__('os').system('{RUN}')",
    f"'''\n__import__('os').system('{RUN}')\n'''", f'"""+__import__("os").system("{RUN}")+"""',
    f"{{{{7*7}}}}{RUN}", "{{step_x.stdout}}", "{{inputs.v1}}", "${OPSGATE_V2}",
    "$OPSGATE_V1 $PARAM_V1 $PATH", f"%({RUN})s", f"{{0.__class__}} {RUN}", f"$'\\x3b{RUN}'", f"\\x3b {RUN}",
    f"%3B{RUN}", f"\x1b]0;{RUN}\x07",
]  # fmt: skip
TEXTS = [
    "", " ", "  two  spaces  ", "\t", "\n", "\n\n\n", "\r", "'", "''", '"', '"" "', "\\", "\\\\", "\\n",
    "\\'", "*", "* /etc/*", "?", "[a-z]", "{a,b}", "{1..9}", "~", "~root", "!!", "!$", "$", "$$", "$!",
    "$@", "$*", "${", "$(", "`", "(", ")", "<", ">", "|", "&", ";", "#", "# no comment", "-", "--", "-n",
    "-e", "-rf /", "--help", "-v x", "=", "a=b", "==", ":", "..", "/", "//", "./x", "%s%n%d", "%", "%%",
    "0", "00", "-1", "1e9", "0x41", "1+1", "NaN", "null", "true", "None", "[]", "{}", "<!-- -->",
    "<script>", "žluťoučký", "\U0001f40e\U0001f3fd", "\u202eabc", "\ufeffbom", "\u00a0", "\u2028\u2029",
    "e\u0301", "\u200b", "\U0010ffff", "\x01\x02\x7f", "\x1b[31mred", "\x08", "\x85", "İ", "ß", "ﬀ",
]  # fmt: skip


def corpus(marker: Path) -> list[str]:
    """500 different values; the programs among them would make `marker`."""

    def made() -> Iterator[str]:
        yield from PROGRAMS
        yield from TEXTS
        for first, second in itertools.product(PROGRAMS, ["a", "'", '"', "\\", "\n", "é", " -x ", "$x"]):
            yield f"{second}{first}{second}"

    different = dict.fromkeys(value.replace("RAN", str(marker)) for value in made())
    values = list(itertools.islice(different, 494))
    for piece in ("x", "'", "$(", "é", "\n", "\\"):  # 60 KB of each
        values.append((piece * 61_440).encode()[:61_440].decode(errors="ignore"))
    assert len(set(values)) == 500
    return values


def lots(values: list[str]) -> Iterator[dict[str, str]]:
    """Values under names, as many as one process can be given."""
    for start in range(0, len(values), 20):
        yield {f"v{number}": value for number, value in enumerate(values[start : start + 20])}


READ = {
    "bash": 'printf "%s\\0" "$PARAM_{}"\n',
    "python": "sys.stdout.buffer.write(os.environb[b'PARAM_{}'] + b'\\0')\n",
}


TEMPLATES = {"whole": ("", ""), "embedded": ("it's ", ' "$x"')}
"""What stands around the reference in a step's parameter."""


def script_of(language: str, lot: dict[str, str], reading: str, type_: str) -> Script:
    content = "".join(reading.format(name.upper()) for name in lot)
    return Script(
        name="print",
        language=language,
        content="import os, sys\n" + content if language == "python" else content,
        parameters=tuple(Parameter(name=name, type=type_, required=True) for name in lot),
    )


def as_script(language: str, lot: dict[str, str], around: tuple[str, str] = ("", "")) -> ScriptPayload:
    """A script that prints each of its parameters, which a step gives it by templates."""
    script = script_of(language, lot, READ[language], "string")
    templates = {name: f"{around[0]}{{{{inputs.{name}}}}}{around[1]}" for name in lot}
    given = resolve(dict(templates), scope(inputs=lot, instance={}, results={}))
    values, problems = bind(script.parameters, given, "/parameters")
    assert problems == []
    return script_payload(script, values)


PRINT = "import os, sys; sys.stdout.buffer.write(os.fsencode(sys.argv[1]) + b'\\0')"
POSITIONS = {
    "a bare word": 'printf "%s\\0" {{inputs.NAME}}',
    "inside double quotes": 'printf "%s\\0" "{{inputs.NAME}}"',
    "a part of a word": 'printf "%s\\0" x{{inputs.NAME}}y',
    "an assignment": 'x={{inputs.NAME}}; printf "%s\\0" "$x"',
    "an element of an array": 'a=( one {{inputs.NAME}} ); printf "%s\\0" "${a[1]}"',
    "a list that is gone through": 'for x in {{inputs.NAME}}; do printf "%s\\0" "$x"; done',
    "an argument of a function": 'f() { printf "%s\\0" "$1"; }; f {{inputs.NAME}}',
    "a subject of case": 'x=no; case {{inputs.NAME}} in *) x={{inputs.NAME}};; esac; printf "%s\\0" "$x"',
    "a comparison": 'x={{inputs.NAME}}; [[ {{inputs.NAME}} == "$x" ]] && printf "%s\\0" {{inputs.NAME}}',
    "a subshell": '(printf "%s\\0" {{inputs.NAME}})',
    "an argument of a Python program": "python3 PRINT {{inputs.NAME}}",
}
WRAPPED = {"a part of a word": ("x", "y")}


def as_command(position: str, lot: dict[str, str], program: Path) -> CommandPayload:
    """A command that prints each value, which stands in this position."""
    line = POSITIONS[position].replace("PRINT", str(program))
    text = "\n".join(line.replace("NAME", name) for name in lot)
    assert lint_command(text, "bash") == []
    bound = bind_command(text, "bash", scope(inputs=lot, instance={}, results={}))
    return command_payload(bound.text, bound.environment, "bash")


async def arrive(server, ended, payloads, values) -> None:
    """Every value is printed by the job it was given to, each as it was."""
    jobs = [
        server.add(number, **payload.model_dump(mode="json")) for number, payload in enumerate(payloads, 1)
    ]
    printed: list[bytes] = []
    for job in jobs:
        report = await ended(job, 60)
        assert (report["outcome"], report["exit_code"]) == ("exited", 0), job.output("stderr")
        printed += job.output("stdout").split(b"\0")[:-1]
    assert len(printed) == 500
    assert printed == [value.encode() for value in values]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("language", ["bash", "python"])
async def test_every_value_arrives_as_a_script_parameter_and_none_runs(
    language, template, server, agent, ended, tmp_path
):
    agent.start()
    values = corpus(tmp_path / "RAN")
    around = TEMPLATES[template]
    expected = [f"{around[0]}{value}{around[1]}" for value in values]
    await arrive(server, ended, [as_script(language, lot, around) for lot in lots(values)], expected)
    assert not (tmp_path / "RAN").exists()


COPY = {
    "bash": 'cat "$PARAM_{0}_FILE" > "FOLDER/{0}"\n',
    "python": "open('FOLDER/{0}', 'wb').write(open(os.environ['PARAM_{0}_FILE'], 'rb').read())\n",
}
"""Into files: what a job prints of a secret is taken out."""


@pytest.mark.parametrize("language", ["bash", "python"])
async def test_every_value_arrives_as_a_secret_parameter_and_none_runs(
    language, server, agent, ended, tmp_path
):
    agent.start()
    public_key = identity.load(agent.folder).private_key.public_key().public_bytes_raw()
    values = corpus(tmp_path / "RAN")
    arrived = []
    for number, lot in enumerate(lots(values), 1):
        (folder := tmp_path / f"lot {number}").mkdir()
        script = script_of(language, lot, COPY[language].replace("FOLDER", str(folder)), "secret")
        bound, problems = bind(script.parameters, lot, "/parameters")
        assert problems == []
        about = {"host_id": 3, "agent_id": 7, "job_id": number, "attempt": 1}
        sealed = seal_to_agent(by_variable(script.parameters, bound), public_key, **about)
        job = server.add(number, sealed=sealed, **script_payload(script, bound).model_dump(mode="json"))
        report = await ended(job, 60)
        assert (report["outcome"], report["exit_code"]) == ("exited", 0), job.output("stderr")
        arrived += [(folder / name.upper()).read_bytes() for name in lot]
    assert arrived == [value.encode() for value in values]
    assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize("position", POSITIONS)
async def test_every_value_arrives_in_a_command_and_none_runs(position, server, agent, ended, tmp_path):
    agent.start()
    values = corpus(tmp_path / "RAN")
    program = tmp_path / "print.py"
    program.write_text(PRINT)
    before, after = WRAPPED.get(position, ("", ""))
    expected = [f"{before}{value}{after}" for value in values]
    await arrive(server, ended, [as_command(position, lot, program) for lot in lots(values)], expected)
    assert not (tmp_path / "RAN").exists()


async def test_the_corpus_does_run_when_it_is_spliced_into_the_text(server, agent, ended, tmp_path):
    """The planted control: the same values, put where code stands."""
    agent.start()
    ran = 0
    for number, value in enumerate(corpus(tmp_path / "RAN")[: len(PROGRAMS)], 1):
        await ended(server.add(number, command=f"echo {value}"))
        ran += (tmp_path / "RAN").exists()
        (tmp_path / "RAN").unlink(missing_ok=True)
    assert ran > 15

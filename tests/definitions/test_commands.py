"""Commands: values reach Bash as data, whatever they are; unsafe places are refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.payloads import MAX_VALUE_BYTES, CommandPayload
from definitions.errors import Invalid
from definitions.variables import Scope, Shell, Unresolved, bind_command, lint_command, scope

HOSTILE = [
    "; touch canary",
    "$(touch canary)",
    "`touch canary`",
    "a[$(touch canary)]",
    '" ; touch canary ; "',
    "' ; touch canary ; '",
    "* /etc",
    "x\ntouch canary",
    "\\",
    "-n",
    "${IFS}",
    "é ☃",
]


def _scope(value: object) -> Scope:
    return scope(inputs={"x": value, "y": "second"}, instance={}, results={})  # type: ignore[dict-item]


SAFE = [
    'printf "%s" {{inputs.x}}',
    'printf %s "{{inputs.x}}"',
    'printf %s "$(printf %s {{inputs.x}})"',
    'printf %s "$(printf %s "{{inputs.x}}")"',
    "v={{inputs.x}}; printf %s \"$v\"",
    "export V={{inputs.x}}; printf %s \"$V\"",
    "cat <<< {{inputs.x}} | head -c -1",
    "if [ -n {{inputs.x}} ]; then printf %s {{inputs.x}}; fi",
    "if [[ {{inputs.x}} == {{inputs.x}} && -n {{inputs.y}} ]]; then printf %s {{inputs.x}}; fi",
    "for v in {{inputs.x}}; do printf %s \"$v\"; done",
    "case {{inputs.x}} in zzz) ;; *) printf %s {{inputs.x}};; esac",
    "printf %s {{inputs.x}} > out; cat out",
    "env A=1 nice -n 1 printf %s {{inputs.x}}",
    "printf '%s' {{inputs.x}} 2>/dev/null",
    "( printf %s {{inputs.x}} )",
    "{ printf %s {{inputs.x}}; }",
    "cat <(printf %s {{inputs.x}})",
    "true && ! false || true; printf %s \\\n {{inputs.x}}",
    "printf %s ${NOTHING:-}{{inputs.x}}",
    "printf %s $NOTHING{{inputs.x}} # done",
    "python3 -u print_argument.py {{inputs.x}}",
    "bash print_argument.sh {{inputs.x}}",
    "show() { printf %s \"$1\"; }; show {{inputs.x}}",
    "time -p printf %s {{inputs.x}} 2>/dev/null",
]  # fmt: skip


def _run(command: str, value: str, folder: Path) -> str:
    (folder / "print_argument.py").write_text("import os, sys\nos.write(1, os.fsencode(sys.argv[1]))\n")
    (folder / "print_argument.sh").write_text('printf %s "$1"\n')
    bound = bind_command(command, "bash", _scope(value))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", bound.text],
        env={"PATH": path, "LC_ALL": "C.UTF-8", **bound.environment},
        cwd=folder,
        capture_output=True,
        timeout=20,
        check=False,
    )
    return done.stdout.decode()


@pytest.mark.parametrize("command", SAFE)
def test_a_hostile_value_arrives_as_it_is_and_runs_nothing(command: str, tmp_path: Path) -> None:
    for value in HOSTILE:
        assert _run(command, value, tmp_path) == value
        assert not (tmp_path / "canary").exists()


PIECES = st.sampled_from(
    [
        "{{inputs.x}}",
        "{{inputs.x}}",
        '"',
        "'",
        "$(",
        ")",
        "(",
        "echo",
        ";",
        "|",
        "&&",
        "$",
        "\\",
        "#",
        "a=",
        "[[",
        "]]",
        "[",
        "]",
        "-eq",
        "1",
        "${",
        "}",
        "{",
        "cat",
        "<<<",
        "if",
        "then",
        "fi",
        "do",
        "in",
        "esac",
        "eval",
        "test",
        "-v",
        "v",
        "$v",
        "unset",
        "read",
        "bash",
        "-c",
        "time",
        "!",
        "case",
        "xargs",
        "env",
        "declare",
        "a[",
        "((",
        "))",
        "`",
        "<(",
        "~",
        "*",
        "for",
        "function",
        "f",
        "printf",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=10), joint=st.sampled_from(["", " ", " ", "\n"]))
def test_no_accepted_command_runs_a_value(pieces: list[str], joint: str, tmp_path: Path) -> None:
    command = joint.join(pieces)
    if "{{inputs.x}}" not in command or lint_command(command, "bash"):
        return
    canary = tmp_path / "canary"
    script = tmp_path / "value-as-program"
    script.write_text(f"#!/bin/sh\ntouch {canary}\n")
    script.chmod(0o755)
    for value in (f"a[$(touch {canary})]", f"; touch {canary}", str(script), f"$(touch {canary})"):
        bound = bind_command(command, "bash", _scope(value))
        subprocess.run(
            ["bash", "-c", bound.text],
            env={"PATH": "/usr/bin:/bin", **bound.environment},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert not canary.exists(), bound.text


REFUSED = [
    ("echo '{{inputs.x}}'", "single quotes"),
    ("echo $'{{inputs.x}}'", "quotes"),
    ("echo $'a\\'b' {{inputs.x}} 'c", "do not close"),
    ('echo $"{{inputs.x}}"', "quotes"),
    ("cat <<EOF\n{{inputs.x}}\nEOF", "heredoc"),
    ("echo $(( {{inputs.x}} + 1 ))", "arithmetic"),
    ("(( {{inputs.x}} > 1 ))", "arithmetic"),
    ("echo $[ {{inputs.x}} ]", "arithmetic"),
    ("[[ {{inputs.x}} -gt 5 ]]", "number test"),
    ('[[ a == "]]" && 1 -eq {{inputs.x}} ]]', "number test"),
    ("eval {{inputs.x}}", "eval"),
    ("'ev'al {{inputs.x}}", "eval"),
    ("ev\\\nal {{inputs.x}}", "eval"),
    ("true; eval echo; echo {{inputs.x}}", "eval"),
    ("function f { eval \"$1\"; }; f {{inputs.x}}", "eval"),
    ("for v do eval \"$v\"; done; echo {{inputs.x}}", "eval"),
    ("time { eval x; }; echo {{inputs.x}}", "eval"),
    ("docker exec web eval {{inputs.x}}", "eval"),
    ("bash -c {{inputs.x}}", "bash"),
    ("sudo -u bob bash -lc \"echo {{inputs.x}}\"", "bash"),
    ("echo {{inputs.x}} | bash", "bash"),
    ("echo {{inputs.x}} | bash -s foo", "bash"),
    ('v={{inputs.x}}; sh -u "${v}"', "sh"),
    ("bash * {{inputs.x}}", "bash"),
    ("env = {{inputs.x}}", "name of a program"),
    ("env {{inputs.x}}=1 ls", "names a variable"),
    ("env -{{inputs.x}} ls", "option of `env`"),
    ("env \"$v=1\" ls; echo {{inputs.x}}", "names a variable"),
    ("bash {{inputs.x}}", "bash"),
    ("bash <(echo {{inputs.x}})", "bash"),
    ("docker exec web sh -c \"echo {{inputs.x}}\"", "sh"),
    ("echo {{inputs.x}} | docker exec -i web bash", "bash"),
    ("ssh host echo {{inputs.x}}", "ssh"),
    ("python3 -c \"print({{inputs.x}})\"", "python3"),
    ("echo {{inputs.x}} | python3", "python3"),
    ("echo {{inputs.x}} | python3 -c pass -", "python3"),
    ("echo {{inputs.x}} | python3 -W ignore", "python3"),
    ("python3.12 -m {{inputs.x}}", "python3"),
    ("awk \"{{inputs.x}}\" file", "awk"),
    ("source {{inputs.x}}", "source"),
    (". ./{{inputs.x}}", "`.`"),
    ("{{inputs.x}} now", "name of a program"),
    ("sudo {{inputs.x}}", "name of a program"),
    ("timeout -k 1 5 {{inputs.x}}", "name of a program"),
    ("env -S {{inputs.x}}", "env -S"),
    ("c={{inputs.x}}; $c", "name is computed"),
    ("{eval,{{inputs.x}}}", "name of a program"),
    ("{eval,x}; echo {{inputs.x}}", "name is computed"),
    ("echo {{inputs.x}} | xargs -I X X", "xargs"),
    ("echo {{inputs.x}} | xargs sudo", "xargs"),
    ("PATH={{inputs.x}} ls", "PATH"),
    ("export PATH={{inputs.x}}", "PATH"),
    ("env LD_PRELOAD={{inputs.x}} ls", "LD_PRELOAD"),
    ("export {{inputs.x}}", "takes names"),
    ("read {{inputs.x}}", "takes names"),
    ("unset \"$v\"; echo {{inputs.x}}", "takes names"),
    ("declare -i n; n={{inputs.x}}", "number or a name"),
    ("[ -v {{inputs.x}} ]", "takes names"),
    ("printf -v {{inputs.x}} a", "takes names"),
    ("a[{{inputs.x}}]=1", "array index"),
    ("a[i]=1; echo {{inputs.x}}", "array index"),
    ("echo `echo {{inputs.x}}`", "backticks"),
    ("echo ${x:{{inputs.x}}}", "computes"),
    ("echo ${!x} {{inputs.x}}", "computes"),
    ("echo \\{{inputs.x}}", "backslash"),
    ("echo ${{inputs.x}}", "right after a `$`"),
    ("(case a in b) true;; esac; eval \"$v\"); echo {{inputs.x}}", "eval"),
    ("echo # {{inputs.x}}", "comment"),
    ("echo # {{inputs.x}}\necho", "comment"),
    ("for {{inputs.x}} in a; do true; done", "name is expected"),
    ("echo $(case a in a) echo {{inputs.x}};; esac)", "case"),
    ("echo \"{{inputs.x}}", "do not close"),
    ("echo $(echo {{inputs.x}}", "do not close"),
    ("echo " + "$(" * 60 + "{{inputs.x}}" + ")" * 60, "nested"),
    ("echo \ue000 {{inputs.x}}", "private-use"),
    ("echo " + "{{inputs.x}} " * 6500, "references"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "words"), REFUSED)
def test_an_unsafe_place_is_refused_with_a_way_out(command: str, words: str) -> None:
    problems = lint_command(command, "bash")
    assert problems
    assert words in problems[0].message
    assert "script parameter" in problems[0].fix
    with pytest.raises(Invalid):
        bind_command(command, "bash", _scope("x"))


def test_the_same_reference_is_bound_once() -> None:
    bound = bind_command('echo {{inputs.x}} "{{ variables.inputs.x }}" {{inputs.y}}', "bash", _scope("v"))
    assert bound.text == 'echo "${OPSGATE_V1}" "${OPSGATE_V1}" "${OPSGATE_V2}"'
    assert bound.environment == {"OPSGATE_V1": "v", "OPSGATE_V2": "second"}
    CommandPayload(command=bound.text, shell="bash", environment=bound.environment)


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (None, ""), ({"a": [1, None]}, '{"a":[1,null]}'), (1.5, "1.5")]
)
def test_a_value_in_the_environment_is_text(value: object, text: str) -> None:
    assert bind_command("echo {{inputs.x}}", "bash", _scope(value)).environment == {"OPSGATE_V1": text}


@pytest.mark.parametrize("value", ["a\x00b", "x" * (MAX_VALUE_BYTES + 1), "\udc80"])
def test_a_value_that_no_process_can_be_given_is_refused(value: str) -> None:
    with pytest.raises(Invalid, match=r"The value of {{inputs.x}}") as caught:
        bind_command("echo {{inputs.x}}", "bash", _scope(value))
    assert value[:10] not in str(caught.value)


def test_a_reference_without_a_value_is_refused() -> None:
    with pytest.raises(Unresolved):
        bind_command("echo {{inputs.nothing}}", "bash", _scope("x"))


@pytest.mark.parametrize("shell", ["bash", "powershell"])
def test_a_command_without_references_stays_as_it_is(shell: Shell) -> None:
    command = "eval 'anything' && docker ps --format '{{.Names}}'"
    assert bind_command(command, shell, _scope("x")).text == command


POWERSHELL = [
    ("Write-Output {{inputs.x}}", "Write-Output $env:OPSGATE_V1"),
    ('Write-Output "{{inputs.x}}"', 'Write-Output "$env:OPSGATE_V1"'),
    ('Write-Output "a{{inputs.x}}b"', 'Write-Output "a${env:OPSGATE_V1}b"'),
    ('Write-Output "{{inputs.x}}?"', 'Write-Output "${env:OPSGATE_V1}?"'),
    ('Write-Output "{{inputs.x}}: `"q`" $y"', 'Write-Output "${env:OPSGATE_V1}: `"q`" $y"'),
    ("Get-Item 'a''b' # note\nGet-Item {{inputs.x}}", "Get-Item 'a''b' # note\nGet-Item $env:OPSGATE_V1"),
    ("$v = ({{inputs.x}}, 1)", "$v = ($env:OPSGATE_V1, 1)"),
    ("& git status {{inputs.x}}", "& git status $env:OPSGATE_V1"),
    ("a `\n {{inputs.x}}", "a `\n $env:OPSGATE_V1"),
]


@pytest.mark.parametrize(("command", "text"), POWERSHELL)
def test_powershell_gets_an_environment_variable(command: str, text: str) -> None:
    assert bind_command(command, "powershell", _scope("v")).text == text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("Write-Output '{{inputs.x}}'", "single quotes"),
        ("Write-Output ‘{{inputs.x}}’", "typographic"),
        ("Invoke-Expression {{inputs.x}}", "Invoke-Expression"),
        ("i`ex {{inputs.x}}", "iex"),
        ("& 'iex' {{inputs.x}}", "iex"),
        ("& {{inputs.x}}", "calls what"),
        ("& $f {{inputs.x}}", "calls what"),
        (". {{inputs.x}}", "calls what"),
        ("[scriptblock]::Create({{inputs.x}})", "scriptblock"),
        ("[int]::Parse({{inputs.x}})", ".NET"),
        ("$x.Invoke({{inputs.x}})", ".NET"),
        ("powershell -Command {{inputs.x}}", "powershell"),
        ("cmd /c {{inputs.x}}", "cmd"),
        ("a --% {{inputs.x}}", "--%"),
        ('@"\n{{inputs.x}}\n"@', "here-string"),
        ('Write-Output "$({{inputs.x}})"', "expression inside quotes"),
        ('Write-Output "${{inputs.x}}"', "expression inside quotes"),
        ("Write-Output {{inputs.x}}.txt", "right beside"),
        ("Write-Output a{{inputs.x}}", "right beside"),
        ("Write-Output `{{inputs.x}}", "backtick"),
        ('Write-Output "`{{inputs.x}}"', "backtick"),
        ("a # {{inputs.x}}", "comment"),
        ("<# {{inputs.x}} #>", "block comment"),
        ('a "{{inputs.x}}', "do not close"),
        ("a {{inputs.x}} 'b", "do not close"),
    ],
)
def test_an_unsafe_place_in_powershell_is_refused(command: str, words: str) -> None:
    problems = lint_command(command, "powershell")
    assert problems
    assert words in problems[0].message


@given(
    pieces=st.lists(PIECES | st.text(max_size=4), max_size=12), shell=st.sampled_from(["bash", "powershell"])
)
def test_no_command_crashes_the_scanner(pieces: list[str], shell: Shell) -> None:
    lint_command("".join(pieces), shell)

"""Places where a value would become an operator, a number or a program, each seen to run in Bash 5.2."""

import os
import subprocess
import time
from itertools import product
from pathlib import Path

import pytest

from definitions.bash_arguments import flows, splits
from definitions.variables import Shell, bind_command, lint_command, scope

WOULD_RUN = [
    # an operator, and what it reads as an array index
    "[ {{inputs.a}} {{inputs.b}} ]",
    'test "{{inputs.a}}" "{{inputs.b}}"',
    '[ ! "{{inputs.a}}" {{inputs.b}} ]',
    "x={{inputs.a}}; [ $x ]",
    "x={{inputs.a}}; [ $x = y ]",
    "x={{inputs.a}}; [ -n $x ]",
    "set -- {{inputs.a}}; test $1",
    "[ $(echo {{inputs.a}}) -gt 5 ]",
    "printf {{inputs.a}} {{inputs.b}} x",
    'printf "{{inputs.a}}" x',
    'printf "-{{inputs.a}}" x',
    "x={{inputs.a}}; printf $x y",
    # an index
    "a=( one [{{inputs.a}}]=1 )",
    "x={{inputs.a}}; a=( one [$x]=1 )",
    "x={{inputs.a}}; a=( one [x + 1]=1 )",
    "a+=( one [{{inputs.a}}]=1 )",
    # a number
    "RANDOM={{inputs.a}}",
    "OPTIND={{inputs.a}}; true",
    "x={{inputs.a}}; SECONDS=$x",
    "for SECONDS in {{inputs.a}}; do :; done",
    'export HISTCMD="{{inputs.a}}"',
    # a program's text
    'bash -O extglob -c "{{inputs.a}}"',
    'perl -I lib -e "{{inputs.a}}"',
    'x={{inputs.a}}; python3 -c "$x"',
    'x={{inputs.a}}; perl -e "$x"',
    'x={{inputs.a}}; awk "$x" file',
    'x={{inputs.a}}; sed "s/y/$x/" file',
    "echo {{inputs.a}} | xargs awk",
    "bash /dev/fd/3 3<<< {{inputs.a}}",
    "flock lock -c {{inputs.a}}",
    "runuser -c {{inputs.a}}",
    "script -qc {{inputs.a}} /dev/null",
    "make {{inputs.a}}",
    "docker exec web sh {{inputs.a}} {{inputs.b}}",
    "setarch x86_64 python3 -c {{inputs.a}}",
    "setarch x86_64 awk {{inputs.a}}",
    # a program's name
    "find . -exec {{inputs.a}} {{inputs.b}} ';'",
    "rsync -e ssh --rsh={{inputs.a}} a b:",
    "rsync --rsh {{inputs.a}} a b:",
    "tar xf a --to-command={{inputs.a}}",
    "flock --command={{inputs.a}} lock; flock lock --command {{inputs.a}}",
    # a variable that some program runs
    "GIT_SSH_COMMAND={{inputs.a}} git fetch",
    'env PERL5OPT="{{inputs.a}}" perl file',
    "x={{inputs.a}}; PS4=$x; set -x; true",
    "x={{inputs.a}}; export BASH_ENV=$x; bash file",
    # a dollar and what it belongs to, on two lines
    'x={{inputs.a}}; echo "$\\\n{x@P}"',
    'x={{inputs.a}}; echo "$\\\n((x))"',
]


@pytest.mark.parametrize("command", WOULD_RUN)
def test_a_place_where_a_value_would_run_is_refused(command: str):
    assert {problem.code for problem in lint_command(command, "bash")} == {"unsafe-position"}


STILL_FINE = [
    '[ "{{inputs.a}}" = "{{inputs.b}}" ]',
    "[ -n {{inputs.a}} ]",
    "[ ! -f {{inputs.a}} ]",
    '[ -n "{{inputs.a}}" -a "{{inputs.b}}" = y ]',
    '[ "{{inputs.a}}" -gt "{{inputs.b}}" ] 2>/dev/null',
    'true {{inputs.a}}; [ $? -eq 0 ] && [ "$(echo "{{inputs.b}}")" -gt 5 ]',
    '[[ {{inputs.a}} == {{inputs.b}} && -n "{{inputs.a}}" ]]',
    "printf %s {{inputs.a}} {{inputs.b}}",
    "printf -- {{inputs.a}} {{inputs.b}}",
    'printf "> {{inputs.a}}"',
    "docker exec web python3 print.py {{inputs.a}}",
    "printf '%d\\n' {{inputs.a}} 2>/dev/null",
    'a=( one {{inputs.a}} [3]={{inputs.b}} ); echo "${a[@]}"',
    'x={{inputs.a}}; y="$x"; echo "$y" "${x^^}" "${x//a/b}" ${x%a} $x',
    "for i in {{inputs.a}} {{inputs.b}}; do echo $i; done",
    "case {{inputs.a}} in x*) echo {{inputs.b}};; esac",
    'f() { echo "$@"; }; f {{inputs.a}} {{inputs.b}}',
    "read -r line <<< {{inputs.a}}; echo $line",
    "echo {{inputs.a}} | awk '{ print $1 }' | sed 's/a/b/'",
    "echo {{inputs.a}} | xargs -0 echo",
    "set {{inputs.a}} {{inputs.b}}; kill {{inputs.a}}; exit {{inputs.b}}",
    "cd {{inputs.a}}; ulimit -n {{inputs.b}}; umask {{inputs.a}}; shift {{inputs.b}}",
]
CODE = "touch ${IFS}RAN"
VALUES = [
    f"x[$({CODE})]", f"$({CODE})", f"`{CODE}`", f'";{CODE};"', f"';{CODE};'", f"a\n{CODE}\n", "-v", "!", "(",
    f"-vx[$({CODE})]", "-v x[$(touch${IFS}RAN)]", "= b -o -v x[$(touch${IFS}RAN)]", f"1+x[$({CODE})]",
]  # fmt: skip


@pytest.mark.parametrize("command", STILL_FINE)
def test_no_value_runs_where_values_are_let_in(command: str, tmp_path: Path):
    for first, second in product(VALUES, VALUES):
        values = scope(inputs={"a": first, "b": second}, instance={}, results={})
        bound = bind_command(command, "bash", values)
        subprocess.run(
            ["bash", "-c", bound.text],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **bound.environment},
            cwd=tmp_path,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
        assert not (tmp_path / "RAN").exists(), (command, first, second)


PIECES = [
    "a ",
    "[[ ",
    "{{ ",
    "for ",
    "case ",
    "env ",
    "xargs ",
    "bash a ",
    "a[ ",
    "$(",
    "\r",
    "\n",
    " ",
    "& ",
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("shell", ["bash", "powershell"])
def test_a_long_command_is_read_in_little_time(piece: str, shell: Shell):
    began = time.process_time()
    lint_command("echo {{inputs.a}} " + piece * (65536 // len(piece)), shell)
    assert time.process_time() - began < 3


def test_the_corpus_does_run_when_a_value_is_spliced(tmp_path: Path):
    """The planted control: the same values, put into the text, do run."""
    for value in VALUES[1:3]:
        subprocess.run(["bash", "-c", f"echo {value}"], cwd=tmp_path, capture_output=True, check=True)
        (tmp_path / "RAN").unlink()


@pytest.mark.parametrize(
    ("word", "may_hold_a_value", "becomes_words"),
    [
        ("plain", False, False),
        ("'$x'", False, False),
        ("\\$x", False, False),
        ('"$x"', True, False),
        ("a$x", True, True),
        ("'a'$x", True, True),
        ('"$(a "b")"', True, False),
        ("$?", True, False),
        ("\ue000", True, False),
    ],
)
def test_what_a_word_may_hold(word: str, may_hold_a_value: bool, becomes_words: bool):
    assert (flows(word), splits(word)) == (may_hold_a_value, becomes_words)

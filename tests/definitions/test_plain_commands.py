"""Most commands quote nothing: their references are placed without a scanner, and alike."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from definitions.references import malformed
from definitions.variables import Shell, bind_command, lint_command, scope

WORDS = [
    *("{{inputs.x}}", "x{{inputs.x}}", "{{inputs.x}}{{inputs.y}}", "={{inputs.x}},", "{{inputs.x}}]"),
    *("A={{inputs.y}}", "RANDOM={{inputs.x}}", "PATH={{inputs.x}}", "--rsh={{inputs.y}}", "{{inputs.x}}\r"),
    *("echo", "python3", "-c", "eval", "sudo", "env", "xargs", "printf", "-v", "for", "in", "do", "case"),
    *("read", "iex", "start", ".", ".create", "::", "{", "}", "!", "~", "*", "%s", "a,b"),
    *("a[{{inputs.x}}]=1", '"{{inputs.x}}"', "'{{inputs.x}}'", "# {{inputs.x}}", "\\{{inputs.x}}"),
    *("${{inputs.x}}", "`{{inputs.x}}`", "; {{inputs.x}}", "| {{inputs.x}}", "({{inputs.x}})", ">"),
]
SPACES = [" ", "  ", "\t"]
PIECES = st.tuples(st.sampled_from(WORDS), st.sampled_from(SPACES)).map("".join)


@pytest.mark.parametrize("shell", ["bash", "powershell"])
@given(command=st.lists(PIECES, min_size=1, max_size=8).map("".join))
@example("echo a; {{inputs.x}}")
@example("echo a & {{inputs.x}}")
@example("echo a | {{inputs.x}}")
@example("echo a\n{{inputs.x}}")
@example("echo 'a {{inputs.x}}")
@example('echo "a {{inputs.x}}')
@example("echo `{{inputs.x}}`")
@example("echo ${{inputs.x}}")
@example("echo \\{{inputs.x}}")
@example("echo # {{inputs.x}}")
@example("echo ({{inputs.x}})")
@example("echo > {{inputs.x}}")
@example("a[{{inputs.x}}]=1")
@example("echo RANDOM {{inputs.x}}")
def test_a_quoted_command_in_front_changes_nothing(shell: Shell, command: str) -> None:
    assert lint_command(f"'x'\n{command}", shell) == lint_command(command, shell)


VALUES = scope(inputs={"x": "1"}, instance={}, results={})


@pytest.mark.parametrize(
    ("command", "bound"),
    [
        ("echo {{inputs.x}}", "echo $env:OPSGATE_V1"),
        ("echo {{inputs.x}} 'x'", "echo $env:OPSGATE_V1 'x'"),
        ('echo {{inputs.x}} "$x {{inputs.x}}"', 'echo $env:OPSGATE_V1 "$x $env:OPSGATE_V1"'),
    ],
)
def test_powershell_takes_a_reference_beside_quoted_words(command: str, bound: str) -> None:
    assert bind_command(command, "powershell", VALUES).text == bound


def test_bash_takes_a_reference_on_the_line_that_goes_on() -> None:
    found = bind_command("echo a \\\n  {{inputs.x}}", "bash", VALUES)
    assert found.text == 'echo a \\\n  "${OPSGATE_V1}"'


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("{{inputs.x}}", ()),
        ("{{{inputs.x}}}", ()),
        ("{{{{inputs.x}}}}", ("{{ }}",)),
        ("{{inputs.x}} {{inputs x}}", ("{{inputs x}}",)),
        ("{{inputs.x}} {{.Name}}", ()),
    ],
)
def test_only_what_is_left_over_looks_malformed(text: str, bad: tuple[str, ...]) -> None:
    assert malformed(text) == bad

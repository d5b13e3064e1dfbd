"""Where libraries go in a PowerShell script: after `using` and `param`, found without PowerShell."""

import pytest

from definitions.errors import Invalid
from definitions.powershell_groups import after_group
from definitions.prepending import prepend
from definitions.script_head import HEADS

HERE = "|"
PLACES = {
    "nothing first": "|Write-Output 1",
    "a shebang": "#!/usr/bin/env pwsh\n|Write-Output 1",
    "a byte order mark": "\ufeff|Write-Output 1",
    "using": "using namespace System.IO\nusing module Tools # mine\n|Write-Output 1".replace(
        " # mine\n|", " |# mine\n"
    ),
    "using on one line": "using namespace System.IO; using assembly 'a;b.dll';|Write-Output 1",
    "using with a table": "USING Module @{\n  ModuleName = 'T' # )}\n  ModuleVersion = '1'\n}|\n1",
    "using a path with a hash": "using module C:\\a#b\\c.psm1|\r\nWrite-Output 1",
    "using to the end": "using module @{ never closed|",
    "param": "param($Name)|\nWrite-Output $Name",
    "param and then the body": "param ( $Name )| ; Write-Output $Name",
    "comments before": "# one\n<# two\nparam( #>\nparam($a)|\n1",
    "comments between": "param <# ( #> # (\n(\n # )\n$a <# ) #>\n)|\n1",
    "attributes": "[CmdletBinding(Supports)]\n[Diagnostics.Suppress('PS', '')] # ]\nParam($a)|\n1",
    "nested": "param([int[]]$a = @(1, (2)), [hashtable]$h = @{ x = @(')') }, $b = { param($y) })|\n1",
    "single quotes": "param($a = 'it''s )', $b = ')')|\n1",
    "double quotes": 'param($a = ") `" "") $x", $b = "")|\n1',
    "code in quotes": 'param($a = "a $(f ")" (1)) b)")|\n1',
    "typographic quotes": "param($a = \u2018)\u2019, $b = \u201c)\u201d\u201d)\u201d)|\n1",
    "a here-string": "param($a = @'\n ')\n'@)|\n1",
    "an empty here-string": "param($a = @'\n'@)|\n1",
    "an expanding here-string": 'param($a = @"\n") `$(x $(f ")") "\n"@)|\n1',
    "escapes": "param($a = `\n1, $b = `))|\n1",
    "using and param": "using namespace A\n\n[CmdletBinding()] param()|\n1",
    "a cast is no attribute": "|[int]$x = 5",
    "a command named like it": "|param-check (1)",
    "a param that never closes": "|param($a = (1)",
    "a param with the wrong bracket": "|param($a])",
    "a quote that never closes": "|param($a = 'x)",
    "a text that never closes": '|param($a = "x)',
    "a here-string that never closes": '|param($a = @"\nx)',
    "an attribute that never closes": "|[CmdletBinding(",
    "a backtick at the very end": "|param(`",
    "param without brackets": "|param",
    "less than": "param($a = (1 -lt 2) <3>)|",
}


@pytest.mark.parametrize("marked", PLACES.values(), ids=PLACES)
def test_libraries_go_after_what_powershell_wants_first(marked: str) -> None:
    place = marked.index(HERE)
    script = marked.replace(HERE, "")
    assert HEADS["powershell"](script).end == place
    whole = prepend("powershell", script, ["function F { 1 }"])
    before = script[:place] if not place or script[:place].endswith("\n") else script[:place] + "\n"
    before += "\n" if script[:place].endswith("`") else ""
    assert whole == before + "function F { 1 }\n" + script[place:]


def test_what_a_library_uses_moves_before_the_scripts_parameters() -> None:
    library = "# Tools\nusing namespace System.IO\nusing module T; function F { 1 }"
    whole = prepend("powershell", "using namespace A\nparam($x)\nF", [library])
    assert whole == (
        "using namespace A\nusing namespace System.IO\nusing module T\n\nparam($x)\n"
        "# Tools\n\n; function F { 1 }\n\nF"
    )


@pytest.mark.parametrize("body", ["process { $_ }", "param($x)\nBEGIN\n{ 1 }\nend { 2 }", "dynamicparam { }"])
def test_a_script_of_named_blocks_is_refused_rather_than_broken(body: str) -> None:
    assert prepend("powershell", body, []) == body
    with pytest.raises(Invalid) as refused:
        prepend("powershell", body, ["function F { 1 }"])
    assert refused.value.problems[0].code == "named-blocks"


def test_nesting_has_no_depth_that_ends_it() -> None:
    deep = '("$' * 50_000
    assert after_group(deep, 0) is None
    assert after_group("(" * 50_000 + ")" * 50_000, 0) == 100_000

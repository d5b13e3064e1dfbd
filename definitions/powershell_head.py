"""The head of a PowerShell text: what the language wants first.

`using` statements come before everything, then attributes and the `param` block; comments may stand
anywhere between. A head that does not close is none: PowerShell will say what is wrong with it.
"""

import re

from definitions.powershell_groups import after_group, end_of_statement

_BLANK = re.compile(r"(?:\s++|`\r?\n|<#.*?#>|#[^\r\n]*+)*+", re.DOTALL)
_SHEBANG = re.compile(r"#![^\n]*\n?")
_USING = re.compile(r"using\s+(?:namespace|module|assembly|type|command)\b", re.IGNORECASE)
_PARAM = re.compile(r"param(?![\w-])", re.IGNORECASE)
_SEPARATOR = re.compile(r"[ \t]*;?")
_NAMED_BLOCK = re.compile(r"(?:begin|process|end|clean|dynamicparam)\s*\{", re.IGNORECASE)


def powershell_head(text: str) -> tuple[int, int, tuple[tuple[int, int], ...], bool]:
    """Where the `using` statements end, where the parameters end, the statements, whether blocks follow.

    Two offsets are the same where there is no `param` block.
    """
    top = len(text) - len(text.removeprefix("\ufeff"))
    shebang = _SHEBANG.match(text, top)
    top = shebang.end() if shebang else top
    at = _blank(text, top)
    using: list[tuple[int, int]] = []
    while word := _USING.match(text, at):
        stop = end_of_statement(text, word.end())
        using.append((at, stop))
        top = _separator(text, stop)
        at = _blank(text, top)
    end = _after_parameters(text, at) or top
    body = _blank(text, _separator(text, _blank(text, end)))
    return top, end, tuple(using), _NAMED_BLOCK.match(text, body) is not None


def _after_parameters(text: str, at: int) -> int | None:
    while text[at : at + 1] == "[":
        attribute = after_group(text, at)
        if attribute is None:
            return None
        at = _blank(text, attribute)
    word = _PARAM.match(text, at)
    if word is None:
        return None
    opening = _blank(text, word.end())
    return after_group(text, opening) if text[opening : opening + 1] == "(" else None


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()


def _separator(text: str, at: int) -> int:
    found = _SEPARATOR.match(text, at)
    assert found is not None
    return found.end()

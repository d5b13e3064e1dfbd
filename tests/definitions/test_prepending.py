"""Libraries in front of a script: where they go, proved by really running what comes out."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from definitions.errors import Invalid
from definitions.library import parse_library
from definitions.prepending import prepend
from definitions.script import CONTENT_CHARACTERS, Language

PROGRAMS = {"bash": "bash", "python": sys.executable}


def run(language: Language, text: str) -> tuple[str, int]:
    """What a text prints, run from a file as an agent runs it, and its exit code."""
    with subprocess.Popen(
        [PROGRAMS[language], "/dev/stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        out, _ = process.communicate(text.encode())
    return out.decode(), process.returncode


def test_libraries_come_in_link_order_before_the_script() -> None:
    first = "greet() { echo first; }"
    second = "greet() { echo second; }\n"
    assert run("bash", prepend("bash", "greet", [first, second])) == ("second\n", 0)
    assert run("bash", prepend("bash", "greet", [second, first])) == ("first\n", 0)


BASH = {
    "a shebang": "#!/bin/bash\ngreet\n",
    "a shebang with options": "#!/usr/bin/env -S bash -e\ngreet",
    "nothing first": "greet",
    "a comment first": "# not a shebang\ngreet\n",
}


@pytest.mark.parametrize("script", BASH.values(), ids=BASH)
def test_a_bash_script_keeps_its_first_line(script: str) -> None:
    whole = prepend("bash", script, ["greet() { echo hello; }"])
    assert whole.startswith(script.splitlines()[0] if script.startswith("#!") else "greet()")
    assert run("bash", whole) == ("hello\n", 0)


def test_a_script_of_nothing_but_a_shebang_runs_its_library() -> None:
    assert run("bash", prepend("bash", "#!/bin/bash", ["echo here"])) == ("here\n", 0)


@pytest.mark.parametrize(
    "library", ["echo one \\", "echo one \\\n", "echo one # \\", "echo one\r\ntrue\r\n", "\ufeffecho one"]
)
def test_nothing_of_the_script_is_drawn_into_the_library(library: str) -> None:
    out, code = run("bash", prepend("bash", "echo two", [library]))
    assert (out.split(), code) == (["one", "two"], 0)


def test_a_carriage_return_that_is_meant_stays() -> None:
    whole = prepend("bash", 'printf %s "$text"', ["text='a\r\nb'\n"])
    assert run("bash", whole) == ("a\r\nb", 0)


PYTHON = {
    "nothing first": "print(greet(), __doc__)",
    "a shebang and an encoding": "#!/usr/bin/python3\n# -*- coding: utf-8 -*-\nprint(greet(), __doc__)\n",
    "an encoding alone": "# vim: set fileencoding=utf-8 :\nprint(greet(), __doc__)\n",
    "a docstring": '#!/usr/bin/python3\n# why\n\n"""What."""\nprint(greet(), __doc__)\n',
    "a docstring over lines": "'''What\nit does.'''\nprint(greet(), __doc__)",
    "a docstring in parts": '("What " \'it\'\n  r" does")\nprint(greet(), __doc__)\n',
    "no docstring after all": 'f"{1}"\nprint(greet(), __doc__)\n',
    "bytes are no docstring": "b''\nprint(greet(), __doc__)\n",
    "an import from the future": (
        "from __future__ import annotations\ndef f(x: nothing): pass\nprint(greet(), f.__annotations__)"
    ),
    "several, over lines": (
        '"""What."""  # really\n\nfrom __future__ import (  # both\n    annotations,\n    division,\n)\n'
        "# more\nfrom __future__ import generator_stop\ndef f(x: nothing): pass\n"
        "print(greet(), __doc__, f.__annotations__)\n"
    ),
    "all on one line": '"""What."""; from __future__ import annotations;  print(greet(), __doc__)\n',
    "ending in a semicolon": "from __future__ import annotations; # so\nprint(greet(), __doc__)\n",
    "continued by a backslash": "from __future__ \\\n  import annotations\nprint(greet(), __doc__)\n",
    "carriage returns and feeds": (
        '"""What."""\r\nfrom __future__ import annotations\r\nprint(greet(), __doc__)\r\n'
    ),
    "carriage returns alone": '"""What."""\rfrom __future__ import annotations\rprint(greet(), __doc__)\r',
    "a byte order mark": '\ufeff"""What."""\nprint(greet(), __doc__)\n',
    "an indented comment": "   # so\nprint(greet(), __doc__)\n",
    "a docstring and no more": '"""print"""',
}
GREET = "def greet():\n    '''Never the script's own docstring.'''\n    return 'hello'"


@pytest.mark.parametrize("script", PYTHON.values(), ids=PYTHON)
def test_a_python_script_keeps_what_has_to_be_first(script: str) -> None:
    """It prints what it prints alone, where `greet` is a stand-in defined after its head by hand."""
    alone = run("python", script.replace("greet()", "'hello'"))
    assert alone[1] == 0, alone
    assert run("python", prepend("python", script, [GREET])) == alone


def test_what_a_library_imports_from_the_future_moves_to_the_top() -> None:
    library = (
        '"""Functions."""\nfrom __future__ import (\n  annotations)\n'
        "from __future__ import division; NAME = 'lib'\n"
        "def kind(x: nothing): return NAME\n"
    )
    script = '"""What."""\nx = 1\nprint(kind(0), kind.__annotations__, __doc__)'
    assert run("python", prepend("python", script, [library])) == ("lib {'x': 'nothing'} What.\n", 0)


def test_an_encoding_in_a_library_is_only_a_comment() -> None:
    library = "# -*- coding: ascii -*-\ndef name(): return 'Zoë'\n"
    out, code = run("python", prepend("python", "print(ascii(name()))", [library]))
    assert (out, code) == ("'Zo\\xeb'\n", 0)


@pytest.mark.parametrize(
    "script",
    ['"""never closed', "from __future__ import (a", "if x:\n", "\x00", "  indented = 1\n  x\n y", "$$$"],
)
def test_a_python_text_that_is_none_still_gets_its_library_first(script: str) -> None:
    assert prepend("python", script, ["LIB = 1"]).endswith("LIB = 1\n" + script)


def test_a_script_written_for_another_python_is_not_judged() -> None:
    script = '"""What."""\nfrom __future__ import print_function\nprint "old"\n'
    assert prepend("python", script, ["LIB = 1"]).index("LIB") == script.index('print "') + len("\npass\n")


@pytest.mark.parametrize("blank", ["", " \n\t\r\n", "\ufeff\n"])
def test_behind_a_blank_library_a_script_is_itself(blank: str) -> None:
    script = "#!/bin/bash\r\nexit 3"
    assert prepend("bash", script, [blank, blank]) == prepend("bash", script, []) == script


SIGNS = st.sampled_from("#!;'\"\\\n\r\t fro__future__ import(a)$`@{}[]<>\ufeff")
TEXTS = st.text(alphabet=SIGNS, max_size=60)
LANGUAGES: st.SearchStrategy[Language] = st.sampled_from(["bash", "python", "powershell"])


@settings(max_examples=400, deadline=None)
@given(LANGUAGES, TEXTS, st.lists(TEXTS, max_size=3))
def test_whatever_the_texts_the_script_keeps_every_character_in_order(
    language: Language, script: str, libraries: list[str]
) -> None:
    whole = prepend(language, script, libraries)
    places = range(len(script) + 1)
    assert any(whole.startswith(script[:at]) and whole.endswith(script[at:]) for at in places)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["#!/usr/bin/python3\n", "# coding: utf-8\n", "# note\n", "\n"]), max_size=3),
    st.sampled_from(["", '"""Doc."""\n', "'Doc' ; ", '"a" "b" # c\n', "('Doc'\n)\r\n"]),
    st.lists(
        st.sampled_from(
            [
                "from __future__ import annotations\n",
                "from __future__ import (division)\r\n",
                "from __future__ import division; ",
            ]
        ),
        max_size=3,
    ),
    st.sampled_from(["# an empty library", "\n# one\n\n", "pass", '"""Functions, one day."""\n']),
)
def test_a_script_runs_behind_a_library_that_does_nothing_as_it_runs_alone(
    first: list[str], docstring: str, imports: list[str], library: str
) -> None:
    script = (
        "".join([*first, docstring, *imports])
        + "import sys; print(__doc__, 1 / 2, sorted(set(dir()) - {'sys'}))"
    )
    assert run("python", prepend("python", script, [library])) == run("python", script)


def test_too_much_is_refused_in_numbers() -> None:
    library = "# " + "x" * (CONTENT_CHARACTERS // 2)
    assert prepend("bash", "true", [library])
    with pytest.raises(Invalid, match=str(CONTENT_CHARACTERS)) as refused:
        prepend("bash", "true", [library, library])
    assert refused.value.problems[0].code == "too-long"


def test_a_library_that_could_not_stand_before_a_script_is_refused_when_it_is_read() -> None:
    for content, code in (
        ("param($x)\nfunction F {}", "param-in-library"),
        ("process { 1 }", "named-blocks"),
        ("", "empty"),
    ):
        document = {"name": "lib", "language": "powershell", "content": content}
        library, problems = parse_library(document)
        assert (library, [problem.code for problem in problems]) == (None, [code])

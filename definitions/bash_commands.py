"""What a simple command of Bash does with its words: which programs read a value as code.

The lists are of names that turn text into code for a living. A program that is none of them gets
a value as one argument and is trusted with it.
"""

import re

from definitions.bash_arguments import flows, inspect_arguments, inspect_numbers
from definitions.shell_positions import Places, RefuseAll, has_mark

CODE = "reads text as code"
CODE_AS = "may read as code"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


EVALUATORS = _words(
    "eval let source . trap alias coproc bind complete compgen enable fc mapfile readarray su ssh "
    "crontab at batch watch parallel tmux screen expect osascript gdb psql mysql mariadb sqlite3 cmd "
    "powershell pwsh csh tcsh fish runuser script sg make gmake dc m4 entr"
)
"""Whatever reaches these, by an argument or by a pipe, may run."""
SHELLS = _words("bash sh zsh dash ksh mksh yash ash rbash busybox")
MAX_WORDS = 500
"""In one simple command; each is looked at together with those after it."""
INTERPRETERS = _words("python python2 python3 perl ruby node php lua tclsh")
PROGRAMS = _words("awk gawk mawk nawk sed ed vim ex")
"""Their first argument is a program; values piped through are data."""
NAME_TAKERS = _words("read unset declare typeset local getopts wait")
"""They take names of variables, and a name like `a[$(id)]` runs."""
RESERVED = _words("if then else elif fi do done while until ! { }")
PREFIXES: dict[str, tuple[str, int]] = {
    "sudo": ("CDghpRrTtUu", 0),
    "doas": ("Cu", 0),
    "env": ("Cu", 0),
    "nohup": ("", 0),
    "nice": ("n", 0),
    "ionice": ("cnp", 0),
    "timeout": ("ks", 1),
    "time": ("fo", 0),
    "exec": ("a", 0),
    "command": ("", 0),
    "builtin": ("", 0),
    "setsid": ("", 0),
    "stdbuf": ("eio", 0),
    "chroot": ("", 1),
    "xargs": ("adEILnPs", 0),
}
"""Programs that run the command after them: their options with a value, and how many words come before it."""
STEERING = _words("PATH IFS ENV BASH_ENV PS1 PS2 PS4 PROMPT_COMMAND SHELLOPTS BASHOPTS CDPATH")
RUN_AS_CODE = _words(
    "ENV BASH_ENV PS1 PS2 PS4 PROMPT_COMMAND SHELL EDITOR VISUAL PAGER MANPAGER BROWSER LESSOPEN LESSCLOSE "
    "GIT_SSH GIT_SSH_COMMAND GIT_PAGER GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_ASKPASS SSH_ASKPASS "
    "GIT_EXTERNAL_DIFF GIT_PROXY_COMMAND GIT_CONFIG_PARAMETERS RSYNC_RSH CVS_RSH TAR_OPTIONS MAKEFLAGS "
    "PERL5OPT PERL5DB PERL5LIB PYTHONPATH PYTHONHOME PYTHONSTARTUP RUBYOPT RUBYLIB NODE_OPTIONS NODE_PATH "
    "JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS GCONV_PATH"
)
"""Variables whose text some program runs, or loads code from."""
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[0-9]+\])?\+?=")
CODE_OPTION = re.compile(r"-[A-Za-z]*[ceEr]|--(?:eval|exec|command|print|run)(?:=.*)?", re.DOTALL)
HARMLESS_OPTION = re.compile(r"-[Bequvwx]+")
STDIN = re.compile(r"-|/dev/stdin|/dev/fd/.*|/proc/self/fd/.*", re.DOTALL)
_QUOTED = re.compile(r"[\"'\\]")
_COMPUTED = re.compile(r"[$*?{~\[]")
_HOME = re.compile(r"^(\$HOME|~)/")
TEST_OPERATORS = _words("-eq -ne -lt -le -gt -ge -v -R")


def inspect(words: list[str], places: Places, in_test: bool, nested: bool) -> bool:
    """Refuse the references that the words of one simple command make code; whether `[[` is still open."""
    if len(words) > MAX_WORDS:
        raise RefuseAll("in a command with too many words to follow")
    inspect_numbers(words)
    words = _after_reserved(words, places, nested)
    if in_test or words[:1] == ["[["]:
        if any(_plain(word) in TEST_OPERATORS for word in words):
            raise RefuseAll("in a command with a number test in `[[ ]]`, which reads values as code")
        return "]]" not in words
    at = 0
    while at < len(words) and _inspect_assignment(words[at], places):
        at += 1
    at = _command_at(words, at, places)
    if at < len(words):
        _inspect_command(words[at:], places)
    return False


def _plain(word: str) -> str:
    """A word without its quotes, to know a name by."""
    if not _QUOTED.search(word):
        return word
    return _QUOTED.sub("", word.replace("\\\n", ""))


def _program(word: str) -> str:
    return _plain(word).rsplit("/", 1)[-1]


def _computed(name: str) -> bool:
    """Whether a value could decide what a name is."""
    return has_mark(name) or bool(_COMPUTED.search(_HOME.sub("", name)))


def _after_reserved(words: list[str], places: Places, nested: bool) -> list[str]:
    """The words of the command itself, without what `if`, `for`, `case` or a function put before it."""
    while words:
        if words[0] == "function":
            words = words[2:]
        elif words[0] == "case":
            if nested:
                raise RefuseAll("in a command with `case` inside $( )")
            return []
        elif words[0] in ("for", "select"):
            places.refuse("".join(words[1:2]), "where a name is expected")
            words = words[words.index("do") :] if "do" in words else []
        elif words[0] in RESERVED:
            words = words[1:]
        else:
            return words
    return words


def _inspect_assignment(word: str, places: Places) -> bool:
    """Whether a word is an assignment; values may not steer the shell by one."""
    match = ASSIGNMENT.match(word)
    if match is not None and (match[1] in STEERING or match[1].startswith("LD_")):
        places.refuse(word, f"in {match[1]}, which steers the shell")
    if match is not None and match[1] in RUN_AS_CODE and flows(word):
        raise RefuseAll(f"in a command that sets {match[1]}, which a program {CODE_AS}")
    return match is not None


def _command_at(words: list[str], at: int, places: Places) -> int:
    """Where the name of the command that really runs stands, past `sudo`, `env` and the like."""
    prefixes: list[str] = []
    while at < len(words):
        if words[at] in RESERVED:
            at += 1
            continue
        _inspect_name(words, at, places)
        name = _program(words[at])
        if name in PROGRAMS and "xargs" in prefixes:
            raise RefuseAll(f"in a command with `xargs {name}`, which {CODE}")
        if name not in PREFIXES:
            return at
        prefixes.append(name)
        valued, before = PREFIXES[name]
        if name == "env" and any(re.match(r"-[A-Za-z]*S|--split", _plain(word)) for word in words[at:]):
            raise RefuseAll("in a command with `env -S`, which splits text into a command")
        at += 1
        while at < len(words) and _before_command(name, words[at], places):
            takes_next = len(words[at]) == 2 and words[at][1] in valued
            at += 2 if takes_next else 1
        at += before
    if "xargs" in prefixes[:-1]:
        raise RefuseAll("in a command with `xargs` that runs what it reads")
    return at


def _before_command(prefix: str, word: str, places: Places) -> bool:
    """Whether a word is an option or an assignment of a prefix, not the command it runs."""
    if prefix == "env" and "=" in word:  # of any name, even an empty one
        before = word.split("=")[0]
        if _computed(before):
            raise RefuseAll("in a command with `env` where a value names a variable")
        _inspect_assignment(word, places)
        return True
    if _plain(word).startswith("-"):
        if _computed(word):
            raise RefuseAll(f"in a command with an option of `{prefix}` that is computed")
        return True
    return _inspect_assignment(word, places)


def _inspect_name(words: list[str], at: int, places: Places) -> None:
    """Refuse a name of a program that a value decides."""
    word, plain = words[at], _plain(words[at])
    if has_mark(word):
        places.refuse(word, "where the name of a program is expected")
    elif _computed(plain) and plain != "[":
        raise RefuseAll("in a command with a program whose name is computed")
    elif any(_program(earlier) == "xargs" for earlier in words[:at]) and (
        plain in (other for word in words[:at] for other in (_plain(word), _plain(word)[2:]))
    ):
        raise RefuseAll("in a command with `xargs` that runs what it reads")


def _inspect_command(words: list[str], places: Places) -> None:
    name = _program(words[0])
    arguments = [_plain(word) for word in words[1:]]
    if name in EVALUATORS:
        raise RefuseAll(f"in a command with `{name}`, which {CODE}")
    if name in SHELLS or _interpreter(name):
        _inspect_interpreter(name, words, arguments, places)
    elif name in PROGRAMS:
        places.refuse("".join(words), f"in an argument of `{name}`, which {CODE}")
        if any(flows(word) and not has_mark(word) for word in words[1:]):
            raise RefuseAll(f"in a command with `{name}` and a variable, which it {CODE_AS}")
    elif name not in ("echo", "printf", "logger"):
        _inspect_inner_program(words[1:], arguments)
    _inspect_names(name, words, arguments, places)
    inspect_arguments(name, words[1:], arguments)


def _interpreter(name: str) -> bool:
    return name in INTERPRETERS or bool(re.fullmatch(r"(python|perl|ruby|php|lua)[0-9.]+", name))


def _inspect_interpreter(name: str, words: list[str], arguments: list[str], places: Places) -> None:
    """Only a plain `bash FILE ...` or `python FILE ...` takes values as data."""
    rest = [*arguments]
    while rest and HARMLESS_OPTION.fullmatch(rest[0]) and not CODE_OPTION.fullmatch(rest[0]):
        rest = rest[1:]
    if rest[:1] == ["-m"] and name not in SHELLS:
        rest = rest[1:]
    if rest and CODE_OPTION.fullmatch(rest[0]) and name not in SHELLS and not any(map(STDIN.fullmatch, rest)):
        places.refuse("".join(words), f"in an argument of `{name}` that {CODE}")
        if any(flows(word) and not has_mark(word) for word in words[1:]):
            raise RefuseAll(f"in a command with `{name}` and a variable, which it {CODE_AS}")
    elif not rest or rest[0].startswith("-") or _computed(rest[0]) or STDIN.fullmatch(rest[0]):
        raise RefuseAll(f"in a command with `{name}` that {CODE}")


def _inspect_names(name: str, words: list[str], arguments: list[str], places: Places) -> None:
    """Builtins that take names of variables, or options that do."""
    if name in NAME_TAKERS and any("$" in word or "[" in word or has_mark(word) for word in arguments):
        raise RefuseAll(f"in a command with `{name}`, which takes names")
    if name in ("declare", "typeset", "local", "export", "readonly") and any(
        re.match(r"[-+][A-Za-z]*[in]", word) for word in arguments
    ):
        raise RefuseAll(f"in a command with `{name}` of a number or a name, which {CODE}")
    if name in ("export", "readonly"):
        for word in words[1:]:
            if not _inspect_assignment(word, places) and ("$" in word or "[" in word or has_mark(word)):
                raise RefuseAll(f"in a command with `{name}`, which takes names")
    if name in ("test", "[") and ("-v" in arguments or "-R" in arguments):
        raise RefuseAll(f"in a command with `{name} -v`, which takes names")
    if name == "printf" and any(word.startswith("-v") for word in arguments):
        raise RefuseAll("in a command with `printf -v`, which takes names")


def _inspect_inner_program(words: list[str], arguments: list[str]) -> None:
    """A program further on in the words, as in `docker exec web bash -c ...`."""
    for index, word in enumerate(arguments):
        name = word.rsplit("/", 1)[-1]
        rest = arguments[index + 1 :]
        if (
            name not in SHELLS
            and name not in PROGRAMS
            and not _interpreter(name)
            and name not in ("eval", "ssh")
        ):
            continue
        by_option = name not in PROGRAMS and any(map(CODE_OPTION.fullmatch, rest))
        by_value = bool(rest) and flows(words[index + 1])
        by_itself = name in SHELLS and all(each.startswith("-") for each in rest)
        if by_option or by_value or by_itself or name in ("eval", "ssh"):
            raise RefuseAll(f"in a command with `{name}` that {CODE}")

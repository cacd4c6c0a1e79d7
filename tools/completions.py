"""Writes the completions of bash, zsh and fish from the programs' parsers.

``python -m tools.completions FOLDER`` writes overlayd/usr/share/… and overlayd-controller/usr/share/… there.
A word is completed from what may stand after the words before it: verbs, options, their values.
I/O: writes files.
"""

import sys
from pathlib import Path

from controller.cli import parser as controller_parser
from overlayd.cli.ctl import parser as ctl_parser
from overlayd.cli.daemon import parser as daemon_parser
from tools.commands import Command, Option, read


def main(folder: Path) -> None:
    """Write all completions."""
    for package, command in (
        ("overlayd", read(ctl_parser())),
        ("overlayd", read(daemon_parser())),
        ("overlayd-controller", read(controller_parser())),
    ):
        (name,) = command.path
        share = folder / package / "usr/share"
        for file, text in (
            (f"bash-completion/completions/{name}", bash(command)),
            (f"zsh/vendor-completions/_{name}", zsh(command)),
            (f"fish/vendor_completions.d/{name}.fish", fish(command)),
        ):
            (share / file).parent.mkdir(parents=True, exist_ok=True)
            (share / file).write_text(text, "utf-8")


def bash(command: Command) -> str:
    """Return a function that walks the words to the command that they name, and offers what it takes."""
    (name,) = command.path
    function = f"_{name.replace('-', '_')}"
    walk = [
        f'        "{" ".join(n.path[:-1])} {n.path[-1]}") at+=" $word" ;;'
        for n in command.nodes()
        if len(n.path) > 1
    ]
    offers: list[str] = []
    for node in command.nodes():
        words = [part.path[-1] for part in node.parts]
        words += [choice for option in node.options if not option.flags for choice in option.choices]
        words += [flag for option in node.options for flag in option.flags]
        offers.append(f'        "{" ".join(node.path)}") offer="{" ".join(words)}" ;;')
    return f"""\
# bash completion of {name}; made from its parser

{function}() {{
    local word at="{name}" offer="" last="${{COMP_WORDS[COMP_CWORD - 1]}}"
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$at $word" in
{_lines(walk)}        esac
    done
    case "$at $last" in
{_lines(_bash_values(command))}    esac
    case "$at" in
{_lines(offers)}    esac
    mapfile -t COMPREPLY < <(compgen -W "$offer" -- "${{COMP_WORDS[COMP_CWORD]}}")
}}
complete -F {function} {name}
"""


def _bash_values(command: Command) -> list[str]:
    """What follows an option that takes a value."""
    cases: list[str] = []
    for node in command.nodes():
        for option in node.options:
            if not option.flags or not option.value:
                continue
            if option.choices:
                reply = f'compgen -W "{" ".join(option.choices)}"'
            else:
                reply = "compgen -f" if option.is_file else "true"
            pattern = "|".join(f'"{" ".join(node.path)} {flag}"' for flag in option.flags)
            word = '-- "${COMP_WORDS[COMP_CWORD]}"' if reply != "true" else ""
            cases.append(f"        {pattern}) mapfile -t COMPREPLY < <({reply} {word}); return ;;")
    return cases


def zsh(command: Command) -> str:
    """Return a completion of zsh's own kind: a function for each command, called by the one above it."""
    (name,) = command.path
    functions = "\n".join(_zsh_function(node) for node in command.nodes())
    return f'#compdef {name}\n# made from the parser of {name}\n\n{functions}\n{_zsh_name(command)} "$@"\n'


def _zsh_function(node: Command) -> str:
    specs = [f"        {_quoted(_zsh_option(option))}" for option in node.options]
    if not node.parts:
        return f"{_zsh_name(node)}() {{\n    _arguments -s \\\n{_continued(specs)}\n}}\n"
    verbs = [f"        {_quoted(f'{part.path[-1]}:{_zsh_text(part.text)}')}" for part in node.parts]
    calls = [f"            {part.path[-1]}) {_zsh_name(part)} ;;" for part in node.parts]
    specs += ["        '1: :->verb'", "        '*:: :->rest'"]
    return f"""\
{_zsh_name(node)}() {{
    local state line
    local -a verbs=(
{_lines(verbs)}    )
    _arguments -C \\
{_continued(specs)}
    case $state in
        verb) _describe verb verbs ;;
        rest) case $line[1] in
{_lines(calls)}        esac ;;
    esac
}}
"""


def _zsh_option(option: Option) -> str:
    value = ""
    if option.value:
        filled = f"({' '.join(option.choices)})" if option.choices else "_files" if option.is_file else " "
        value = f":{_zsh_text(option.value)}:{filled}"
    if not option.flags:
        return f"*{value}" if value else ""
    # One flag a spec would need one line each; the longest says it best.
    return f"*{option.flags[-1]}[{_zsh_text(option.text)}]{value}"


def _zsh_text(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").replace(":", " -").replace("\n", " ")


def _zsh_name(node: Command) -> str:
    return "_" + "_".join(word.replace("-", "_") for word in node.path)


def fish(command: Command) -> str:
    """Return one line for each verb and option."""
    (name,) = command.path
    out = [f"# fish completion of {name}; made from its parser", f"complete -c {name} -f"]
    for node in command.nodes():
        here = _fish_condition(node)
        for part in node.parts:
            out.append(f"complete -c {name} {here} -a {part.path[-1]} -d {_quoted(part.text)}")
        for option in node.options:
            flags = "".join(f" -l {f[2:]}" if f.startswith("--") else f" -s {f[1:]}" for f in option.flags)
            values = (
                f" -xa {_quoted(' '.join(option.choices))}"
                if option.choices
                else " -rF"
                if option.is_file
                else " -x"
            )
            if option.flags:
                taken = values if option.value else ""
                out.append(f"complete -c {name} {here}{flags}{taken} -d {_quoted(option.text)}")
            elif option.choices:
                out.append(f"complete -c {name} {here} -a {_quoted(' '.join(option.choices))}")
    return "\n".join(out) + "\n"


def _fish_condition(node: Command) -> str:
    """Where ``node`` is what the words so far name."""
    tests = [f"__fish_seen_subcommand_from {word}" for word in node.path[1:]]
    if node.parts:
        tests.append(f"not __fish_seen_subcommand_from {' '.join(part.path[-1] for part in node.parts)}")
    return f"-n {_quoted('; and '.join(tests))}" if tests else ""


def _quoted(text: str) -> str:
    """In single quotes, as all three shells read them."""
    return "'" + text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}") + "'"


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _continued(lines: list[str]) -> str:
    return " \\\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

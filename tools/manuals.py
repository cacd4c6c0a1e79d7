"""Writes the man pages from the programs' parsers and the configuration's own structs.

``python -m tools.manuals FOLDER`` writes overlayd/man and overlayd-controller/man there. What the pages say
beyond that stands here. I/O: writes files.
"""

import inspect
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec

from controller.cli import parser as controller_parser
from overlayd._engine import version
from overlayd.cli.ctl import parser as ctl_parser
from overlayd.cli.daemon import parser as daemon_parser
from overlayd.daemon.config import Configuration
from overlayd.daemon.config_changes import RELOADABLE
from tools.commands import Command, Option, read

FILES = {
    "overlayctl": (
        ("/run/overlayd/overlayd.sock", "the agent's socket; root and the group overlayd may ask"),
    ),
    "overlayd": (
        ("/etc/overlayd/overlayd.toml", "configuration, see overlayd.toml(5)"),
        ("/var/lib/overlayd", "keys, membership, the last good tables"),
        ("/run/overlayd/workload/pods.json", "what applications run here, and how they are"),
        ("/etc/credstore/overlayd.join-token", "a join token; the host joins with it by itself"),
    ),
    "overlayd-controller": (
        ("/var/lib/overlayd-controller", "configuration, keys and database; copy it to a safe place"),
    ),
}
SERVICES = {
    "overlayd": """\
.B overlayd\\-engine.service
forwards and is the only one with a capability (CAP_NET_ADMIN);
.B overlayd\\-agent.service
measures, chooses and talks to the controller. Either may be started anew at any time: interface and sockets
wait with systemd meanwhile, and without an agent the engine forwards with its last tables. A reload
.RB ( "systemctl reload" )
puts in force what of the configuration needs no restart, see overlayd.toml(5);
.B overlayctl config apply \\-\\-confirm\\-within
does so until it is not confirmed in time.
.B overlayd\\-online.target
is reached when this host is a member and forwards.
.PP
.B overlayd\\-workload.service
runs applications once it is enabled. What it runs goes on when it stops: processes are units in
.BR overlayd\\-pods.slice ,
containers are Docker's.""",
    "overlayd-controller": """\
.B overlayd\\-controller.service
is started by
.B overlayd\\-controller init
and at boot from then on. Traffic goes on without it.""",
}
SEE_ALSO = {
    "overlayctl": ("overlayd(8)", "overlayd.toml(5)", "overlayd-controller(8)"),
    "overlayd": ("overlayctl(1)", "overlayd.toml(5)", "systemd.service(5)"),
    "overlayd-controller": ("overlayctl(1)", "overlayd(8)"),
    "overlayd.toml": ("overlayd(8)", "overlayctl(1)"),
}


def main(folder: Path) -> None:
    """Write all pages."""
    pages = {
        "overlayd/man/overlayctl.1": command_page(read(ctl_parser()), 1),
        "overlayd/man/overlayd.8": command_page(read(daemon_parser()), 8),
        "overlayd/man/overlayd.toml.5": configuration_page(),
        "overlayd-controller/man/overlayd-controller.8": command_page(read(controller_parser()), 8),
    }
    for name, text in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def command_page(command: Command, section: int) -> str:
    """Return the page of a program, in roff."""
    (name,) = command.path
    out = [*_head(name, section, command.text), ".SH SYNOPSIS", f".B {_roff(name)}", ".I VERB", "[options]"]
    out += [".SH DESCRIPTION", _roff(command.text)]
    out += [".SH OPTIONS", *_options(command.options)] if command.options else []
    out.append(".SH COMMANDS")
    for leaf in command.leaves():
        out += [f'.SS "{_roff(" ".join(leaf.path[1:]))}"', _sentence(leaf.text), ".PP", _roff(leaf.usage)]
        out += _options([option for option in leaf.options if "--help" not in option.flags])
        if leaf.epilog:
            kind, _, example = leaf.epilog.partition(": ")
            out += [".PP", f"{kind.capitalize()}:", ".PP", ".RS", ".nf", _roff(example), ".fi", ".RE"]
    if name in SERVICES:
        out += [".SH SERVICES", SERVICES[name]]
    if command.epilog:
        out += [".SH EXIT STATUS", _roff(command.epilog.removeprefix("exit codes: "))]
    out += [".SH FILES"]
    for path, text in FILES[name]:
        out += [".TP", f".I {_roff(path)}", _roff(text)]
    return "\n".join([*out, *_see_also(name)]) + "\n"


_TITLES = {"uplink": "[[uplink]], at least one", "classify": "[[classify]], the first that fits"}


def configuration_page() -> str:
    """Return the page of ``overlayd.toml``: every section, with the keys' types and defaults."""
    out = _head("overlayd.toml", 5, "Configuration of an overlayd host.")
    out += [".SH DESCRIPTION", _roff(" ".join((inspect.getdoc(Configuration) or "").split()))]
    out.append(
        "Environment variables go over the file\n.RB ( OVERLAYD_ENGINE_MTU=1300 ),\nand flags over these\n"
        ".RB ( \\-\\-set\\ engine.mtu=1300 ).\nAn unknown key is an error."
    )
    for section in msgspec.structs.fields(Configuration):
        if section.name == "fault":
            continue
        arguments = get_args(section.type)
        struct = arguments[0] if arguments else section.type
        title = _TITLES.get(section.name, f"[{section.name}]")
        out += [f'.SH "{title}"', _roff(" ".join((inspect.getdoc(struct) or "").split()))]
        for field in msgspec.structs.fields(struct):
            key = field.encode_name
            live = "; a reload puts it in force" if f"{section.name}.{key}" in RELOADABLE else ""
            out += [".TP", f".B {_roff(key)}", _roff(kind_of(field) + live)]
    example = (Path(__file__).parent.parent / "packaging/etc/overlayd.toml").read_text("utf-8")
    out += [
        ".SH EXAMPLE",
        "The file that comes with the package:",
        ".PP",
        ".nf",
        _roff(example.rstrip()),
        ".fi",
    ]
    return "\n".join([*out, *_see_also("overlayd.toml")]) + "\n"


def kind_of(field: Any) -> str:
    """Return what a key takes, and what it is without being set."""
    schema = msgspec.json.schema(field.type)
    options = schema.get("anyOf", [schema])
    said = " or ".join(filter(None, (_type(option) for option in options)))
    if field.required:
        return f"{said}; required"
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return f"{said}; default: {msgspec.json.encode(default).decode() if default is not None else 'not set'}"


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f'"{value}"' for value in schema["enum"])
    name = {"integer": "integer", "number": "number", "boolean": "true or false", "array": "list of strings"}
    least, most = schema.get("minimum"), schema.get("maximum")
    bounds = f" from {least} to {most}" if least is not None and most is not None else ""
    return "" if schema.get("type") == "null" else name.get(schema.get("type", ""), "string") + bounds


def _head(name: str, section: int, text: str) -> list[str]:
    short = text.rstrip(".")
    return [
        f'.TH "{_roff(name.upper())}" "{section}" "" "overlayd {version()}" "overlayd"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(short[:1].lower() + short[1:])}",
    ]


def _see_also(name: str) -> list[str]:
    refs = [ref.partition("(") for ref in SEE_ALSO[name]]
    ends = [","] * (len(refs) - 1) + [""]
    return [
        ".SH SEE ALSO",
        *(f".BR {_roff(page)} ({rest}{end}" for (page, _, rest), end in zip(refs, ends, strict=True)),
    ]


def _options(options: "list[Option] | tuple[Option, ...]") -> list[str]:
    out: list[str] = []
    for option in options:
        flags = ", ".join(option.flags)
        out += [".TP", f".B {_roff(' '.join(filter(None, (flags, option.value))))}", _sentence(option.text)]
    return out


def _sentence(text: str) -> str:
    return _roff(text) or "\\&"


def _roff(text: str) -> str:
    """Escape for roff: backslashes, hyphens that are to be copied, and lines that begin like a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("``", '"').replace("`", "")
    text = text.replace("–", "\\(en").replace("×", "\\(mu").replace("−", "\\(mi")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.splitlines())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

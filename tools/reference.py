"""Writes docs/reference from the programs: command line, configuration, metrics, HTTP API.

``python -m tools.reference`` writes it anew; a test fails while it differs. I/O: writes files.
"""

import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from controller.api import metrics as of_controller
from controller.cli import parser as controller_parser
from controller.config import Config
from overlayd.cli.ctl import EXIT_CODES
from overlayd.cli.ctl import parser as ctl_parser
from overlayd.cli.daemon import parser as daemon_parser
from overlayd.daemon import metrics as of_host
from overlayd.daemon.config import Configuration
from overlayd.daemon.config_changes import RELOADABLE
from overlayd.traffic import metrics as of_routes
from tools.commands import Command, Option, read
from tools.manuals import kind_of
from tools.schemas import file_of

DOCS = Path(__file__).parent.parent / "docs"
FOLDER = DOCS / "reference"
LONGEST_LINE = 260
_MADE = "Made from the programs by `python -m tools.reference`; change it there."


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")


def pages() -> dict[str, str]:
    """Return the text of each page, by name."""
    return {
        "cli.md": _page("Commands", _cli()),
        "configuration.md": _page("Configuration", _configuration()),
        "metrics.md": _page("Metrics", _metrics()),
        "api.md": _page("HTTP API of the controller", _api()),
    }


def _page(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {title}", "", _MADE, "", *lines]).rstrip() + "\n"


def _cli() -> Iterator[str]:
    yield from _text(f"{EXIT_CODES[0].upper()}{EXIT_CODES[1:]}")
    for parser in (ctl_parser, daemon_parser, controller_parser):
        program = read(parser(), left_out=())
        yield from ("", f"## {program.path[0]}", "")
        yield from _text(program.text)
        for leaf in program.leaves():
            yield from _command(leaf)


def _command(leaf: Command) -> Iterator[str]:
    yield from ("", f"### {' '.join(leaf.path)}", "")
    yield from _text(leaf.text)
    yield from ("", "```", *textwrap.wrap(leaf.usage, 120, subsequent_indent="    "), "```")
    options = [option for option in leaf.options if "--help" not in option.flags]
    if options:
        rows = ((_option(option), _cell(option.text)) for option in options)
        yield from ("", "| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows))
    examples = leaf.epilog.removeprefix("example: ").split("; ")
    yield from ("", "```sh", *examples, "```")
    if leaf.answers:
        links = (f"[`{name}`](../schemas/{file_of(name)})" for name in leaf.answers)
        yield from ("", f"JSON: {', '.join(links)}")


def _option(option: Option) -> str:
    flags = ", ".join(option.flags)
    return f"`{' '.join(filter(None, (flags, option.value)))}`".replace("|", "\\|")


def _configuration() -> Iterator[str]:
    yield from (
        "## overlayd.toml",
        "",
        "Of a host; the JSON Schema is [here](../schemas/overlayd.toml.json).",
        "",
    )
    yield from _text(inspect.getdoc(Configuration) or "")
    titles = {"uplink": "[[uplink]]", "classify": "[[classify]]"}
    for section in msgspec.structs.fields(Configuration):
        struct = _struct(section.type)
        if section.name == "fault":
            continue  # for tests of our own
        yield from _section(titles.get(section.name, f"[{section.name}]"), struct, section.name)
    yield from (
        "",
        "## controller.toml",
        "",
        "Of a controller; `[log]` is reloaded, all else needs a restart.",
        "",
    )
    yield from _text(inspect.getdoc(Config) or "")
    plain = [one for one in msgspec.structs.fields(Config) if _struct(one.type) is None]
    yield from ("", "| key | takes |", "|---|---|", *(_key(field, None) for field in plain))
    named = {"classes": "[classes.NAME]", "policies": "[policies.NAME]", "nodes": "[nodes.NAME]"}
    for section in msgspec.structs.fields(Config):
        if (struct := _struct(section.type)) is not None:
            yield from _section(named.get(section.name, f"[{section.name}]"), struct, None)


def _section(title: str, struct: Any, name: str | None) -> Iterator[str]:
    """``name``: of the section, where a reload may put keys in force."""
    yield from ("", f"### {title}", "")
    yield from _text(inspect.getdoc(struct) or "")
    yield from ("", "| key | takes |", "|---|---|")
    for field in msgspec.structs.fields(struct):
        yield _key(field, name)


def _key(field: Any, section: str | None) -> str:
    live = "; reloaded" if section and f"{section}.{field.encode_name}" in RELOADABLE else ""
    return f"| `{field.encode_name}` | {_cell(kind_of(field) + live)} |"


def _struct(kind: Any) -> Any:
    """The struct that a section is, or is a list or table of; None: it is a plain key."""
    found = next((one for one in (kind, *get_args(kind)) if isinstance(one, type(msgspec.Struct))), None)
    return found


def _metrics() -> Iterator[str]:
    yield "What they mean together, and how many series they are: [metrics](../metrics.md)."
    hosts = [(one.name, one.kind, one.labels, one.help) for one in of_host.FAMILIES]
    mesh = [(name, kind, labels, text) for name, kind, text, labels in of_controller.FAMILIES]
    routes = [(one.name, one.kind, one.labels, one.help) for one in of_routes.FAMILIES]
    for title, families in (("Of a host", hosts), ("Of the controller", mesh), ("Of routes", routes)):
        yield from ("", f"## {title}", "", "| metric | kind | labels | |", "|---|---|---|---|")
        for name, kind, labels, text in families:
            yield f"| `{name}` | {kind} | {', '.join(labels)} | {_cell(text)} |"


def _api() -> Iterator[str]:
    described: dict[str, Any] = json.loads((DOCS / "openapi.json").read_text("utf-8"))
    whole = "[The OpenAPI description](../openapi.json) has the rest"
    yield f"{whole}; each answer names its schema, which is one of [docs/schemas](../schemas)."
    schemes: dict[str, Any] = described["components"]["securitySchemes"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield from ("", f"## {method.upper()} {path}", "")
            yield from _text(operation.get("description", ""))
            rows = [_parameter(one) for one in operation.get("parameters", ()) if one["in"] != "cookie"]
            if rows:
                yield from ("", "| parameter | |", "|---|---|", *rows)
            answers = (f"{status} {_answer(one)}".strip() for status, one in operation["responses"].items())
            yield from ("", f"Answers: {', '.join(answers)}.")
            opens = [
                _lower(schemes[name]["description"]) for one in operation.get("security", ()) for name in one
            ]
            yield from ("", f"Opened by: {'; or '.join(dict.fromkeys(opens)) or 'anybody'}.")


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    kinds = [one.get("type") for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    said = [" or ".join(filter(None, kinds)), "required" if parameter.get("required") else ""]
    if schema.get("default") is not None:
        said.append(f"default {schema['default']}")
    text = f"{parameter.get('description', '')} ({', '.join(filter(None, said))})".strip()
    return f"| `{parameter['name']}` | {_cell(text)} |"


def _answer(response: dict[str, Any]) -> str:
    for content in response.get("content", {}).values():
        schema = content.get("schema", {})
        if "$ref" in schema:
            return f"`{schema['$ref'].rpartition('/')[2]}`"
    return ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def _text(text: str) -> list[str]:
    """Docstrings speak reStructuredText: two backticks are one here."""
    return textwrap.wrap(" ".join(text.replace("``", "`").split()), LONGEST_LINE, break_on_hyphens=False)


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


if __name__ == "__main__":
    main()

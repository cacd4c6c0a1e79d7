"""Writes the JSON Schemas of docs/schemas from the types that read the configuration and make the answers.

``python -m tools.schemas`` writes them anew; a test fails while they differ. Each key of the file has
``x-reloadable``: whether it changes while packets flow. I/O: writes files.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

import controller.api.app  # noqa: F401 - loads all subclasses of `Model`
from controller.api.models import Model
from controller.documents import Document as ControllerDocument
from overlayd.daemon.config import Configuration
from overlayd.daemon.config_changes import RELOADABLE
from overlayd.protocol import documents, local, objects
from sim.lab.answers import Lab, LabCheck, LabDown, LabLink, Labs

FOLDER = Path(__file__).parent.parent / "docs/schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
CONFIGURATION = "overlayd.toml.json"
LABS = (Lab, LabCheck, LabDown, LabLink, Labs)

Schema = dict[str, Any]


def main() -> None:
    """Write all, and remove what is none of them."""
    FOLDER.mkdir(exist_ok=True)
    wanted = all_schemas()
    for file in FOLDER.glob("*.json"):
        if file.name not in wanted:
            file.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, "utf-8")


def all_schemas() -> dict[str, str]:
    """Return the text of each file, by name."""
    made = {file_of(name): _text(schema) for name, schema in answers().items()}
    return {CONFIGURATION: _text(configuration()), **made}


def file_of(name: str) -> str:
    """``overlayd.status/1`` → ``overlayd.status-1.json``."""
    return name.replace("/", "-") + ".json"


def answers() -> dict[str, Schema]:
    """Return the schemas of all that is printed as JSON, by the name that each answer bears."""
    of_overlayctl = (*get_args(documents.Document), *get_args(objects.Document))
    structs = (*get_args(local.Result), *of_overlayctl, *get_args(ControllerDocument), *LABS)
    return {name: schema for name, schema in (*map(_of_struct, structs), *map(_of_model, _models(Model)))}


def configuration() -> Schema:
    """Return the schema of ``overlayd.toml``."""
    _, components = msgspec.json.schema_components((Configuration,), ref_template="#/$defs/{name}")
    root = components.pop(Configuration.__name__)
    for field in msgspec.structs.fields(Configuration):
        struct = components[_struct_of(root["properties"][field.name])]
        for key, schema in struct["properties"].items():
            schema["x-reloadable"] = f"{field.name}.{key}" in RELOADABLE
    return _whole(CONFIGURATION, "Configuration of an overlayd host", root, components)


def _of_struct(struct: type[msgspec.Struct]) -> tuple[str, Schema]:
    """The answer's own name and schema; nothing is left out of it for having its default."""
    name = next(field.default for field in msgspec.structs.fields(struct) if field.name == "schema")
    _, components = msgspec.json.schema_components((struct,), ref_template="#/$defs/{name}")
    for part in components.values():
        part["required"] = list(part.get("properties", {}))
        for schema in part.get("properties", {}).values():
            schema.pop("default", None)
    root = components.pop(struct.__name__)
    root["properties"]["schema"] = {"const": name}
    return name, _whole(file_of(name), name, root, components)


def _of_model(model: type[Model]) -> tuple[str, Schema]:
    name: str = model.model_fields["schema_"].default
    root = model.model_json_schema(mode="serialization")
    root["required"] = [*root.get("required", []), "schema"]
    components = root.pop("$defs", {})
    return name, _whole(file_of(name), name, root, components)


def _models(model: type[Model]) -> Iterator[type[Model]]:
    """All answers of the controller's API."""
    for below in model.__subclasses__():
        if "schema_" in below.model_fields:
            yield below
        yield from _models(below)


def _struct_of(schema: Schema) -> str:
    """The name of the struct that a section is, or is a list of."""
    found = schema.get("items", schema)
    for options in ("anyOf", "allOf"):
        found = next((one for one in found.get(options, ()) if "$ref" in one), found)
    reference: str = found["$ref"]
    return reference.rpartition("/")[2]


def _whole(name: str, title: str, root: Schema, components: dict[str, Schema]) -> Schema:
    head: Schema = {"$schema": DIALECT, "$id": name, **root, "title": title}
    return {**head, "$defs": components} if components else head


def _text(schema: Schema) -> str:
    return json.dumps(_in_one_line(schema), indent=2, ensure_ascii=False) + "\n"


def _in_one_line(schema: Any) -> Any:
    """Descriptions are docstrings, with their line breaks."""
    if isinstance(schema, list):
        return [_in_one_line(item) for item in schema]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(schema, dict):
        return schema
    return {
        key: " ".join(value.split())
        if key == "description" and isinstance(value, str)
        else _in_one_line(value)
        for key, value in schema.items()  # pyright: ignore[reportUnknownVariableType]
    }


if __name__ == "__main__":
    main()

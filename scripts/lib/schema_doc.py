"""Schema page: the reference of all config keys, as Markdown, from `config/schema.yaml`.

``python -m scripts.lib.schema_doc`` rewrites `config/README.md`; a test fails when it is stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.lib import yaml_files
from scripts.lib.files import write_text
from scripts.lib.schema import expectation, known_keys

CONFIG = Path(__file__).resolve().parents[2] / "config"
SCHEMA = CONFIG / "schema.yaml"
PAGE = CONFIG / "README.md"

HEAD = """\
# The config of a volume

One volume is one YAML file, one working directory. `config.yaml` is the demo volume;
`volumes/` holds examples to copy. Every key is listed here with what it must be, its unit and its
default; a key without a default has to be given. An unknown key stops the run at once and is
named together with the nearest known one. A key can also be set on the command line:
`--config solve='{rigid_lambda: 0.05}'`, which leaves the other keys of the section as they are.

Written from `schema.yaml` by `python -m scripts.lib.schema_doc`: edit the schema, not this page.
"""
COLUMNS = "| key | expected | default | what it is |\n|---|---|---|---|\n"


def render(schema: Mapping[str, Any]) -> str:
    """Return the page: top-level keys first, then one chapter per section.

    Parameters
    ----------
    schema
        The JSON schema of the config.

    Returns
    -------
    str
        Markdown.
    """
    top: Mapping[str, Any] = schema.get("properties", {})
    plain = [_row(key, sub) for key, sub in top.items() if "properties" not in sub]
    parts = [HEAD, "\n## The volume\n\n", COLUMNS, *plain]
    for key, sub in top.items():
        if "properties" in sub:
            parts += [f"\n## {key}\n\n", _text(sub, "\n\n"), COLUMNS, *_section(key, sub)]
    return "".join(parts)


def _section(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    for key, sub in known_keys(schema, f"{name}."):
        yield _row(key, sub)
        # keys of the entries of a list, such as the tiles of review.exclude
        for inner, item in known_keys(sub.get("items", {}), f"{key}[]."):
            yield _row(inner, item)


def _row(key: str, schema: Mapping[str, Any]) -> str:
    default = f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
    what = _text(schema, "")
    return f"| `{key}` | {_cell(expectation(schema))} | {_cell(default)} | {_cell(what)} |\n"


def _text(schema: Mapping[str, Any], end: str) -> str:
    words = " ".join(str(schema.get("description", "")).split())
    # <volume> in a text is a name to fill in, not a tag of the page
    return words.replace("<", "&lt;") + end if words else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write_text(PAGE, render(yaml_files.read(SCHEMA)))

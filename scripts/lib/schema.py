"""Schema: fill in the defaults of a config and name everything in it that is wrong.

The schema is JSON schema (draft 2020-12) with one keyword of our own, ``unit``. An object that
lists ``properties`` is closed: a key it does not list is a mistake, since a misspelt key that
is silently ignored costs days of computing.
"""

from __future__ import annotations

import copy
import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from scripts.lib.job import UserError

Schema = Mapping[str, Any]

_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
    "minItems": "number of entries at least",
    "maxItems": "number of entries at most",
    "minLength": "length at least",
    "pattern": "matching",
}


def validate(config: dict[str, Any], schema: Schema) -> None:
    """Fill the defaults of a schema into a config, in place, and check the whole.

    A number given as text becomes a number: Snakemake reads the inner values of
    ``--config solve='{rigid_lambda: 0.05}'`` as texts. A number has one form, however it is
    written: ``8`` and ``8.0`` are the same param of a rule, and re-run nothing.

    Parameters
    ----------
    config
        The config; is changed.
    schema
        Its JSON schema.

    Raises
    ------
    UserError
        Names every fault at once: unknown keys with the nearest known one, missing keys, and
        values of the wrong type or range with key, expectation, unit and what was found.
    """
    fill_defaults(config, schema)
    _read_texts(config, schema)
    _normalise(config, schema)
    refuse("config", faults(config, schema))


def faults(value: Any, schema: Schema) -> list[str]:  # noqa: ANN401 - any JSON value
    """Find everything that a schema refuses.

    Parameters
    ----------
    value
        Any JSON value.
    schema
        Its JSON schema.

    Returns
    -------
    list of str
        A line for each fault: key, expected, found.
    """
    found = sorted(
        Draft202012Validator(closed(schema)).iter_errors(value),
        key=lambda fault: [str(part) for part in fault.absolute_path],
    )
    endless = [
        f"{_dotted(path)}: expected a finite number, found {number}"
        for path, number in _numbers(value, ())
        if not math.isfinite(number)
    ]
    return [*endless, *(line for fault in found for line in _words(fault, schema))]


def _numbers(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], float]]:  # noqa: ANN401
    """Walk all floats of a JSON value, with keys and indices as path."""
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, (Mapping, list)):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, each in parts:
            yield from _numbers(each, (*path, key))


def refuse(where: str, lines: Sequence[str]) -> None:
    """Raise an error that lists all faults, if there are any.

    Parameters
    ----------
    where
        What the faults are in.
    lines
        The faults.

    Raises
    ------
    UserError
        When there is a line.
    """
    if lines:
        raise UserError(f"{where}:\n" + "\n".join(f"  {line}" for line in lines))


def given(section: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return the keys of a filled section that say something else than their defaults.

    Parameters
    ----------
    section
        A section of a config, with defaults filled in.
    schema
        Its schema.

    Returns
    -------
    dict
        In the order of the section.
    """
    known = schema.get("properties", {})
    return {key: value for key, value in section.items() if value != known[key].get("default")}


def fill_defaults(value: Any, schema: Schema) -> None:  # noqa: ANN401 - any JSON value
    """Add missing keys that have a default, in place, at every depth.

    A section that is left out or empty comes to be with the defaults of its keys, unless its own
    ``default`` says otherwise.

    Parameters
    ----------
    value
        A config or a part of it; is changed.
    schema
        The schema of that part.
    """
    if isinstance(value, dict):
        for key, sub in schema.get("properties", {}).items():
            if key not in value and "default" in sub:
                value[key] = copy.deepcopy(sub["default"])
            # `solve:` with every key below it commented out reads as null
            elif value.get(key) is None and "properties" in sub and sub.get("type") == "object":
                value[key] = {}
            if key in value:
                fill_defaults(value[key], sub)
    elif isinstance(value, list) and "items" in schema:
        for each in value:
            fill_defaults(each, schema["items"])


def _read_texts(value: Any, schema: Schema) -> None:  # noqa: ANN401 - any JSON value
    """Read texts as numbers, truth values or null where these, and no text, are expected."""
    for at, sub in _parts(value, schema):
        value[at] = _read_text(value[at], sub)
        _read_texts(value[at], sub)


def _normalise(value: Any, schema: Schema) -> None:  # noqa: ANN401 - any JSON value
    """Give each number one form, in place: that of an equal default, else whole ones as int."""
    for at, sub in _parts(value, schema):
        if isinstance(value[at], float):
            default = sub.get("default")
            whole = math.isfinite(value[at]) and value[at].is_integer()
            value[at] = int(value[at]) if whole else value[at]
            value[at] = default if _same_number(default, value[at]) else value[at]
        elif _same_number(sub.get("default"), value[at]):
            value[at] = sub["default"]
        _normalise(value[at], sub)


def _same_number(one: Any, other: Any) -> bool:  # noqa: ANN401 - any JSON value
    numbers = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in (one, other))
    return numbers and bool(one == other)


def _parts(value: Any, schema: Schema) -> list[tuple[Any, Schema]]:  # noqa: ANN401
    """Return the keys, or indices, of a value that a schema knows, with their schemas."""
    if isinstance(value, dict):
        return [(key, sub) for key, sub in schema.get("properties", {}).items() if key in value]
    if isinstance(value, list):
        return [(index, schema.get("items", {})) for index in range(len(value))]
    return []


def _read_text(value: Any, schema: Schema) -> Any:  # noqa: ANN401 - any JSON value
    wanted = Draft202012Validator({key: schema[key] for key in ("type", "enum") if key in schema})
    if not isinstance(value, str) or wanted.is_valid(value):
        return value
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if wanted.is_valid(read) else value


def closed(schema: Any) -> Any:  # noqa: ANN401 - a schema or a part of one
    """Return a copy of a schema in which every object with ``properties`` refuses other keys.

    Parameters
    ----------
    schema
        A JSON schema or a part of one.

    Returns
    -------
    Any
        The copy.
    """
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    inner = {key: closed(each) for key, each in schema.items()}
    if isinstance(schema.get("properties"), Mapping):
        inner.setdefault("additionalProperties", False)
    return inner


def known_keys(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Walk all keys of a schema in its own order, parents first.

    Parameters
    ----------
    schema
        A JSON schema.
    prefix
        Of the paths, with its dot.

    Yields
    ------
    path
        Dotted path of the key.
    schema
        What it must be.
    """
    for key, sub in schema.get("properties", {}).items():
        path = f"{prefix}{key}"
        yield path, sub
        yield from known_keys(sub, f"{path}.")


def expectation(schema: Schema) -> str:
    """Say in words what a value must be.

    Parameters
    ----------
    schema
        The JSON schema of the value.

    Returns
    -------
    str
        Type or choices, bounds and unit.
    """
    what: str
    if "enum" in schema:
        what = "one of " + ", ".join(_shown(each) for each in schema["enum"])
    else:
        types = schema.get("type", "value")
        what = types if isinstance(types, str) else " or ".join(types)
    bounds = [f"{words} {schema[key]}" for key, words in _BOUNDS.items() if key in schema]
    return ", ".join([what, *bounds]) + (f" ({schema['unit']})" if "unit" in schema else "")


def _words(fault: ValidationError, schema: Schema) -> list[str]:
    """Put one fault of the validator into the lines a person reads."""
    path = _dotted(fault.absolute_path)
    sub = fault.schema if isinstance(fault.schema, Mapping) else {}
    if fault.validator == "additionalProperties" and isinstance(fault.instance, Mapping):
        unknown = [key for key in fault.instance if key not in sub.get("properties", {})]
        return [_unknown_key(str(key), path, sub, schema) for key in unknown]
    if fault.validator == "required" and isinstance(fault.instance, Mapping):
        # the validator reports one fault for each missing key
        missing = [key for key in sub["required"] if fault.message.startswith(repr(key))]
        return [_missing_key(key, path, sub) for key in missing]
    if fault.validator not in {"type", "enum", *_BOUNDS}:
        return [f"{path or 'config'}: {fault.message}"]
    # a key that may only be absent: its description says why
    why = f" ({sub.get('description')})" if sub.get("type") == "null" else ""
    what = f"expected {expectation(sub)}{why}, found {_shown(fault.instance)}"
    return [f"{path or 'config'}: {what}"]


def _unknown_key(key: str, path: str, level: Schema, schema: Schema) -> str:
    full = f"{path}.{key}" if path else key
    return f"{full}: unknown key; the nearest known key is {_nearest(key, path, level, schema)}"


def _nearest(key: str, path: str, level: Schema, schema: Schema) -> str:
    """Find the known key that was meant: at the same place, at another place, or the closest."""
    prefix = f"{path}." if path else ""
    here: list[str] = list(level.get("properties", {}))
    close = difflib.get_close_matches(key, here, n=1, cutoff=0.7)
    if close:
        return prefix + close[0]
    everywhere = [dotted for dotted, _ in known_keys(schema)]
    leaves = [dotted for dotted in everywhere if dotted.rpartition(".")[2] == key]
    if leaves:
        return leaves[0]
    candidates = [prefix + each for each in here] or everywhere
    return difflib.get_close_matches(prefix + key, candidates, n=1, cutoff=0.0)[0]


def _missing_key(key: str, path: str, level: Schema) -> str:
    sub = level.get("properties", {}).get(key, {})
    about = f"; {sub['description']}" if "description" in sub else ""
    return f"{f'{path}.{key}' if path else key}: missing; expected {expectation(sub)}{about}"


def _dotted(path: Any) -> str:  # noqa: ANN401 - the validator's deque of keys and indices
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if isinstance(value, str) else f"{text} ({names.get(type(value), 'value')})"

"""Normal form of everything a client sends: what the reference's classes keep, and how.

Each function takes a JSON value as a client sent it and returns the value that a reader gets back
: fields in declaration order, unknown and null fields dropped, numbers
by the type of the field (a double has a decimal point, an integer has none), dates in one form.
A value that cannot be of its field's type raises `BadRequest` naming field, expected and found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from scripts.render_ws.errors import BadRequest

Json = dict[str, Any]
Convert = Callable[[Any], Any]
# name, type that JSON parsing gives when nothing is to be converted, conversion
Field = tuple[str, type, Convert]

NAME = re.compile(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*")
_STACK_LIMIT = 111  # of owner__project__stack__transform: the reference's database name limit
_MATCH_LIMIT = 112  # of owner__name
STACK_STATES = ("LOADING", "COMPLETE", "READ_ONLY", "OFFLINE")
LIST = "list"
MAX_NESTING = 64  # objects and lists of a transform within each other; two for each list of lists

# ---------------------------------------------------------------------------------------------
# scalars
# ---------------------------------------------------------------------------------------------


def double(value: Any) -> float:  # noqa: ANN401 - any JSON value
    """Read a Double: a number, or text that holds one."""
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    if type(value) is str:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if number - number == 0:  # finite
            return number
    raise BadRequest(f"expected a number, found {value!r:.80}")


def integer(value: Any) -> int:  # noqa: ANN401 - any JSON value
    """Read an Integer of 32 bits; a fraction is cut off."""
    number = value if type(value) is int else double(value)
    if -(1 << 31) <= number < 1 << 31:  # neither is infinity, nor what is no number
        return int(number)
    raise BadRequest(f"expected an integer of 32 bits, found {value!r}")


def boolean(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Read a Boolean: true or false, or the text of one."""
    found = {"true": True, "false": False}.get(value.lower()) if type(value) is str else value
    if type(found) is bool:
        return found
    raise BadRequest(f"expected true or false, found {value!r:.80}")


def text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Read a String; a number or a bool is written out."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) in (int, float):
        return str(value)
    raise BadRequest(f"expected text, found {value!r:.80}")


def mapping(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Check that `value` is a JSON object."""
    if type(value) is dict:
        return value
    raise BadRequest(f"expected an object, found {value!r:.80}")


def sequence(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    """Check that `value` is a JSON list."""
    if type(value) is list:
        return value
    raise BadRequest(f"expected a list, found {value!r:.80}")


def texts(value: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """Read a set of strings, in the order sent."""
    return list(dict.fromkeys(text(item) for item in sequence(value)))


_DATE = re.compile(r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d+)Z")


def timestamp(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Read a date as leniently as the reference does.

    ``…:07.00Z`` is accepted: digits after the point are a count of milliseconds. Parts beyond
    their range roll over; a number is ms since 1970.
    """
    if type(value) is int:
        return from_millis(value)
    found = _DATE.fullmatch(value) if type(value) is str else None
    if not found:
        raise BadRequest(f"expected a date like 2024-01-31T09:08:07.000Z, found {value!r:.80}")
    try:
        year, month, day, hour, minute, second, milli = map(int, found.groups())
        year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
        start = datetime(year, month, 1, tzinfo=UTC)
        return _date_text(
            start
            + timedelta(
                days=day - 1, hours=hour, minutes=minute, seconds=second, milliseconds=milli
            )
        )
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"{value!r:.80} is no date: {error}") from error


def from_millis(millis: int) -> str:
    """Return the date text of `millis` ms since 1970."""
    try:
        return _date_text(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis))
    except OverflowError as error:
        raise BadRequest(f"{millis} ms since 1970 is no date of the years 1 to 9999") from error


def _date_text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


# ---------------------------------------------------------------------------------------------
# records
# ---------------------------------------------------------------------------------------------


class _Always:
    """No value's type: always convert."""


_SCALARS: dict[str, tuple[type, Convert]] = {
    "double": (float, double),
    "integer": (_Always, integer),  # of 32 bits
    "text": (str, text),
    "flag": (bool, boolean),
    "": (_Always, mapping),
}


def _fields(names: str, **converts: Convert) -> tuple[Field, ...]:
    """Read fields ``name:kind`` in the order of the class; those without a kind are `converts`."""
    out = []
    for name, _, kind in (field.partition(":") for field in names.split()):
        of_type, convert = _SCALARS[kind]
        out.append((name, of_type, converts.get(name, convert)))
    return tuple(out)


def _record(fields: tuple[Field, ...], value: Any) -> Json:  # noqa: ANN401 - any JSON value
    # the inner loop of every save: 15 of the 20 us that a tile takes before this check of types
    source = mapping(value)
    out = {}
    for name, kind, convert in fields:
        item = source.get(name)
        if type(item) is kind:
            out[name] = item
        elif item is not None:
            try:
                out[name] = convert(item)
            except BadRequest as error:
                raise BadRequest(f"{name}: {error}") from error
    return out


def _levels(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    source = mapping(value)
    if source.keys() == {"0"}:
        return {"0": _record(_IMAGE_AND_MASK, source["0"])}
    try:
        levels = {integer(int(key)): item for key, item in source.items() if item is not None}
    except ValueError as error:
        raise BadRequest(f"mipmap levels are whole numbers: {error!s:.80}") from error
    return {str(level): _record(_IMAGE_AND_MASK, levels[level]) for level in sorted(levels)}


_IMAGE_AND_MASK = _fields(
    "imageUrl:text imageLoaderType:text imageSliceNumber:integer"
    " maskUrl:text maskLoaderType:text maskSliceNumber:integer"
)
_LAYOUT = _fields(
    "sectionId:text temca:text camera:text imageRow:integer imageCol:integer"
    " stageX:double stageY:double rotation:double pixelsize:double distanceZ:double"
)
_MIPMAP_BUILDER = _fields(
    "rootPath:text numberOfLevels:integer extension:text imageMipmapPatternString:text"
)


def mipmap_builder(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Read a MipmapPathBuilder; `rootPath` ends in a slash."""
    out = _record(_MIPMAP_BUILDER, value)
    missing = [n for n in ("rootPath", "numberOfLevels", "extension") if n not in out]
    if missing:
        raise BadRequest(f"mipmapPathBuilder must have {', '.join(missing)}")
    if not out["rootPath"].endswith("/"):
        out["rootPath"] += "/"
    return out


def _channel(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    out = {"minIntensity": 0.0, "maxIntensity": 255.0, "mipmapLevels": {}}
    out |= _record(_CHANNEL, value)
    return {name: out[name] for name, _, _ in _CHANNEL if name in out}


_CHANNEL = _fields(
    "name:text minIntensity:double maxIntensity:double mipmapLevels mipmapPathBuilder",
    mipmapLevels=_levels,
    mipmapPathBuilder=mipmap_builder,
)


def transform(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Read a transform spec: leaf, list, ref or interpolated; an absent type is leaf."""
    return _transform(not_deep(value))


def _transform(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    kind = mapping(value).get("type", "leaf")
    fields = _TRANSFORM_FIELDS.get(kind) if type(kind) is str else None
    if fields is None:
        known = ", ".join(_TRANSFORM_FIELDS)
        raise BadRequest(f"transform type {kind!r:.80} is not known (known: {known})")
    out = {"type": kind, **_record(fields, value)}
    if kind == LIST:
        out.setdefault("specList", [])
    if kind == "interpolated" and not out.keys() >= {"a", "b", "lambda"}:
        raise BadRequest("an interpolated transform must have a, b and lambda")
    return out


def not_deep(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON value that is nested at most `MAX_NESTING` deep."""
    inside = [value]
    for _ in range(MAX_NESTING):
        if not inside:
            return value
        lists = ((v.values() if type(v) is dict else v) for v in inside if type(v) in (dict, list))
        inside = [item for each in lists for item in each]
    raise BadRequest(f"it is nested more than {MAX_NESTING} deep")


_META_DATA = _fields("labels", labels=texts)


def _meta_data(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    return _record(_META_DATA, value)


def _specs(value: Any) -> list[Json]:  # noqa: ANN401 - any JSON value
    return [_transform(item) for item in sequence(value)]


_SPEC = _fields("id:text metaData", metaData=_meta_data)
_TRANSFORM_FIELDS: dict[str, tuple[Field, ...]] = {
    "leaf": _SPEC + _fields("className:text dataString:text"),
    LIST: _SPEC + _fields("specList", specList=_specs),
    "ref": _SPEC + _fields("refId:text"),
    "interpolated": _SPEC + _fields("a b lambda:double", a=_transform, b=_transform),
}
_TILE = _fields(
    "tileId:text layout groupId:text z:double minX:double minY:double maxX:double maxY:double"
    " width:double height:double minIntensity:double maxIntensity:double mipmapLevels channels"
    " mipmapPathBuilder transforms meshCellSize:double labels filterSpec",
    layout=lambda value: _record(_LAYOUT, value),
    mipmapLevels=_levels,
    channels=lambda value: [_channel(item) for item in sequence(value)],
    mipmapPathBuilder=mipmap_builder,
    transforms=transform,
    labels=texts,
    filterSpec=lambda value: mapping(
        not_deep(value)
    ),  # of newer versions of the reference: class name and parameters
)
MESH_CELL_SIZE = 64.0  # of the reference, when a spec has none
_TILE_DEFAULTS: Json = {
    "mipmapLevels": {},
    "transforms": {"type": LIST},
    "meshCellSize": MESH_CELL_SIZE,
}
BOX = ("minX", "minY", "maxX", "maxY")


def tile_spec(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Read a TileSpec; mipmapLevels, transforms and meshCellSize are always there."""
    source = mapping(value)
    for name, default in _TILE_DEFAULTS.items():
        if source.get(name) is None:
            source = {**source, name: default}
    try:
        out = _record(_TILE, source)
    except BadRequest as error:
        raise BadRequest(f"tile {source.get('tileId')!r:.200}: {error}") from error
    if "tileId" not in out:
        raise BadRequest("a tile spec has no tileId")
    return out


def with_box(tile: Json, box: Sequence[float]) -> Json:
    """Return a copy of a tile spec with another bounding box, fields in their order."""
    values = {**tile, **dict(zip(BOX, box, strict=True))}
    return {name: values[name] for name, _, _ in _TILE if name in values}


_RENDER_PARAMETERS = _fields(
    "x:double y:double width:integer height:integer scale:double minIntensity:double"
    " maxIntensity:double convertToGray:flag excludeMask:flag doFilter:flag fillWithNoise:flag"
    " channels:text mipmapPathBuilder tileSpecs",
    mipmapPathBuilder=mipmap_builder,
    tileSpecs=lambda value: [tile_spec(item) for item in sequence(value)],
)


def render_parameters(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Read RenderParameters: the fields that a picture depends on here, all of them optional."""
    return _record(_RENDER_PARAMETERS, value)


_STACK_VERSION = _fields(
    "createTimestamp versionNotes:text cycleNumber:integer cycleStepNumber:integer"
    " stackResolutionX:double stackResolutionY:double stackResolutionZ:double"
    " materializedBoxRootPath:text mipmapPathBuilder alignmentQuality:double defaultChannel:text",
    createTimestamp=timestamp,
    mipmapPathBuilder=mipmap_builder,
)


def stack_version(value: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Read a StackVersion."""
    if value is None:
        raise BadRequest("the request has no stack version")
    return _record(_STACK_VERSION, value)


def changed_version(version: Json, **changes: Any) -> Json:  # noqa: ANN401 - any field
    """Return a copy of a StackVersion with other values (None removes), fields in their order."""
    values = version | changes
    return {name: values[name] for name, _, _ in _STACK_VERSION if values.get(name) is not None}


# ---------------------------------------------------------------------------------------------
# names
# ---------------------------------------------------------------------------------------------


def check_stack_names(owner: str, project: str, stack: str) -> None:
    """Refuse names of a stack that the reference refuses."""
    _check_names(
        {"owner": owner, "project": project, "stack": stack},
        len(f"{owner}__{project}__{stack}__transform"),
        _STACK_LIMIT,
    )


def check_collection_names(owner: str, name: str) -> None:
    """Refuse names of a match collection that the reference refuses."""
    _check_names({"owner": owner, "name": name}, len(f"{owner}__{name}"), _MATCH_LIMIT)


def _check_names(names: dict[str, str], length: int, limit: int) -> None:
    for role, name in names.items():
        if not NAME.fullmatch(name):
            raise BadRequest(
                f"invalid {role} {name!r}: letters and digits, single underscores inside"
            )
    if length > limit:
        raise BadRequest(f"the names {names} make {length} characters, at most {limit} are allowed")


# records by the names of the reference's classes, for descriptions of the service
RECORDS: dict[str, tuple[Field, ...]] = {
    "ImageAndMask": _IMAGE_AND_MASK,
    "LayoutData": _LAYOUT,
    "MipmapPathBuilder": _MIPMAP_BUILDER,
    "ChannelSpec": _CHANNEL,
    "TileSpec": _TILE,
    "RenderParameters": _RENDER_PARAMETERS,
    "StackVersion": _STACK_VERSION,
}


def json_type(field: Field) -> str:
    """Return the JSON type of a field's values: of `object`, more is to be said elsewhere."""
    kinds: dict[Convert, str] = {
        double: "number",
        integer: "integer",
        text: "string",
        boolean: "boolean",
    }
    return kinds.get(field[2], "object")

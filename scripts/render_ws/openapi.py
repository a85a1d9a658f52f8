"""The service's description in OpenAPI 3.0, made of its routes.

Paths and their parameters come from the table of routes, records from the fields of `model`; what a
route reads of query and body stands here, and a test compares it with what the routes read.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping

from werkzeug.routing import Map, Rule

from scripts.render_ws import model
from scripts.render_ws.model import Json
from scripts.render_ws.web import ROOT

_SEGMENT = re.compile(r"<(?:(\w+)(?:\(([^)]*)\))?:)?(\w+)>")
_NUMBER: Json = {"type": "number"}
_INTEGER: Json = {"type": "integer", "format": "int32"}
_RECORD: Json = {"type": "object"}
_FLAG: Json = {"type": "boolean"}
_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_NUMBERS: Json = {"type": "array", "items": _NUMBER}

_LAYERS = {"minZ": _NUMBER, "maxZ": _NUMBER}
_PICTURE = {
    **dict.fromkeys(("scale", "minIntensity", "maxIntensity"), _NUMBER),
    **dict.fromkeys(("convertToGray", "binaryMask", "excludeMask"), _FLAG),
    **dict.fromkeys(("filter", "fillWithNoise"), _FLAG),
    **dict.fromkeys(("filterListName", "channels"), _TEXT),
}
_TILE = {
    **dict.fromkeys(("x", "y", "width", "height"), _INTEGER),
    **dict.fromkeys(("normalizeForMatching", "excludeAllTransforms"), _FLAG),
    **dict.fromkeys(("excludeTransformsAfterLast", "excludeFirstTransformAndAllAfter"), _TEXTS),
}
_MOST = {"maxTileSpecsToRender": _INTEGER}
_AROUND = {"widthFactor": _NUMBER, "heightFactor": _NUMBER}
_PAIRS = {"excludeMatchDetails": _FLAG, "mergeCollection": _TEXTS}
_IMAGES = r"(\{kind\}|\{end\})"
# method and end of a path (below the service's root): its query; all that fit are joined
_QUERIES: tuple[tuple[str, Mapping[str, Json]], ...] = (
    (
        r"GET .*/stack/\{stack\}/(zValues|sectionData|reorderedSectionData|merge\w+|tileIds)",
        _LAYERS,
    ),
    (r"GET .*/stack/\{stack\}/layoutFile", _LAYERS),
    (r"GET .*/stack/\{stack\}/resolvedTiles", _LAYERS | {"groupId": _TEXT}),
    (
        r"GET .*/stack/\{stack\}/resolvedTiles",
        dict.fromkeys(("minX", "maxX", "minY", "maxY"), _NUMBER),
    ),
    (r"PUT .*/resolvedTiles", {"deriveData": _FLAG}),
    (r"GET .*/stack/\{stack\}/tileIds", {"matchPattern": _TEXT}),
    (r"GET .*/layoutFile", {"format": {"type": "string", "enum": ["KARSH", "SCHEFFER"]}}),
    (r"PUT .*/cloneTo/\{target\}", {"z": _NUMBERS, "toProject": _TEXT, "skipTransforms": _FLAG}),
    (r"GET .*/mapped-to-stack/\{target\}", {"toOwner": _TEXT, "toProject": _TEXT}),
    (r"PUT .*/owner/\{owner\}/\w+-to-\w+-coordinates/.*", {"meshCellSize": _NUMBER}),
    (rf"GET .*/stack/(?!.*\{{part\}}).*({_IMAGES}|/render-parameters)", _PICTURE),
    (rf"GET .*/\{{part\}}/{_IMAGES}", {"scale": _NUMBER}),
    (rf"GET .*/tile/\{{tile_id\}}/({_IMAGES}|render-parameters)", _TILE),
    (rf"GET .*/(z/\{{z\}}|box/\{{box\}}|\{{place\}}|\{{row\}}/\{{column\}}.)/?{_IMAGES}", _MOST),
    (rf"GET .*/withNeighbors/({_IMAGES}|render-parameters)", _AROUND),
    (rf"GET .*/withNeighbors/{_IMAGES}", {"boundingBoxesOnly": _FLAG}),
    (r"GET .*/matchCollection/.*/(match\w+|matchesWith/.*|id/\{item\})", _PAIRS),
)
_COORDINATES = {"type": "array", "items": {"$ref": "#/components/schemas/TileCoordinates"}}
# method and end of a path: the body's schema
_BODIES: tuple[tuple[str, Json], ...] = (
    (r"POST .*/stack/\{stack\}", {"$ref": "#/components/schemas/StackVersion"}),
    (r"PUT .*/cloneTo/\{target\}", {"$ref": "#/components/schemas/StackVersion"}),
    (r"PUT .*/resolvedTiles", {"$ref": "#/components/schemas/ResolvedTiles"}),
    (r"PUT .*/(tileIds|tile-specs-with-ids)", _TEXTS),
    (r"PUT .*/section/\{section\}/z", _NUMBER),
    (r"PUT .*/stackId", {"$ref": "#/components/schemas/StackId"}),
    (r"PUT .*/collectionId", {"$ref": "#/components/schemas/MatchCollectionId"}),
    (r"PUT .*/resolutionValues", _NUMBERS),
    (r"PUT .*/mipmapPathBuilder", {"$ref": "#/components/schemas/MipmapPathBuilder"}),
    (r"PUT .*/cycle", {"$ref": "#/components/schemas/ReconstructionCycle"}),
    (r"PUT .*/(materializedBoxRootPath|defaultChannel)", _TEXT),
    (r"PUT .*/matches", {"$ref": "#/components/schemas/CanvasMatchesList"}),
    (r"PUT .*/stack/.*(-coordinates|tileIdsForCoordinates)", _COORDINATES),
    (
        r"PUT .*/owner/\{owner\}/\w+-to-\w+-coordinates/.*",
        {"$ref": "#/components/schemas/TileSpec"},
    ),
    (r"PUT .*/owner/\{owner\}/\{kind\}", {"$ref": "#/components/schemas/RenderParameters"}),
    (r"PUT .*/validate-json/\{kind\}", {}),
    (r"POST .*/matchTrial", {"$ref": "#/components/schemas/MatchTrialParameters"}),
)
# fields of records whose values are records themselves
_NESTED: dict[str, Json] = {
    "layout": {"$ref": "#/components/schemas/LayoutData"},
    "mipmapLevels": {
        "type": "object",
        "additionalProperties": {"$ref": "#/components/schemas/ImageAndMask"},
    },
    "channels": {"type": "array", "items": {"$ref": "#/components/schemas/ChannelSpec"}},
    "mipmapPathBuilder": {"$ref": "#/components/schemas/MipmapPathBuilder"},
    "transforms": {"$ref": "#/components/schemas/TransformSpec"},
    "labels": _TEXTS,
    "tileSpecs": {"type": "array", "items": {"$ref": "#/components/schemas/TileSpec"}},
    "createTimestamp": {"type": "string", "format": "date-time"},
}
_REQUIRED = {
    "TileSpec": ["tileId"],
    "MipmapPathBuilder": ["rootPath", "numberOfLevels", "extension"],
}


def _record(fields: Mapping[str, Json], *required: str) -> Json:
    out: Json = {"type": "object", "properties": dict(fields)}
    return out | ({"required": list(required)} if required else {})


def _schemas() -> Json:
    out = {
        name: _record(
            {
                field[0]: {"type": kind}
                if (kind := model.json_type(field)) != "object" or field[0] not in _NESTED
                else _NESTED[field[0]]
                for field in fields
            },
            *_REQUIRED.get(name, ()),
        )
        for name, fields in model.RECORDS.items()
    }
    out["RenderParameters"]["properties"]["channels"] = _TEXT
    points = {"p": _rows(), "q": _rows(), "w": _NUMBERS}
    pair = dict.fromkeys(("pGroupId", "pId", "qGroupId", "qId"), _TEXT)
    out |= {
        "TransformSpec": _record(
            {
                "type": {"type": "string", "enum": ["leaf", "list", "ref", "interpolated"]},
                **dict.fromkeys(("id", "className", "dataString", "refId"), _TEXT),
                "specList": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/TransformSpec"},
                },
            }
        ),
        "ResolvedTiles": _record(
            {
                "transformIdToSpecMap": _map("TransformSpec"),
                "tileIdToSpecMap": _map("TileSpec"),
            }
        ),
        "StackId": _record(
            dict.fromkeys(("owner", "project", "stack"), _TEXT), "owner", "project", "stack"
        ),
        "MatchCollectionId": _record(dict.fromkeys(("owner", "name"), _TEXT), "owner", "name"),
        "ReconstructionCycle": _record({"number": _INTEGER, "stepNumber": _INTEGER}),
        "TileCoordinates": _record({"tileId": _TEXT, "local": _NUMBERS, "world": _NUMBERS}),
        "CanvasMatches": _record(
            {**pair, "matches": _record(points, "p", "q", "w")}, *pair, "matches"
        ),
        "MatchTrialParameters": _trial(),
        "CanvasMatchesList": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/CanvasMatches"},
        },
    }
    return out


def _trial() -> Json:
    """Return what a match trial is asked for with."""
    settings: dict[str, Json] = {
        **dict.fromkeys(("siftFeatureParameters", "matchDerivationParameters"), _RECORD),
        "pClipPosition": {"type": "string", "enum": ["LEFT", "RIGHT", "TOP", "BOTTOM"]},
        "clipPixels": _INTEGER,
    }
    parts: dict[str, Json] = {
        **dict.fromkeys(("pRenderParametersUrl", "qRenderParametersUrl"), _TEXT),
        "featureAndMatchParameters": _record(
            settings, "siftFeatureParameters", "matchDerivationParameters"
        ),
    }
    points: dict[str, Json] = {"geometricDescriptorAndMatchFilterParameters": _RECORD}
    return _record(parts | points, *parts)


def _rows() -> Json:
    return {"type": "array", "items": _NUMBERS}


def _map(name: str) -> Json:
    return {"type": "object", "additionalProperties": {"$ref": f"#/components/schemas/{name}"}}


# ---------------------------------------------------------------------------------------------
# paths
# ---------------------------------------------------------------------------------------------


def described(rule: Rule) -> tuple[str, list[Json]]:
    """Return the path of a route with ``{name}`` for its segments, and their parameters."""
    parameters = []
    for kind, arguments, name in _SEGMENT.findall(rule.rule):
        schema = _segment(kind, arguments)
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    return _SEGMENT.sub(r"{\3}", rule.rule), parameters


def _segment(kind: str, arguments: str) -> Json:
    if kind == "any":
        return {"type": "string", "enum": [part.strip(" \"'") for part in arguments.split(",")]}
    if kind == "numbers":
        count, _, separator = arguments.partition(",")
        one, joined = r"-?\d+(\.\d+)?", separator.strip(" '") or ","
        return {"type": "string", "pattern": f"^{joined.join([one] * int(count))}$"}
    if kind == "int":
        return {"type": "integer", "minimum": 0}
    return dict(_NUMBER) if kind == "number" else {"type": "string", "minLength": 1}


def query(method: str, path: str) -> dict[str, Json]:
    """Return the query parameters of an operation and their schemas."""
    found: dict[str, Json] = {}
    for pattern, parameters in _QUERIES:
        if re.fullmatch(pattern, f"{method} {path}"):
            found |= parameters
    return found


def body(method: str, path: str) -> Json | None:
    """Return the schema of an operation's body; None when it takes none."""
    for pattern, schema in _BODIES:
        if re.fullmatch(pattern, f"{method} {path}"):
            return schema
    return None


def operations(routes: Map) -> Iterator[tuple[str, str, Rule]]:
    """Return method, path and route of all operations, sorted by path."""
    rules: Iterable[Rule] = routes.iter_rules()
    for rule in sorted(rules, key=lambda rule: rule.rule):
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, described(rule)[0], rule


def summary(view: object) -> str:
    """Return the first sentence of a view's docstring."""
    text = inspect.getdoc(view) or ""
    return text.partition("\n\n")[0].replace("\n", " ")


def _operation(method: str, path: str, rule: Rule, view: object) -> Json:
    parameters = described(rule)[1]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in query(method, path).items()
    ]
    out: Json = {"summary": summary(view), "parameters": parameters}
    schema = body(method, path)
    if schema is not None:
        out["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    made = {"201": {"description": "made"}} if method in ("PUT", "POST") else {}
    out["responses"] = {
        "200": {"description": "the answer"},
        **made,
        "204": {"description": "nothing to say"},
        "400": {"description": "a wrong request, said in plain text"},
        "403": {"description": "a change that this caller, or anybody, may not make"},
        "404": {"description": "something named is not there, said in plain text"},
        "500": {"description": "a stack in the wrong state, said in plain text"},
    }
    return out


@functools.cache
def document() -> Json:
    """Return the description of the whole service."""
    from scripts.render_ws.app import routes

    app = routes()
    paths: dict[str, Json] = {}
    for method, path, rule in operations(app.url_map):
        if path.startswith(ROOT):
            view = app.view_functions[rule.endpoint]
            operation = _operation(method, path, rule, view)
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "embedded render-ws",
            "version": "1",
            "description": "Stacks of tile specs, point matches and pictures (docs/render-ws.md).",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


# under this name neuroglancer looks for what it may add to the requests of a `render://` source
_VIEWERS = "/v1/owner/{owner}/project/{project}/stack/{stack}/z/{z}/box/{x},{y},{width},{height}"
_VIEWERS += ",{scale}/raw-image"


def for_viewers() -> Json:
    """Return the description with the requests of viewers under the name that they know."""
    whole = document()
    box = next(
        path for path in whole["paths"] if path.endswith("/stack/{stack}/z/{z}/box/{box}/{kind}")
    )
    operation = whole["paths"][box]["get"]
    given = [each for each in operation["parameters"] if each["name"] not in ("box", "kind")]
    given += [
        {"name": name, "in": "path", "required": True, "schema": _NUMBER}
        for name in ("x", "y", "width", "height", "scale")
    ]
    item = {"servers": [{"url": "/render-ws"}], "get": {**operation, "parameters": given}}
    return {**whole, "paths": {**whole["paths"], _VIEWERS: item}}

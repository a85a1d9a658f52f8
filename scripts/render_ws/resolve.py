"""Transforms of tiles: references, flattening, the map of points, bounding boxes.

As render's ResolvedTileSpecCollection and TileSpec do it. Works on wire records in the form of
`model`; takes and returns no database.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib import transforms
from scripts.lib.arrays import Array
from scripts.lib.geometry import tile_bounds
from scripts.lib.transforms import Chain, Smooth, Transform
from scripts.render_ws import model
from scripts.render_ws.errors import BadRequest, ServiceError
from scripts.render_ws.model import Json

MAX_PASSES = 10  # of following references, as the reference does
MAX_SPECS = 1000  # of one tile; a tile of a FIB-SEM has two or three
_MAX_SAMPLES = 1 << 17  # of the border of a tile: a side of a million px every 64 px has 16,384


def references(spec: Json) -> Iterator[str]:
    """Return the ids of the shared transforms that a spec refers to itself."""
    kind = spec["type"]
    if kind == "ref":
        yield spec.get("refId", "")
    elif kind == model.LIST:
        for item in spec["specList"]:
            if item["type"] == "ref":  # at once: nearly all transforms of tiles
                yield item.get("refId", "")
            elif item["type"] != "leaf":
                yield from references(item)
    elif kind == "interpolated":
        for name in ("a", "b"):
            yield from references(spec.get(name) or {"type": "leaf"})


def gather(
    wanted: set[str], look_up: Callable[[Sequence[str]], Mapping[str, Json]]
) -> dict[str, Json]:
    """Return the shared transforms of `wanted` and all they refer to, by id.

    Raises
    ------
    ServiceError
        When one does not exist or the chain is longer than `MAX_PASSES`.
    """
    found: dict[str, Json] = {}
    missing = set(wanted)
    for _ in range(MAX_PASSES):
        if not missing:
            return found
        found |= look_up(sorted(missing))
        lost = sorted(missing - found.keys())
        if lost:
            raise ServiceError(f"transforms {lost} are referred to, but do not exist")
        missing = {r for i in missing for r in references(found[i])} - found.keys()
    if missing:
        raise ServiceError(f"references to {sorted(missing)} run deeper than {MAX_PASSES}")
    return found


# ---------------------------------------------------------------------------------------------
# flatten
# ---------------------------------------------------------------------------------------------


def flatten(spec: Json, shared: Mapping[str, Json]) -> list[Json]:
    """Return the leaves (and interpolated specs) of a spec, first applied first.

    References are replaced, lists spliced, a list's labels go to its children.

    Raises
    ------
    ServiceError
        When a reference has no target in `shared`, or references go in a circle.
    BadRequest
        When that makes more than `MAX_SPECS` specs: references to lists of references multiply.
    """
    return _flatten(spec, shared, 0, itertools.count(1))


def flatten_given(spec: Json) -> list[Json]:
    """Return the leaves of a spec that a request holds whole.

    Raises
    ------
    BadRequest
        When it refers to others: there are none to look in.
    """
    try:
        return flatten(spec, {})
    except ServiceError as error:
        raise BadRequest(str(error)) from error


def _flatten(
    spec: Json, shared: Mapping[str, Json], depth: int, seen: itertools.count[int]
) -> list[Json]:
    if next(seen) > MAX_SPECS:
        raise BadRequest(f"references followed, a transform has more than {MAX_SPECS} specs")
    kind = spec["type"]
    if kind == model.LIST:
        return [
            _labelled(leaf, _labels(spec))
            for item in spec["specList"]
            for leaf in _flatten(item, shared, depth, seen)
        ]
    if kind == "ref":
        target = shared.get(spec.get("refId", ""))
        if target is None or depth > MAX_PASSES:
            raise ServiceError(f"transform reference {spec.get('refId')!r} cannot be resolved")
        return _flatten(target, shared, depth + 1, seen)
    if kind == "interpolated":
        return [spec | {name: _one(spec[name], shared, depth, seen) for name in ("a", "b")}]
    return [spec]


def _one(spec: Json, shared: Mapping[str, Json], depth: int, seen: itertools.count[int]) -> Json:
    parts = _flatten(spec, shared, depth, seen)
    return parts[0] if len(parts) == 1 else {"type": model.LIST, "specList": parts}


def _labels(spec: Json) -> list[str]:
    return list((spec.get("metaData") or {}).get("labels") or ())


def _labelled(spec: Json, labels: list[str]) -> Json:
    if not labels:
        return spec
    union = list(dict.fromkeys([*_labels(spec), *labels]))
    head = {name: spec[name] for name in ("type", "id") if name in spec}
    rest = {name: value for name, value in spec.items() if name not in ("type", "id", "metaData")}
    return head | {"metaData": {"labels": union}} | rest


def flat_tile(tile: Json, shared: Mapping[str, Json]) -> Json:
    """Return a copy of a tile spec with flattened transforms."""
    return with_transforms(tile, flatten(tile["transforms"], shared))


def with_transforms(tile: Json, leaves: Sequence[Json]) -> Json:
    """Return a copy of a tile spec with another list of transforms."""
    return {**tile, "transforms": {"type": model.LIST, "specList": list(leaves)}}


# ---------------------------------------------------------------------------------------------
# mathematics
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Interpolated(Smooth):
    """a(p) + weight * (b(p) - a(p))."""

    a: Transform
    b: Transform
    weight: float

    def apply(self, xy: Array) -> Array:
        """Map (n, 2) points forward."""
        start = self.a.apply(xy)
        return start + self.weight * (self.b.apply(xy) - start)


@functools.lru_cache(maxsize=4096)
def _parsed(class_name: str, data: str) -> Transform:
    return transforms.parse(class_name, data)


def chain(leaves: Sequence[Json]) -> Chain:
    """Return the map of flattened specs.

    Raises
    ------
    BadRequest
        For an unknown class or a wrong data string.
    """
    return Chain(tuple(_transform(leaf) for leaf in leaves))


def _transform(spec: Json) -> Transform:
    if spec["type"] == "interpolated":
        a, b = (chain(flatten(spec[name], {})) for name in ("a", "b"))
        return Interpolated(a, b, float(spec["lambda"]))
    if spec["type"] == model.LIST:
        return chain(flatten(spec, {}))
    try:
        return _parsed(spec["className"], spec["dataString"])
    except KeyError as error:
        raise BadRequest(f"transform {spec.get('id')!r} has no {error.args[0]}") from error
    except ValueError as error:
        raise BadRequest(str(error)) from error


def with_derived_box(tile: Json, leaves: Sequence[Json]) -> Json:
    """Return a copy of `tile` whose bounding box follows from `leaves` by render's rule.

    Raises
    ------
    BadRequest
        When size, mesh or transforms of the tile give none.
    """
    name = tile["tileId"]
    _check_border(tile)
    try:
        moved = chain(leaves)
        # what goes beyond all numbers is told by the result
        with np.errstate(all="ignore"):
            box = tile_bounds(tile["width"], tile["height"], moved.apply, tile["meshCellSize"])
    except (BadRequest, ValueError, OverflowError) as error:
        raise BadRequest(f"tile {name!r}: its box cannot be derived: {error}") from error
    return model.with_box(tile, box)


def _check_border(tile: Json) -> None:
    """Refuse a tile whose border has no points, or more than any image has."""
    name, cell = tile["tileId"], tile["meshCellSize"]
    if "width" not in tile or "height" not in tile:
        raise BadRequest(f"tile {name!r} has no width or height, its box cannot be derived")
    sides = tile["width"], tile["height"]
    if min(sides) < 0 or not cell > 0 or sum(sides) > cell * _MAX_SAMPLES:
        raise BadRequest(
            f"tile {name!r}: no box can be derived of {sides[0]:g} x {sides[1]:g} px and"
            f" meshCellSize {cell:g} px: sizes of at least 0, at most {_MAX_SAMPLES} cells"
        )


# ---------------------------------------------------------------------------------------------
# normalisation for matching
# ---------------------------------------------------------------------------------------------


def matching_leaves(leaves: Sequence[Json]) -> list[Json]:
    """Return the transforms of the matching frame.

    With labels "lens": up to the last one so labelled. Otherwise without the last one, and at
    most two.
    """
    lenses = [i for i, leaf in enumerate(leaves) if "lens" in _labels(leaf)]
    if lenses:
        return list(leaves[: lenses[-1] + 1])
    return list(leaves[:-1][:2])


def excluded_leaves(
    leaves: Sequence[Json],
    *,
    after_last: Sequence[str],
    first_and_after: Sequence[str],
    exclude_all: bool,
) -> list[Json]:
    """Drop transforms by label, or all of them."""
    if exclude_all:
        return []
    kept = list(leaves)
    labelled = _positions(kept, after_last)
    if labelled:
        kept = kept[: labelled[-1] + 1]
    labelled = _positions(kept, first_and_after)
    return kept[: labelled[0]] if labelled else kept


def _positions(leaves: Sequence[Json], labels: Sequence[str]) -> list[int]:
    wanted = set(labels)
    return [i for i, leaf in enumerate(leaves) if wanted & set(_labels(leaf))]


def check_references(what: str, spec: Json, shared: Mapping[str, Any]) -> None:
    """Refuse references that are not all in `shared`, the transforms of the same request."""
    lost = sorted(set(references(spec)) - shared.keys())
    if lost:
        raise BadRequest(
            f"{what} requires the following transform ids {lost}, which the request does not hold"
        )

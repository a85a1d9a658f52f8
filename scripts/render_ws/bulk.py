"""Tile specs of the plain form, read, checked and written out in one go.

Nearly every spec a client saves has only the fields below, each of its own type. Such a request is
decoded straight into these classes by msgspec, much faster than by `model`, which remains the
definition: whatever is of another form makes `prepare` decline, and `model` reads it or says what
is wrong with it. Field names and their order are those of the reference's classes.
"""
# ruff: noqa: N815 - field names of the wire form

from __future__ import annotations

from typing import Annotated

import msgspec
import orjson
from msgspec import UNSET, Meta, Struct, UnsetType, field

from scripts.render_ws import tiles
from scripts.render_ws.model import MESH_CELL_SIZE, Json
from scripts.render_ws.tiles import Row

_Int = Annotated[int, Meta(ge=-(2**31), lt=2**31)]


class _Plain(Struct, omit_defaults=True):
    """Absent and null fields are None and left out again."""


class _Image(_Plain):
    imageUrl: str | None = None
    imageLoaderType: str | None = None
    imageSliceNumber: _Int | None = None
    maskUrl: str | None = None
    maskLoaderType: str | None = None
    maskSliceNumber: _Int | None = None


class _Levels(_Plain, forbid_unknown_fields=True):
    level: _Image = field(name="0")


class _Layout(_Plain):
    sectionId: str | None = None
    temca: str | None = None
    camera: str | None = None
    imageRow: _Int | None = None
    imageCol: _Int | None = None
    stageX: float | None = None
    stageY: float | None = None
    rotation: float | None = None
    pixelsize: float | None = None
    distanceZ: float | None = None


class _Leaf(_Plain, tag_field="type", tag="leaf"):
    id: str | None = None
    metaData: None = None
    className: str | None = None
    dataString: str | None = None


class _Ref(_Plain, tag_field="type", tag="ref"):
    id: str | None = None
    metaData: None = None
    refId: str | None = None


class _List(_Plain, tag_field="type", tag="list"):
    specList: list[_Leaf | _Ref]
    id: None = None
    metaData: None = None


class _Tile(_Plain, kw_only=True):
    tileId: str
    layout: _Layout | None = None
    groupId: str | None = None
    z: float | None = None
    minX: float
    minY: float
    maxX: float
    maxY: float
    width: float | None = None
    height: float | None = None
    minIntensity: float | None = None
    maxIntensity: float | None = None
    mipmapLevels: _Levels
    channels: None = None
    mipmapPathBuilder: None = None
    transforms: _List
    meshCellSize: float | None = None
    labels: list[str] | None = None
    filterSpec: None = None


class _Collection(Struct):
    tileIdToSpecMap: dict[str, _Tile]
    transformIdToSpecMap: dict[str, Json] | UnsetType = UNSET


_decoder = msgspec.json.Decoder(_Collection)
_encoder = msgspec.json.Encoder()


def prepare(data: bytes, z: float | None) -> tuple[list[Row], list[Row]] | None:
    """Do as `tiles.prepare` does, for a request of plain tile specs with boxes; None for others.

    Raises
    ------
    BadRequest
        When a shared transform cannot be read.
    """
    try:
        request = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    given = request.tileIdToSpecMap.values()
    shared = tiles.read_shared(request.transformIdToSpecMap or {})
    rows = [_row(tile, shared, z) for tile in given]
    if not rows or None in rows:
        return None
    return [row for row in rows if row], tiles.shared_rows(shared)


def _row(tile: _Tile, shared: dict[str, Json], z: float | None) -> Row | None:
    refs = {s.refId or "" for s in tile.transforms.specList if type(s) is _Ref}
    if not refs <= shared.keys() or (z is not None and tile.z != z):
        return None  # to be refused in words
    if tile.labels and len(set(tile.labels)) < len(tile.labels):
        return None
    if tile.meshCellSize is None:
        tile.meshCellSize = MESH_CELL_SIZE
    return (
        tile.tileId,
        tile.z,
        tile.layout.sectionId if tile.layout else None,
        tile.groupId,
        tile.minX,
        tile.minY,
        tile.maxX,
        tile.maxY,
        orjson.dumps(sorted(refs)).decode() if refs else None,
        None,
        _encoder.encode(tile),
    )

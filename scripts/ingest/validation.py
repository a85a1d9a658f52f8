"""What must hold before a stack is published: every problem of the volume, all at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from scripts.ingest.align import Layer, Tile
from scripts.ingest.specs import Settings, tile_id
from scripts.lib import transforms
from scripts.lib.job import UserError

_MOST_NAMED = 50


def check(
    layers: Sequence[Layer],
    *,
    settings: Settings,
    rows: int,
    columns: int,
    unreadable: Sequence[str] = (),
) -> None:
    """Check all layers against the grid, the layer table and the settings.

    Raises
    ------
    UserError
        With one line per problem: unreadable files, undeclared holes, shapes that differ from the
        header, tiles of another layer, repeated tile ids, implausible sizes, masks that hide all.
    """
    problems = [*_settings(settings), *unreadable]
    problems += [p for layer in layers for p in _layer(layer, settings, rows, columns)]
    problems += _repeated(layers)
    if not problems and not any(layer.tiles for layer in layers):
        problems = ["no layer has a readable tile"]
    if not problems:
        return
    rest = len(problems) - _MOST_NAMED
    shown = problems[:_MOST_NAMED] + ([f"and {rest} more"] if rest > 0 else [])
    raise UserError(
        "\n  ".join([f"v1_acquire is not published: {len(problems)} problem(s):", *shown])
    )


def _settings(settings: Settings) -> Iterator[str]:
    if settings.correction is None:
        return
    try:
        transforms.parse(settings.correction.class_name, settings.correction.data)
    except ValueError as error:
        yield f"ingest.scan_correction: {error}"


def _layer(layer: Layer, settings: Settings, rows: int, columns: int) -> Iterator[str]:
    where = f"z {layer.z} ({layer.name.layer_id})"
    if layer.tiles:
        yield from _holes(layer, where, rows, columns)
    for key, tile in layer.tiles.items():
        yield from (f"{where} tile {key}: {text}" for text in _tile(layer, tile, settings))


def _holes(layer: Layer, where: str, rows: int, columns: int) -> Iterator[str]:
    declared = {tuple(int(v) for v in key.split("-")[1:]) for key in layer.missing}
    wanted = {(r, c) for r in range(rows) for c in range(columns)} - declared
    found = {tile.cell for tile in layer.tiles.values()}
    for row, column in sorted(wanted - found):
        yield f"{where}: row {row}, column {column} has no tile and is not declared missing"
    for row, column in sorted(found - wanted):
        yield (
            f"{where}: row {row}, column {column} has a tile, but is declared missing or lies "
            f"outside of acquisition.rows and columns"
        )


def _tile(layer: Layer, tile: Tile, settings: Settings) -> Iterator[str]:
    if tile.name.layer != layer.name:
        yield f"{layer.path} holds a tile of layer {tile.name.layer.layer_id}"
    if tile.shape != (1, tile.height, tile.width):
        yield (
            f"{layer.path}: the header expects mipmap.0 of shape "
            f"{(1, tile.height, tile.width)}, found {tile.shape}"
        )
    size = tile.fields.get("PixelSize", math.nan)
    if "FirstX" not in tile.fields and not size > 0:
        yield f"PixelSize is {size} nm: expected above 0, to place a tile without FirstX"
    if (settings.mask_left_px or 0) >= tile.width or (settings.mask_top_px or 0) >= tile.height:
        yield (
            f"ingest.mask (left {settings.mask_left_px} px, top {settings.mask_top_px} px) hides "
            f"all of an image of {tile.width} x {tile.height} px"
        )


def _repeated(layers: Sequence[Layer]) -> list[str]:
    counts = Counter(tile_id(layer, tile) for layer in layers for tile in layer.tiles.values())
    z_counts = Counter(layer.z for layer in layers)
    return [f"tile id {name} occurs {n} times" for name, n in counts.items() if n > 1] + [
        f"z {z} occurs {n} times in the layer table" for z, n in z_counts.items() if n > 1
    ]

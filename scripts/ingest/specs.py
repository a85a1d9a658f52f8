"""Tile specs of stack v1_acquire from the headers of the align HDF5 files (`h5_to_render`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.ingest import restarts
from scripts.ingest.align import Layer, Tile
from scripts.lib.geometry import TileId, section_id
from scripts.lib.records import Leaf, Ref, Spec, TileSet, TileSpec
from scripts.lib.transforms import AFFINE

CORRECTION = "FIBSEM_correct"
STAGE_MARGIN_PX = 400  # of tiles that are placed by the computed grid
# the part of an image URL that names the level is replaced by readers
MIPMAP_PATTERN = r"(.*dataSet=.*mipmap\.)\d+(.*)"


@dataclass(frozen=True)
class Settings:
    """How tiles are placed and masked."""

    correction: Leaf | None = None  # shared scan correction
    mask_left_px: int | None = None
    mask_top_px: int | None = None
    tile_overlap_um: float = 2.0  # for headers without FirstX and FirstY (before version 9)

    @staticmethod
    def of(ingest: Mapping[str, Any]) -> Settings:
        """Read section `ingest` of the config."""
        correction = ingest["scan_correction"]
        leaf = correction and Leaf(correction["class_name"], correction["data"], CORRECTION)
        mask = ingest["mask"]
        return Settings(leaf, mask["left_px"], mask["top_px"], ingest["tile_overlap_um"])


def resolution_nm(acquisition: Mapping[str, Any]) -> tuple[float, float, float]:
    """Give the size of a voxel x, y, z in nm from section `acquisition` of the config."""
    return acquisition["pixel_nm"], acquisition["pixel_nm"], acquisition["z_nm"]


def tile_id(layer: Layer, tile: Tile) -> TileId:
    """``<yy-mm-dd_HHMMSS>_<section>-<row>-<column>.<z>.0``."""
    return TileId(f"{layer.name.stamp}_{tile.name.tile_key}.{section_id(layer.z)}")


def stage_position(tile: Tile, settings: Settings) -> tuple[int, int]:
    """Position x, y (px) of a tile: FirstX and FirstY, or by grid and overlap for old headers."""
    if "FirstX" in tile.fields and "FirstY" in tile.fields:
        return int(tile.fields["FirstX"]), int(tile.fields["FirstY"])
    overlap_px = settings.tile_overlap_um * 1000 / tile.fields["PixelSize"]
    row, column = tile.cell
    return (
        STAGE_MARGIN_PX + round(column * (tile.width - overlap_px)),
        STAGE_MARGIN_PX + round(row * (tile.height - overlap_px)),
    )


def image_url(path: str | Path, key: str) -> str:
    """Give the URL of level 0 of a tile; the path is made absolute, nothing is quoted."""
    return f"file://{Path(path).absolute()}?dataSet=/{key}/mipmap.0&z=0"


def mask_url(tile: Tile, settings: Settings) -> str | None:
    """Give the URL of the mask that hides the left and top strips of a tile; None without mask."""
    left, top = settings.mask_left_px, settings.mask_top_px
    if left is None and top is None:
        return None
    w, h = tile.width, tile.height
    return (
        f"mask://outside-box?minX={left or 0}&minY={top or 0}"
        f"&maxX={w}&maxY={h}&width={w}&height={h}"
    )


def distance_z_nm(tile: Tile, before: Layer | None) -> float | None:
    """Change of the working distance (nm) since the tile of the same cell one layer before."""
    if before is None:
        return None
    prior = next((t for t in before.tiles.values() if t.cell == tile.cell), None)
    if prior is None or "WD" not in tile.fields or "WD" not in prior.fields:
        return None
    return float((tile.fields["WD"] - prior.fields["WD"]) * 1e6)  # mm


def tile_set(layers: Sequence[Layer], found: Mapping[int, str], settings: Settings) -> TileSet:
    """Give the tile specs of all layers; `found` is z -> reason of the restarts."""
    by_z = {layer.z: layer for layer in layers}
    grouped = restarts.groups(layers, found)
    tiles = tuple(
        _spec(
            layer,
            tile,
            settings,
            before=by_z.get(layer.z - 1),
            group=restarts.GROUP if layer.z in grouped else None,
            labels=(restarts.GROUP, found[layer.z]) if layer.z in found else (),
        )
        for layer in layers
        for tile in layer.tiles.values()
    )
    shared = {CORRECTION: settings.correction} if settings.correction else {}
    return TileSet(tiles, shared).with_bounds()


def _spec(
    layer: Layer,
    tile: Tile,
    settings: Settings,
    *,
    before: Layer | None,
    group: str | None,
    labels: tuple[str, ...],
) -> TileSpec:
    x, y = stage_position(tile, settings)
    first: tuple[Spec, ...] = (Ref(CORRECTION),) if settings.correction else ()
    mask = mask_url(tile, settings)
    distance = tile.fields.get("WD")
    return TileSpec(
        tile_id=tile_id(layer, tile),
        z=float(layer.z),
        width=tile.width,
        height=tile.height,
        image_url=image_url(layer.path, tile.name.tile_key),
        transforms=(*first, Leaf(AFFINE, f"1 0 0 1 {x} {y}")),
        mask_url=mask,
        mask_loader="DYNAMIC_MASK" if mask else None,
        row=tile.name.row,
        column=tile.name.column,
        stage_x=x,
        stage_y=y,
        distance_z_nm=distance_z_nm(tile, before),
        group_id=group,
        labels=labels,
        extra={} if distance is None else {"layout": {"workingDistance": distance}},
    )


def mipmap_builder(layers: Sequence[Layer]) -> dict[str, Any] | None:
    """Give the rule for mipmap URLs, up to the level that every file has; None without levels."""
    levels = min((tile.levels for layer in layers for tile in layer.tiles.values()), default=0)
    if levels == 0:
        return None
    return {
        "rootPath": "not_applicable",
        "numberOfLevels": levels,
        "extension": "tif",
        "imageMipmapPatternString": MIPMAP_PATTERN,
    }

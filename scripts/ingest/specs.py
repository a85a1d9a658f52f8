"""Tile specs of stack v1_acquire from the cached headers (`h5_to_render`)."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.ingest import restarts
from scripts.ingest.align import tile_keys
from scripts.ingest.headers import Part, Prior, parts, with_prior
from scripts.ingest.positions import placed, sources
from scripts.ingest.settings import STRIPS, Mask, Settings, mask_of
from scripts.lib import transforms
from scripts.lib.arrays import Array, Int64
from scripts.lib.files import digest, file_url, read_table
from scripts.lib.geometry import Bounds, TileId, tile_extent
from scripts.lib.service.records import Leaf, Ref, Spec, TileSet, TileSpec
from scripts.lib.transforms import AFFINE

SAME_PIXEL = 1e-5  # relative: sizes so near are one size, written in 32 or 64 bits
# the part of an image URL that names the level is replaced by readers
MIPMAP_PATTERN = r"(.*dataSet=.*mipmap\.)\d+(.*)"


def folder_digest() -> str:
    """Return a digest of the working directory, which is part of image URLs but of no output.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    return digest(file_url(Path.cwd()).removeprefix("file://"))[:16]


def tile_ids(part: Part) -> list[str]:
    """Return the ids of tiles.

    Parameters
    ----------
    part
        The tiles of a day.

    Returns
    -------
    list of str
        ``<yy-mm-dd_HHMMSS>_<section>-<row>-<column>.<z>.0``, in their order.
    """
    names = zip(part.layer.tolist(), tile_keys(part.tiles), part.z.tolist(), strict=True)
    return [f"{part.stamps[layer]}_{key}.{z}.0" for layer, key, z in names]


def volume_pixel_nm(volume: Iterator[Part], pixel_nm: float) -> float:
    """Return the pixel size that tiles of scale 1 have.

    Of those in the headers it is the one nearest to the config's, which may be rounded: no image is
    resampled for the sake of a third digit.

    Parameters
    ----------
    volume
        All tiles.
    pixel_nm
        ``acquisition.pixel_nm``.

    Returns
    -------
    float
        nm.
    """
    sizes = [np.unique(part.tiles["pixel_nm"]) for part in volume]
    found = np.concatenate([np.zeros(0), *sizes])
    return float(found[np.argmin(np.abs(found - pixel_nm))]) if len(found) else pixel_nm


def scales(tiles: NDArray[np.void], pixel_nm: float) -> Array:
    """Return how large the pixels of tiles are beside those of the volume.

    Parameters
    ----------
    tiles
        (n,) of dtype `align.TILE`.
    pixel_nm
        Of `volume_pixel_nm`.

    Returns
    -------
    Array
        (n,) ratios, exactly 1 where the size is the same.
    """
    ratio = np.round(tiles["pixel_nm"].astype(float) / pixel_nm, 9)
    return np.where(np.abs(ratio - 1) < SAME_PIXEL, 1.0, ratio)


@functools.cache
def mask_url(
    width: int, height: int, left_px: int, top_px: int, right_px: int = 0, bottom_px: int = 0
) -> str:
    """Return the URL of the mask that hides strips at the edges of a tile.

    Parameters
    ----------
    width, height
        Size of the tile, px.
    left_px, top_px, right_px, bottom_px
        Widths of the strips.

    Returns
    -------
    str
        ``mask://outside-box?minX=…``, which render draws without a file.
    """
    box = f"minX={left_px}&minY={top_px}&maxX={width - right_px}&maxY={height - bottom_px}"
    return f"mask://outside-box?{box}&width={width}&height={height}"


def distances_z_nm(part: Part, prior: Prior) -> list[float | None]:
    """Return the change of the working distance since the tile of the same cell one layer before.

    Parameters
    ----------
    part
        The tiles of a day.
    prior
        The tiles of the same cells before.

    Returns
    -------
    list of float or None
        nm; None without such a tile, or without working distance.
    """
    change = (part.tiles["wd_mm"] - prior.tiles["wd_mm"]) * 1e6
    known = (prior.z > 0) & (prior.z == part.z - 1) & np.isfinite(change)
    return [v if k else None for v, k in zip(change.tolist(), known.tolist(), strict=True)]


def bounds(part: Part, at: Int64, scale: Array, settings: Settings) -> list[Bounds]:
    """Return the bounding box of every tile at its position, as `TileSet.with_bounds` derives it.

    Parameters
    ----------
    part
        The tiles of a day.
    at
        (n, 2) stage positions, px of the tile.
    scale
        (n,) of `scales`.
    settings
        The scan corrections.

    Returns
    -------
    list of Bounds
        x0, y0, x1, y1 in world px.
    """
    sizes = np.column_stack([part.tiles["width"], part.tiles["height"], part.z])
    for index, each in enumerate(settings.corrections):  # z -> the correction of that layer
        inside = (part.z >= each.z_first) & (part.z <= each.z_last)
        sizes[inside, 2] = -1 - index
    sizes[sizes[:, 2] >= 0, 2] = 0
    kinds, kind = np.unique(sizes, axis=0, return_inverse=True)
    extents = np.array([_extent(w, h, c, settings) for w, h, c in kinds.tolist()])[kind.ravel()]
    low, high = (scale[:, None] * (side + at) for side in (extents[:, :2], extents[:, 2:]))
    start = np.trunc(low)
    return [tuple(box) for box in np.hstack([start, start + np.ceil(high - low)]).tolist()]


def _extent(width: int, height: int, correction: int, settings: Settings) -> Bounds:
    if correction == 0:
        return tile_extent(width, height, lambda xy: xy)
    leaf = settings.corrections[-1 - correction].leaf
    return tile_extent(width, height, transforms.parse(leaf.class_name, leaf.data).apply)


@dataclass(frozen=True)
class Acquired:
    """All tiles of the volume as tile specs, made batch by batch (a `TileSource`).

    ``volume`` gives the tiles anew at each call, ``rows`` is the layer table, ``found`` is z ->
    reason of the restarts, ``pixel_nm`` the pixel size that the config states.
    """

    volume: Callable[[], Iterator[Part]]
    rows: Sequence[Mapping[str, str]]
    found: Mapping[int, str]
    settings: Settings
    pixel_nm: float

    @staticmethod
    def of(
        layers: str | Path,
        headers: str | Path,
        found: Mapping[int, str],
        settings: Settings,
        pixel_nm: float,
    ) -> Acquired:
        """Take the tiles of a layer table from the cache that lies beside a table of headers.

        Parameters
        ----------
        layers
            ``ingest/layers.tsv``.
        headers
            ``ingest/headers.tsv``; the cache is the folder of its name without the suffix.
        found
            z -> reason of the restarts.
        settings
            Corrections and masks.
        pixel_nm
            ``acquisition.pixel_nm``.

        Returns
        -------
        Acquired
            Nothing is read but the layer table.
        """
        rows, folder = read_table(layers), Path(headers).with_suffix("")
        return Acquired(lambda: parts(rows, folder), rows, found, settings, pixel_nm)

    def ids(self) -> set[str]:
        """Return the ids of all tiles.

        Returns
        -------
        set of str
            Tile ids.
        """
        return {tile_id for part in self.volume() for tile_id in tile_ids(part)}

    def batches(self, size: int) -> Iterator[TileSet]:
        """Return all tile specs, with bounds, `size` at a time.

        Parameters
        ----------
        size
            Tiles of a batch.

        Yields
        ------
        TileSet
            With the scan corrections as shared transforms.
        """
        grouped = restarts.groups(self.rows, self.found)
        pixel_nm = volume_pixel_nm(self.volume(), self.pixel_nm)
        layers = _Layers(self.settings, self.found, grouped, pixel_nm)
        days = with_prior(self.volume())
        specs = chain.from_iterable(_specs(part, prior, layers) for part, prior in days)
        while batch := tuple(islice(specs, size)):
            yield TileSet(batch, layers.shared)


@dataclass(frozen=True)
class _Layers:
    """What the tiles of one layer have in common, looked up once per layer."""

    settings: Settings
    found: Mapping[int, str]
    grouped: set[int]
    pixel_nm: float

    @property
    def shared(self) -> dict[str, Leaf]:
        return {str(each.leaf.id): each.leaf for each in self.settings.corrections}

    def common(self, z: int) -> tuple[tuple[Spec, ...], tuple[Mask, ...], dict[str, Any]]:
        """Return the transforms before the stage, the masks, and group and labels of a layer."""
        leaf = self.settings.correction_at(z)
        first: tuple[Spec, ...] = (Ref(str(leaf.id)),) if leaf else ()
        labels = (restarts.GROUP, self.found[z]) if z in self.found else ()
        group = restarts.GROUP if z in self.grouped else None
        return first, self.settings.masks_at(z), {"group_id": group, "labels": labels}


def _specs(part: Part, prior: Prior, layers: _Layers) -> Iterator[TileSpec]:
    z_before, common = None, layers.common(0)
    at = placed(part, layers.settings)
    shown = part.tiles[sources(part, layers.settings)]  # of the images that the tiles show
    scale = scales(shown, layers.pixel_nm)
    columns = zip(
        part.z.tolist(),
        part.layer.tolist(),
        tile_ids(part),
        tile_keys(shown),
        part.tiles[["row", "column"]].tolist(),
        shown[["width", "height"]].tolist(),
        shown["wd_mm"].tolist(),
        at.tolist(),
        scale.tolist(),
        bounds(replace(part, tiles=shown), at, scale, layers.settings),
        distances_z_nm(part, prior),
        strict=True,
    )
    root = str(Path.cwd())
    for z, layer, tile_id, key, (row, column), (w, h), wd, (x, y), s, box, distance in columns:
        if z != z_before:
            z_before, common = z, layers.common(z)
            path = os.path.join(root, part.paths[layer])  # noqa: PTH118 - a tenth of the time of Path
            image = f"{file_url(path)}?dataSet=/"
        first, masks, restart = common
        mask, loader = _mask(mask_of(masks, row, column) if masks else None, w, h, root)
        yield TileSpec(
            tile_id=TileId(tile_id),
            z=float(z),
            width=w,
            height=h,
            image_url=f"{image}{key}/mipmap.0&z=0",
            transforms=(*first, _stage(x, y, s)),
            mask_url=mask,
            mask_loader=loader,
            row=row,
            column=column,
            stage_x=x,
            stage_y=y,
            distance_z_nm=distance,
            bounds=box,
            **restart,
            extra={"layout": {"workingDistance": wd}} if wd == wd else {},  # noqa: PLR0124 - not NaN
        )


def _mask(mask: Mask | None, w: int, h: int, root: str) -> tuple[str | None, str | None]:
    """Return URL and loader of a tile's mask."""
    if mask is None:
        return None, None
    if mask.image is None:
        return mask_url(w, h, *(getattr(mask, each) for each in STRIPS)), "DYNAMIC_MASK"
    if mask.picture is None:
        raise ValueError(f"ingest.mask: {mask.image} is not in the table of masks")
    return file_url(f"{root}/{mask.picture.file}"), "IMAGEJ_DEFAULT"


def _stage(x: int, y: int, scale: float) -> Leaf:
    text = f"1 0 0 1 {x} {y}" if scale == 1 else f"{scale} 0 0 {scale} {scale * x} {scale * y}"
    return Leaf(AFFINE, text)


def mipmap_builder(volume: Iterator[Part]) -> dict[str, Any] | None:
    """Return the rule for mipmap URLs, up to the level that every file has; None without levels.

    Parameters
    ----------
    volume
        All tiles.

    Returns
    -------
    dict or None
        ``mipmapPathBuilder`` of the stack version; None without levels.
    """
    levels = min((int(part.tiles["levels"].min()) for part in volume if len(part)), default=0)
    if levels == 0:
        return None
    return {
        "rootPath": "not_applicable",
        "numberOfLevels": levels,
        "extension": "tif",
        "imageMipmapPatternString": MIPMAP_PATTERN,
    }

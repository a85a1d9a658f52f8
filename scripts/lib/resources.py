"""What jobs need: the formulas of memory that the rules ask Snakemake, and it a cluster, for."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import files

VOXEL_BYTES = {"uint8": 1, "uint16": 2}
PROGRAM_MB = 500  # the interpreter with its libraries, two layers of tiles, blocks being packed
MATCH_MB = 300  # the interpreter with OpenCV, tables of pairs, a batch of matches
# bytes per px while a canvas is worked on: tests/benchmarks/test_bench_realsize, 2026-11
SIFT_BYTES = 330  # of the canvas: OpenCV doubles it and holds 15 planes of float32
FILTER_BYTES = 62  # of the level that is filtered, whatever the clip
BLOCK_BYTES = 30  # of the canvas, beside what the cache counts
LAYERS_LOOKED_AT = 20  # for one whose file is there
LARGEST_TILE_PX = (8875, 3500)  # where nothing is known yet: the largest of our microscopes


def slab_mb(export: Mapping[str, Any], dtype: str, attempt: int) -> int:
    """Return the memory of a job that renders, or reads back, one slab.

    A task's voxels, 1/7 more for lower levels, a third for review levels, four float32 planes of
    it, and the program; two planes of limits in float64 where 16 bit are shown in 8.

    Parameters
    ----------
    export
        Section ``export`` of the config.
    dtype
        ``uint8`` or ``uint16``.
    attempt
        1 at first; a job that failed gets a multiple.

    Returns
    -------
    int
        MB.
    """
    shown = 1 if dtype == "uint16" and export.get("dtype", "auto") != "auto" else 0  # in 8 bit, too
    voxels = (VOXEL_BYTES[dtype] + shown) * _depth_px(export) * (8 / 7 + export["review"] / 3)
    return int((PROGRAM_MB + _task_mpx(export) * (voxels + 16 + 16 * shown)) * attempt)


def pyramid_mb(export: Mapping[str, Any], dtype: str, attempt: int) -> int:
    """Return the memory of a job that builds, or checks, a pyramid.

    A task of level 1, the files of one depth that it is made of (four times as many voxels, twice
    while they are read), and the program.

    Parameters
    ----------
    export
        Section ``export`` of the config.
    dtype
        ``uint8`` or ``uint16``.
    attempt
        1 at first; a job that failed gets a multiple.

    Returns
    -------
    int
        MB.
    """
    task = _task_mpx(export) / 4 * _depth_px(export) * VOXEL_BYTES[dtype]
    return int((PROGRAM_MB + task * 9) * attempt)


def match_mb(
    feature_cache_mb: int,
    attempt: int,
    stage_tables: Sequence[Mapping[str, Any]],
    tile_px: tuple[int, int],
) -> int:
    """Return the memory of a job that matches pairs: the features kept, and the largest canvas.

    Parameters
    ----------
    feature_cache_mb
        Setting ``match.feature_cache_mb``.
    attempt
        1 at first; a job that failed gets a multiple.
    stage_tables
        Tables of stages, of which that for such tiles counts.
    tile_px
        Width and height of a tile.

    Returns
    -------
    int
        MB.
    """
    fitting = [t for t in stage_tables if max(tile_px) <= (t.get("max_tile_px") or math.inf)]
    table = (fitting or list(stage_tables)[-1:])[0]
    needs = [
        _stage_bytes([stage, run.get("common") or {}, table.get("common") or {}], tile_px)
        for run in table["runs"].values()
        for stage in run["stages"]
    ]
    return (feature_cache_mb + MATCH_MB + math.ceil(max(needs) / 1e6)) * attempt


def tile_px(layers: str | Path) -> tuple[int, int]:
    """Return width and height of the tiles of a volume: those of the first layer that is there.

    Parameters
    ----------
    layers
        ``ingest/layers.tsv``, beside whose folder the HDF5 of the layers are.

    Returns
    -------
    tuple of int
        `LARGEST_TILE_PX` before there are layers.
    """
    path = Path(layers)
    return _tile_px(path, path.stat().st_mtime_ns) if path.is_file() else LARGEST_TILE_PX


@functools.lru_cache(maxsize=4)
def _tile_px(layers: Path, _changed: int) -> tuple[int, int]:
    import h5py  # noqa: PLC0415 - each job reads this module, few ask

    for row in files.read_table(layers)[:LAYERS_LOOKED_AT]:
        image = layers.parent.parent / row["align_h5"]
        if row["align_h5"] and image.is_file():
            with h5py.File(image, "r") as file:
                sizes = [tile["mipmap.0"].shape[-2:] for tile in file.values()]
            return max(w for _, w in sizes), max(h for h, _ in sizes)
    return LARGEST_TILE_PX


def _stage_bytes(said: Sequence[Mapping[str, Any]], tile_px: tuple[int, int]) -> float:
    """Return what a stage needs for one canvas; `said`: the stage, what its run and table add."""

    def of(block: str, key: str, default: float) -> float:
        inner = ((each.get(block) or {}).get(key) for each in said)
        return next((float(value) for value in inner if value is not None), default)

    scale = of("featureRender", "renderScale", 1.0)
    filtered = of("featureRender", "renderWithFilter", True) * math.prod(tile_px)
    filtered /= 4.0 ** math.floor(math.log2(max(1 / scale, 1.0)))
    width, height = tile_px
    clipped = max(
        min(of("featureRenderClip", "clipWidth", width), width) * height,
        min(of("featureRenderClip", "clipHeight", height), height) * width,
    )
    dense = any(each.get("method") == "block" for each in said)
    area: float = clipped * scale * scale
    return max(area * (BLOCK_BYTES if dense else SIFT_BYTES), filtered * FILTER_BYTES)


def _task_mpx(export: Mapping[str, Any]) -> float:
    return float(export["task_px"] ** 2 / 1e6)


def _depth_px(export: Mapping[str, Any]) -> int:
    """Layers of the largest file of any target."""
    depth = int(export["block_zyx_px"][0])
    return depth * int(export["shard_blocks_zyx"][0]) if "zarr3" in export["formats"] else depth

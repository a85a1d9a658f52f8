"""What jobs need: the formulas of memory that the rules ask Snakemake, and it a cluster, for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VOXEL_BYTES = {"uint8": 1, "uint16": 2}
PROGRAM_MB = 500  # the interpreter with its libraries, two layers of tiles, blocks being packed
MATCH_MB = 400  # the interpreter with OpenCV, and tables of pairs
CANVAS_MB = 1500  # one canvas of 25 Mpx at 60 bytes


def slab_mb(export: Mapping[str, Any], dtype: str, attempt: int) -> int:
    """Return the memory of a job that renders, or reads back, one slab.

    A task's voxels, 1/7 more for lower levels, a third for review levels, four float32 planes of
    it, and the program.

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
    voxels = VOXEL_BYTES[dtype] * _depth_px(export) * (8 / 7 + export["review"] / 3)
    return int((PROGRAM_MB + _task_mpx(export) * (voxels + 16)) * attempt)


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


def match_mb(feature_cache_mb: int, attempt: int) -> int:
    """Return the memory of a job that matches pairs: the features kept, and one canvas.

    Parameters
    ----------
    feature_cache_mb
        Setting ``match.feature_cache_mb``.
    attempt
        1 at first; a job that failed gets a multiple.

    Returns
    -------
    int
        MB.
    """
    return (feature_cache_mb + MATCH_MB + CANVAS_MB) * attempt


def _task_mpx(export: Mapping[str, Any]) -> float:
    return float(export["task_px"] ** 2 / 1e6)


def _depth_px(export: Mapping[str, Any]) -> int:
    """Layers of the largest file of any target."""
    depth = int(export["block_zyx_px"][0])
    return depth * int(export["shard_blocks_zyx"][0]) if "zarr3" in export["formats"] else depth

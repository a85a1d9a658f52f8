"""Searched: what the report's search knows of every tile, small enough for 25,000 layers."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.report.gather import Evidence, Table

_STAMP = re.compile(r"\d\d-\d\d-\d\d_\d{6}")
NO_TILE, NONE = 255, 65535  # of a byte, of two
_MILLI = 1000  # px are kept in thousandths


def index(evidence: Evidence) -> dict[str, Any]:
    """Return columns over layers and cells of the grid, for `search.js`.

    Parameters
    ----------
    evidence
        What a run left.

    Returns
    -------
    dict
        ``z`` and ``stamp`` (time of the layer), ``cells``, ``states``; base64 of (layer, cell)
        arrays: ``state`` (uint8, `NO_TILE` = none), and as little-endian uint16 (`NONE` = not
        known) ``pairs``, ``residual`` and ``left`` in thousandths of a px; ``viewer``, the link
        that opens the volume. Without tiles: empty.
    """
    tiles = evidence["review"] if evidence["review"].found else evidence["solved"]
    if not len(tiles):
        return {}
    z, k = np.unique(tiles["z"], return_inverse=True)
    names = np.array([f"{r}-{c}" for r, c in zip(tiles["row"], tiles["column"], strict=True)])
    cells, c = np.unique(names, return_inverse=True)
    at = k * len(cells) + c
    size = len(z) * len(cells)
    of_tile = dict(zip(tiles["tile_id"].tolist(), at.tolist(), strict=True))
    states = tiles["state"] if "state" in tiles.columns else np.full(len(tiles), "ok")
    known, state = np.unique(states.astype(str), return_inverse=True)
    out = {
        "z": z.tolist(),
        "stamp": _stamps(tiles, k, len(z)),
        "cells": cells.tolist(),
        "states": [name.replace("_", " ") for name in known.tolist()],
        "state": _text(_spread(size, at, state, NO_TILE, np.uint8)),
    }
    if evidence.exported:
        out["viewer"] = evidence.exported[0]["neuroglancer"]["link"]
    solved = evidence["solved"]
    if solved.found:
        own = np.array([of_tile.get(name, -1) for name in solved["tile_id"].tolist()], int)
        there = own >= 0
        for name, values in (
            ("residual", solved["rms_px"] * _MILLI),
            ("pairs", solved["pairs"].astype(float)),
        ):
            out[name] = _text(_spread(size, own[there], values[there], NONE, np.dtype("<u2")))
    if evidence["misalignment"].found:
        out["left"] = _text(_left(evidence["misalignment"], of_tile, size))
    return out


def _stamps(tiles: Table, k: NDArray[Any], count: int) -> list[str]:
    """Return the time stamp of each layer; a patched tile has that of its source, so the first."""
    stamps = [""] * count
    for name, layer in zip(tiles["tile_id"].tolist(), k.tolist(), strict=True):
        found = _STAMP.search(name)
        if found and ".patch" not in name and not stamps[layer]:
            stamps[layer] = found[0]
    return stamps


def _spread(
    size: int,
    at: NDArray[Any],
    values: NDArray[Any],
    none: int,
    kind: Any,  # noqa: ANN401 - a dtype
) -> NDArray[Any]:
    """Put values at their places; those that are not finite are not known."""
    out = np.full(size, none, kind)
    finite = np.isfinite(np.asarray(values, float))
    out[at[finite]] = np.clip(np.rint(np.asarray(values, float)[finite]), 0, none - 1)
    return out


def _left(table: Table, of_tile: Mapping[str, int], size: int) -> NDArray[Any]:
    """Return the worst place of each tile, in thousandths of a px."""
    worst = np.full(size, -1.0)
    known = (table["used"] >= 3) & (4 * table["used"] >= table["tried"]) & np.isfinite(table["px"])
    for name in ("p_id", "q_id"):
        at = np.array([of_tile.get(one, -1) for one in table[name].tolist()], int)
        use = known & (at >= 0)
        np.maximum.at(worst, at[use], table["px"][use] * _MILLI)
    return _spread(size, np.flatnonzero(worst >= 0), worst[worst >= 0], NONE, np.dtype("<u2"))


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()

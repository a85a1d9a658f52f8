"""Overlays: two matched tiles, one over the other where they overlap after the alignment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib.arrays import Bytes
from scripts.lib.drawing import boxes, compose
from scripts.lib.drawing.compose import Picture
from scripts.lib.geometry import Box
from scripts.lib.pages import pictures
from scripts.lib.pages.pictures import Shown
from scripts.lib.service.records import TileSet

SIDE_PX = 480  # of a picture, and at most of the tile's own pixels that it shows
SMALL_PX = 300  # of a picture of the report
NO_DATA = 30  # grey level


@dataclass(frozen=True)
class Overlay:
    """A picture of the page, (h, w, 3) colors, and what it shows."""

    title: str
    caption: str
    colors: Bytes
    whole: bool = False  # all of it is of interest; else its single pixels are

    def shown(self) -> Shown:
        """Return it as a picture of the page of the solve, every pixel as it is.

        Returns
        -------
        Shown
            With the size of `colors`.
        """
        return pictures.shown(self.colors, self.title, self.caption, pixelated=True)

    def small(self) -> dict[str, Any]:
        """Return it as a picture of the report: whole ones smaller, of others the middle.

        Returns
        -------
        dict
            JSON of a JPEG, at most `SMALL_PX` wide and high.
        """
        colors = pictures.shrink(self.colors, SMALL_PX)
        if not self.whole:
            top, left = (max(0, (n - SMALL_PX) // 2) for n in self.colors.shape[:2])
            colors = self.colors[top : top + SMALL_PX, left : left + SMALL_PX]
        return pictures.shown(colors, self.title, self.caption, form="JPEG").to_json()


def draw(tiles: TileSet, rows: Iterable[Mapping[str, str]]) -> list[Overlay]:
    """Draw the pairs of some rows of ``solve/worst_pairs.tsv`` that overlap.

    Parameters
    ----------
    tiles
        Aligned tiles.
    rows
        Tile ids, z, dz and figures of pairs; pairs that do not overlap are passed over.

    Returns
    -------
    list of Overlay
        At full scale, at most `SIDE_PX` wide and high.
    """
    placed = {str(one.tile.tile_id): one for one in compose.place(tiles.with_bounds())}
    out = []
    for row in rows:
        p, q = placed[row["p_id"]], placed[row["q_id"]]
        box = common(p.tile.box, q.tile.box)
        if box is None:
            continue
        # one pixel for one: misalignment is a matter of single pixels
        one, other = (compose.render([tile], boxes.whole(box, 1.0), scale=1.0) for tile in (p, q))
        out.append(Overlay(_title(row), _caption(row), over(one, other)))
    return out


def draw_layers(tiles: TileSet, worst: Iterable[Mapping[str, Any]]) -> list[Overlay]:
    """Draw each of the `worst` layers (``z``, ``rms_px``) over the next one of `tiles`, whole.

    Parameters
    ----------
    tiles
        Aligned tiles.
    worst
        Rows with ``z`` and ``rms_px``; the last layer, and layers without tiles, are passed over.

    Returns
    -------
    list of Overlay
        At most `SIDE_PX` wide and high.
    """
    layers = compose.place_layers(tiles.with_bounds())
    known = sorted(layers)
    out = []
    for row in worst:
        z = round(row["z"])
        if z not in layers or z == known[-1]:
            continue
        after = known[known.index(z) + 1]
        box = Box.around(one.tile.box for one in (*layers[z], *layers[after]))
        scale = boxes.fit_scale(box, SIDE_PX)
        box = boxes.whole(box, scale)
        one, other = (compose.render(layers[k], box, scale=scale) for k in (z, after))
        caption = f"layer {z} (magenta), {after} (green): {row['rms_px']:.2f} px"
        out.append(Overlay(f"layer {z}, whole", caption, over(one, other), whole=True))
    return out


def common(a: Box, b: Box) -> Box | None:
    """Return the middle of the part two boxes share, at most `SIDE_PX` wide and high.

    Parameters
    ----------
    a, b
        World px.

    Returns
    -------
    Box or None
        World px; None where they share less than 2 px.
    """
    x0, y0, x1, y1 = max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    w, h = min(x1 - x0, SIDE_PX) / 2, min(y1 - y0, SIDE_PX) / 2
    return Box(x - w, y - h, x + w, y + h)


def over(one: Picture, other: Picture) -> Bytes:
    """Return (h, w, 3) colors: the first in magenta, the second in green, grey where they agree.

    Parameters
    ----------
    one, other
        Pictures of one size.

    Returns
    -------
    Bytes
        uint8 RGB, stretched between percentiles 1 and 99 of each; `NO_DATA` where masked.
    """
    a, b = _levels(one), _levels(other)
    return np.stack([a, b, a], axis=2)


def _levels(picture: Picture) -> Bytes:
    values = picture.pixels[picture.mask]
    if not values.size:
        return np.full(picture.mask.shape, NO_DATA, np.uint8)
    levels = pictures.grey(picture.pixels, *pictures.limits([values], 1, 99))
    return np.where(picture.mask, levels, np.uint8(NO_DATA))


def _title(row: Mapping[str, str]) -> str:
    where = "layer" if row["dz"] == "0" else "layers"
    z = row["p_z"] if row["dz"] == "0" else f"{row['p_z']} and {row['q_z']}"
    return f"{where} {z}"


def _caption(row: Mapping[str, str]) -> str:
    judged = "wrong: left out" if row["wrong"] == "1" else f"weight {float(row['weight']):.2f}"
    return (
        f"{row['p_id']} (magenta), {row['q_id']} (green): {float(row['rms_px']):.2f} px, typical"
        f" {float(row['typical_px']):.2f} px, {judged}"
    )

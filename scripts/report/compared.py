"""Compared: the same places before and after, in x y, x z and y z, with a slider between them.

Two places are shown: where most misalignment is left, and one where as much is left as is typical.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib.arrays import Bytes
from scripts.lib.drawing import boxes
from scripts.lib.drawing.compose import Picture
from scripts.lib.geometry import Box
from scripts.lib.pages import pictures as shapes
from scripts.lib.pages.page import Beside, Compared, Part, Pictures, Text
from scripts.lib.pages.pictures import Shown
from scripts.lib.volumes.multiscale import Level
from scripts.report import meeting, pictures
from scripts.report.album import Names, Stacks
from scripts.report.gather import Evidence

SIDE_PX = 400  # of a picture, specimen px
HALF_LAYERS = 60  # above and below the place
FORM = "WEBP"  # a third of a PNG of noise, and it can be transparent
PLANES = {
    "xy": "x to the right, y down",
    "xz": "x to the right, z down",
    "yz": "y to the right, z down",
}


@dataclass(frozen=True)
class Spot:
    """A place of the aligned stack, px, and how far its tile was moved from the stage."""

    title: str
    caption: str
    z: int
    x: float
    y: float
    tile_id: str
    moved: tuple[float, float]


@dataclass(frozen=True)
class Planes:
    """Three planes through a place; z down."""

    xy: Picture
    xz: Picture
    yz: Picture


def spots(evidence: Evidence) -> list[Spot]:
    """Choose the places: the worst, and a typical one.

    Parameters
    ----------
    evidence
        What a run left.

    Returns
    -------
    list of Spot
        None where nothing was measured.
    """
    table = meeting.known(evidence["misalignment"])
    if not len(table):
        return []
    order = np.argsort(meeting.sure(table), kind="stable")  # the last: `meeting.certain`
    chosen = {"The worst place": order[-1], "A typical place": order[len(order) // 2]}
    solved = evidence["solved"]
    moved = dict(
        zip(
            solved["tile_id"].tolist(),
            zip(solved["dx_px"].tolist(), solved["dy_px"].tolist(), strict=True),
            strict=True,
        )
    )
    pixel_nm, out = meeting.pixel_nm(evidence.documents["misalignment"]), []
    for title, k in chosen.items():
        row = table.where(np.arange(len(table)) == k).rows()[0]
        nm = row["px"] * pixel_nm if pixel_nm else None
        left = meeting.with_error(row["px"], row["error_px"], nm)
        caption = f"Tiles {row['p_id']} and {row['q_id']} lie {left} beside each other"
        shift = moved.get(row["p_id"], (0.0, 0.0))
        out.append(Spot(title, caption, row["z"], row["x"], row["y"], row["p_id"], shift))
    return out


def draw(
    service: Stacks,
    names: Names,
    evidence: Evidence,
    volume: tuple[Level, Sequence[float]] | None,
) -> list[Part]:
    """Draw the places.

    Parameters
    ----------
    service
        Gives tiles.
    names
        Of stacks.
    evidence
        What a run left.
    volume
        Full resolution of the export and its origin z, y, x in px; None before the export.

    Returns
    -------
    list of Part
        For each place a line, the planes with sliders, and those of the volume.
    """
    z = [int(value) for value in service.z_values(names.align)]
    parts: list[Part] = []
    for spot in spots(evidence):
        near = [value for value in z if abs(value - spot.z) <= HALF_LAYERS]
        sides = [
            cut(_tiles(service, stack), near, _box(spot.x - dx, spot.y - dy), spot.z)
            for stack, (dx, dy) in ((names.acquire, spot.moved), (names.align, (0.0, 0.0)))
        ]
        parts.append(
            Text(f"{spot.title}: z {spot.z}, x {spot.x:.0f}, y {spot.y:.0f}. {spot.caption}.")
        )
        parts.append(Beside(_sliders(spot, sides, names.z_per_px)))
        if volume is not None:
            parts.append(Pictures(_exported(service, names, evidence, spot, volume)))
    return parts


def _tiles(service: Stacks, stack: str) -> Callable[[int], Any]:
    return lambda z: service.tiles(stack, z, z)


def _box(x: float, y: float) -> Box:
    return boxes.of_pixels(round(x - SIDE_PX / 2), round(y - SIDE_PX / 2), SIDE_PX, SIDE_PX, 1.0)


def cut(layers: Callable[[int], Any], z: Sequence[int], box: Box, middle: int) -> Planes:
    """Cut a small block of a stack; every layer is rendered once.

    Parameters
    ----------
    layers
        Gives the tiles of a layer.
    z
        Layers, from the top of the pictures down.
    box
        Extent of the block in x and y, world px.
    middle
        Layer of the plane x y.

    Returns
    -------
    Planes
        Through the middle of the box.
    """
    xz, yz, xy = [], [], None
    for k in z:
        picture = pictures.layer(layers(k), box, scale=1.0)
        row, column = picture.pixels.shape[0] // 2, picture.pixels.shape[1] // 2
        xz.append((picture.pixels[row], picture.mask[row]))
        yz.append((picture.pixels[:, column], picture.mask[:, column]))
        xy = picture if k == middle or xy is None else xy
    return Planes(xy or _stacked([]), _stacked(xz), _stacked(yz))


def _stacked(lines: Iterable[tuple[Any, Any]]) -> Picture:
    pixels, masks = zip(*lines, strict=True) if lines else ((np.zeros(1),), (np.zeros(1, bool),))
    return Picture(np.stack(pixels), np.stack(masks))


def _sliders(spot: Spot, sides: Sequence[Planes], z_per_px: float) -> list[Compared]:
    out = []
    for plane, axes in PLANES.items():
        both = [getattr(side, plane) for side in sides]
        limits = pictures.contrast(both)
        shown = [
            _shown(pictures.stretched(one, *limits), plane, z_per_px, f"{spot.title}, {axes}.")
            for one in both
        ]
        out.append(Compared(shown[0], shown[1]))
    return out


def _shown(
    picture: Bytes, plane: str, z_per_px: float, caption: str, at_px: int | None = None
) -> Shown:
    if plane != "xy":
        picture, said = pictures.enlarged(pictures.tall(picture, z_per_px), at_px)
        caption += said
    return shapes.shown(picture, plane, caption, form=FORM)


def _exported(
    service: Stacks,
    names: Names,
    evidence: Evidence,
    spot: Spot,
    volume: tuple[Level, Sequence[float]],
) -> list[Shown]:
    """Cut the exported volume at the place, with the corrected z; nothing where it lies outside."""
    level, origin = volume
    dx, dy = _later(service, names, spot)
    z = evidence.z_coords.get(spot.z, spot.z)
    at = [round(v - o) for v, o in zip((z, spot.y + dy, spot.x + dx), origin, strict=True)]
    if not all(0 <= v < n for v, n in zip(at, level.shape_zyx, strict=True)):
        return []
    reach = (HALF_LAYERS, SIDE_PX // 2, SIDE_PX // 2)
    part = [
        slice(max(0, v - r), min(n, v + r))
        for v, r, n in zip(at, reach, level.shape_zyx, strict=True)
    ]
    one = [slice(v, v + 1) for v in at]
    planes: Mapping[str, Any] = {
        "xz": level.read((part[0], one[1], part[2]))[:, 0],
        "yz": level.read((part[0], part[1], one[2]))[:, :, 0],
    }
    drawn = {name: pictures.plane(values) for name, values in planes.items()}
    limits = pictures.contrast(drawn.values())
    caption = f"{spot.title} in the exported volume, z corrected."
    columns = {"xz": at[2] - part[2].start, "yz": at[1] - part[1].start}
    return [
        _shown(pictures.stretched(each, *limits), name, names.z_per_px, caption, columns[name])
        for name, each in drawn.items()
    ]


def _later(service: Stacks, names: Names, spot: Spot) -> tuple[float, float]:
    """Return how far the corrections after the solve moved the tile of a place."""
    corners = []
    for stack in (names.align, names.final):
        tiles = service.tiles(stack, spot.z, spot.z).with_bounds().tiles
        corners += [(t.box.x0, t.box.y0) for t in tiles if t.tile_id == spot.tile_id]
    if len(corners) < 2:
        return 0.0, 0.0
    (x0, y0), (x1, y1) = corners
    return x1 - x0, y1 - y0

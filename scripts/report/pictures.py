"""What the report shows of stacks and of the exported volume.

Pixels come through `lib.compose` (stacks, before and after the alignment) and from the exported
volume; where nothing was imaged the picture is transparent.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.lib import geometry
from scripts.lib.arrays import Bytes
from scripts.lib.drawing import boxes, compose
from scripts.lib.drawing.compose import Picture, Placed
from scripts.lib.drawing.coverage import Coverage
from scripts.lib.geometry import Box
from scripts.lib.pages import pictures
from scripts.lib.service.records import TileSet
from scripts.lib.volumes.multiscale import Level

WIDTH_PX = 1200  # of a picture that fills the page
MOST_LAYERS = 600  # in a section across layers
FLAT_PX = 160  # a section less than half as high is enlarged
MOST_TIMES = 8
SEAM_PX = 120  # side of the enlarged part of a seam, specimen px

Layers = Callable[[int], TileSet]  # tiles of one layer


def stretched(picture: Picture, low: float, high: float) -> Bytes:
    """Spread grey values over 0 to 255.

    Parameters
    ----------
    picture
        Any grey values.
    low, high
        Grey values that become 0 and 255.

    Returns
    -------
    Bytes
        (h, w, 2) uint8, grey and opacity: transparent where there is no data.
    """
    levels = pictures.grey(picture.pixels, low, high)
    return np.asarray(np.dstack([levels, picture.mask.astype(np.uint8) * 255]))


def contrast(each: Iterable[Picture]) -> tuple[float, float]:
    """Return the grey values of the 0.1th and 99.9th percentile over all pictures.

    Parameters
    ----------
    each
        Pictures that are shown alike.

    Returns
    -------
    tuple of float
        Low, high.
    """
    return pictures.limits([one.pixels[one.mask] for one in each], 0.1, 99.9)


# ---------------------------------------------------------------------------------------------
# from stacks
# ---------------------------------------------------------------------------------------------


def layer(tiles: TileSet, box: Box, *, scale: float, blend: str = "last") -> Picture:
    """Render one layer inside a box.

    Parameters
    ----------
    tiles
        Tiles of the layer.
    box
        World px, widened to whole pixels.
    scale
        px of the picture per world px.
    blend
        As `compose.render` takes it.

    Returns
    -------
    Picture
        Has the size of `box` times `scale`.
    """
    box = boxes.whole(box, scale)
    return compose.render(compose.place(tiles), box, scale=scale, blend=blend)


def section(layers: Layers, z: Sequence[int], box: Box, *, y: float, scale: float) -> Picture:
    """Cut across layers: one row of the picture for each layer.

    Parameters
    ----------
    layers
        Gives the tiles of a layer.
    z
        Layers, from the top of the picture down.
    box
        Its extent in x, world px.
    y
        The line of each layer, world px.
    scale
        px of the picture per world px.

    Returns
    -------
    Picture
        (len(z), w).
    """
    line = boxes.of_pixels(box.x0, y, 1, boxes.shape(box, scale)[1], scale)
    rows = [compose.render(compose.place(layers(k)), line, scale=scale, blend="last") for k in z]
    return Picture(
        np.concatenate([row.pixels for row in rows]),
        np.concatenate([row.mask for row in rows]),
    )


def tall(picture: Bytes, factor: float) -> Bytes:
    """Repeat rows so that a layer is as thick as it should be beside the pixel size.

    Parameters
    ----------
    picture
        (h, w, …), a row for each layer.
    factor
        Thickness of a layer in pixels.

    Returns
    -------
    Bytes
        (h * factor, w, …).
    """
    n = max(1, round(len(picture) * factor))
    rows = np.minimum((np.arange(n) / factor).astype(int), len(picture) - 1)
    return np.asarray(picture[rows])


def enlarged(picture: Bytes, at_px: int | None = None) -> tuple[Bytes, str]:
    """Enlarge a part of a flat section by a whole number, the same both ways.

    Parameters
    ----------
    picture
        (h, w, …), a section through a place.
    at_px
        Column of the place; None: the middle.

    Returns
    -------
    tuple
        As wide as before at most, and a sentence that says how often, or nothing.
    """
    n = times(len(picture))
    if n == 1:
        return picture, ""
    width = picture.shape[1] // n
    middle = picture.shape[1] // 2 if at_px is None else at_px
    start = int(np.clip(middle - width // 2, 0, picture.shape[1] - width))
    part = picture[:, start : start + width]
    large = part.repeat(n, axis=0).repeat(n, axis=1)
    return np.asarray(large), f" {width} px around it, enlarged {n} times."


def times(height_px: float) -> int:
    """Return by which whole number a section is enlarged so that something is seen of it.

    Parameters
    ----------
    height_px
        Of the section.

    Returns
    -------
    int
        1 where it is high enough, `MOST_TIMES` at most.
    """
    return int(np.clip(FLAT_PX // max(height_px, 1), 1, MOST_TIMES))


def middle_layers(z: Sequence[int]) -> list[int]:
    """Return at most `MOST_LAYERS` layers without a gap, from the middle of the stack.

    Parameters
    ----------
    z
        Layers, ascending.

    Returns
    -------
    list of int
        z.
    """
    if len(z) <= MOST_LAYERS:
        return list(z)
    start = (len(z) - MOST_LAYERS) // 2
    return list(z[start : start + MOST_LAYERS])


def seam(placed: Sequence[Placed]) -> Box | None:
    """Return a small box on the border of two overlapping tiles of a layer; None without overlap.

    The tile with the greater id, the right or lower one, lies on top: a step shows at its edge.

    Parameters
    ----------
    placed
        Tiles of a layer.

    Returns
    -------
    Box or None
        `SEAM_PX` wide and high, world px.
    """
    overlaps = [
        Box(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1))
        for a, b in itertools.combinations((one.tile.box for one in placed), 2)
        if a.intersects(b)
    ]
    if not overlaps:
        return None
    widest = max(overlaps, key=lambda box: box.width * box.height)
    # two thirds along the seam, where no third tile takes part
    along = (widest.x0 + widest.width * 0.66, widest.y0 + widest.height * 0.66)
    upright = widest.height > widest.width
    x, y = (widest.x0, along[1]) if upright else (along[0], widest.y0)
    return boxes.of_pixels(x - SEAM_PX / 2, y - SEAM_PX / 2, SEAM_PX, SEAM_PX, 1.0)


def outlined(picture: Bytes, placed: Sequence[Placed], box: Box, scale: float) -> Bytes:
    """Draw the tiles' outlines over a stretched picture of a layer.

    Parameters
    ----------
    picture
        (h, w, 2) of `stretched`.
    placed
        Its tiles.
    box
        Box of the picture, world px.
    scale
        px of the picture per world px.

    Returns
    -------
    Bytes
        (h, w, 3) uint8.
    """
    canvas = pictures.colors(np.where(picture[..., 1] > 0, picture[..., 0], 255).astype(np.uint8))
    for one in placed:
        corner = geometry.corners(one.tile.width, one.tile.height)[[0, 1, 3, 2]]
        world = (one.chain.apply(corner) - [box.x0, box.y0]) * scale
        polygon = np.rint(world * 8).astype(np.int32)
        cv2.polylines(canvas, [polygon], True, pictures.INK, 1, cv2.LINE_AA, shift=3)
    return canvas


def covered(seen: Coverage) -> tuple[Bytes, str]:
    """Draw how many layers show each place, and the rectangles that they share.

    Parameters
    ----------
    seen
        Coverage of a stack.

    Returns
    -------
    tuple
        (h, w, 3) uint8, a pixel for each cell, black where no layer shows it; and what it shows,
        with the keys of the config.
    """
    canvas = pictures.colors((255 * seen.count / seen.layers).astype(np.uint8))
    words = [f"Bright: shown by all of {seen.layers} layers looked at, black: by none."]
    for share, color, name in ((0.95, pictures.LINE, "blue"), (1.0, pictures.INK, "red")):
        found = seen.shared(share)
        if found is None:
            words.append(f"{share:.0%} of them share no place.")
            continue
        x0, y0, x1, y1 = found
        corners = (np.array([[x0, y0], [x1, y1]]) - (seen.x0, seen.y0)) // seen.cell_px - [[0], [1]]
        first, last = corners.tolist()
        cv2.rectangle(canvas, first, last, color, 1)
        words.append(
            f"{share:.0%} share ({name}) x_px: [{x0}, {x1}], y_px: [{y0}, {y1}], of {x1 - x0} x"
            f" {y1 - y0} px (export.crop: {{shared_by: {share:g}}})."
        )
    return canvas, " ".join(words)


# ---------------------------------------------------------------------------------------------
# from the exported volume
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slices:
    """Three slices through the middle of a volume, (z, y), (z, x) and (y, x) planes."""

    xy: Picture
    xz: Picture
    zy: Picture


def slices(level: Level, *, most_layers: int = MOST_LAYERS) -> Slices:
    """Cut a level of the exported volume through its middle.

    The slice in x and z lies at 7/10 of the height, clear of the middle seam.

    Parameters
    ----------
    level
        A level of the exported volume.
    most_layers
        Voxels along z that are shown, from the middle.

    Returns
    -------
    Slices
        0 in the volume is no data.
    """
    depth, height, width = level.shape_zyx
    z, y, x = depth // 2, min(height - 1, height * 7 // 10), width // 2
    start = max(0, (depth - most_layers) // 2)
    every = slice(start, min(depth, start + most_layers))
    return Slices(
        xy=plane(level.read((slice(z, z + 1), slice(0, height), slice(0, width)))[0]),
        xz=plane(level.read((every, slice(y, y + 1), slice(0, width)))[:, 0]),
        zy=plane(level.read((every, slice(0, height), slice(x, x + 1)))[:, :, 0].T),
    )


def contact(level: Level, count: int = 8) -> list[tuple[int, Picture]]:
    """Return evenly spaced layers of a level of the exported volume, with their z index.

    Parameters
    ----------
    level
        A level of the exported volume.
    count
        At most so many.

    Returns
    -------
    list of tuple
        Voxel index in z, ascending; the first and last layer are not among them.
    """
    depth, height, width = level.shape_zyx
    at = np.unique(np.linspace(0, depth - 1, count + 2).astype(int)[1:-1])
    whole = (slice(0, height), slice(0, width))
    return [(int(z), plane(level.read((slice(int(z), int(z) + 1), *whole))[0])) for z in at]


def plane(values: NDArray[np.generic]) -> Picture:
    """Turn voxels into a picture.

    Parameters
    ----------
    values
        (h, w), 0 = nothing was rendered there.

    Returns
    -------
    Picture
        Of the same size.
    """
    pixels = values.astype(np.float32)
    return Picture(pixels, pixels > 0)

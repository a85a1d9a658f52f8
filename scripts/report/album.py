"""Album: which pictures the page shows, stage by stage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from scripts.lib import geometry
from scripts.lib.drawing import boxes, compose, coverage
from scripts.lib.drawing.compose import Picture, Placed
from scripts.lib.geometry import Box
from scripts.lib.pages import pictures as shapes
from scripts.lib.pages.pictures import Shown
from scripts.lib.service.errors import StackNotFound
from scripts.lib.service.records import CanvasMatches, TileSet, TileSpec
from scripts.lib.volumes.multiscale import Level
from scripts.report import pictures

log = logging.getLogger(__name__)

Album = dict[str, list[Shown]]
CONTACT_PX = 380  # width of a picture of a contact sheet
COVERAGE_PX = 600  # longer side of the picture of what layers share
MOST_COVERED = 200  # layers that are looked at for it
WITHIN_PX = 400  # width of a layer before or after a correction
ENLARGED = 4  # of a seam
MOST_PROPOSALS = 12
ALIGNED = {
    "Before": ("acquire", "Section across the layers (x to the right, z down), stage positions."),
    "After": ("align", "The same section through the solved stack, before the correction of z."),
}
# steps whose effect shows across the layers, and those that it shows in one layer of
ACROSS = {"straighten", "intensity"}
WITHIN = {"16bit", "destreak", "shading", "intensity", "background"}
GAP_PX = 8
WHITE = np.uint8(255)
MATCH_GAP_PX = 12
STRETCHED = "There are few layers: each is drawn {} times as thick as it is."


class Stacks(Protocol):
    """The part of `RenderClient` that the album needs."""

    def z_values(self, stack: str) -> list[float]:
        """Return all z of a stack."""

    def tiles(self, stack: str, z_min: float | None = None, z_max: float | None = None) -> TileSet:
        """Return the tiles of a range of z."""

    def matches(self, collection: str, p_group: str) -> list[CanvasMatches]:
        """Return all pairs whose p lies in a group."""


@dataclass(frozen=True)
class Names:
    """Stacks, collection and sizes the album is about."""

    acquire: str
    align: str
    final: str
    collection: str
    z_per_px: float  # thickness of a layer in px: z_nm / pixel_nm
    corrections: tuple[tuple[str, str, str], ...] = ()  # step, stack before, stack after


def draw(
    service: Stacks, names: Names, *, holes: Sequence[int], volume: tuple[Level, float] | None
) -> Album:
    """Draw all pictures.

    `holes` are the z of layers that lack tiles; `volume` is a level of the export and its scale.
    """
    z = [int(value) for value in service.z_values(names.acquire)]
    if not z:
        return {}
    solved = [int(value) for value in _solved(service, names)]
    if not solved:
        middle = z[len(z) // 2]
        return {
            "transfer": contact_sheet(service, names, z, holes),
            "ingest": [stage_layout(service, names, middle)],
        }
    log.info("drawing %d layers of %s and %s", len(solved), names.acquire, names.final)
    middle = solved[len(solved) // 2]
    album: Album = {
        "transfer": contact_sheet(service, names, z, holes),
        "ingest": [stage_layout(service, names, middle)],
        "match": match_pictures(service, names, middle),
        "solve": [
            *sections(service, names, pictures.middle_layers(solved), ALIGNED),
            *seams(service, names, middle),
        ],
    }
    if names.corrections:
        across = pictures.middle_layers(solved)
        album["correct"] = [
            shown
            for step in names.corrections
            for shown in correction(service, step, middle, across, names.z_per_px)
        ]
    if volume is not None:
        cut = volume_pictures(*volume, names.z_per_px)
        album["export"] = [*cut, shared_places(service, names, solved)]
    return album


def _solved(service: Stacks, names: Names) -> list[float]:
    """Return the z of the last stack; none before it is there."""
    try:
        return service.z_values(names.final)
    except StackNotFound:
        return []


def proposals(document: Sequence[Mapping[str, Any]] | None) -> list[Shown]:
    """Return the first pictures of the review's proposals; all are on its own page."""
    return [Shown(**one, wide=True) for one in (document or [])[:MOST_PROPOSALS]]


def overlays(document: Sequence[Mapping[str, Any]] | None) -> list[Shown]:
    """Return the worst pairs and layers of the solve, as they lie over one another."""
    return [Shown(**{**one, "title": f"large error · {one['title']}"}) for one in document or []]


def before_and_after(drawn: Mapping[str, Sequence[Shown]]) -> bytes:
    """Return the section before above that after, as PNG; one white pixel where none was drawn."""
    cuts = [shapes.decode(one.uri) for one in drawn.get("solve", [])[:2]]
    joined = shapes.joined(cuts, GAP_PX, axis=0) if len(cuts) == 2 else np.full((1, 1), WHITE)
    return shapes.png(joined)


def of_stages(documents: Mapping[str, Any], drawn: Album, met: Sequence[Shown] = ()) -> Album:
    """Add to what is `drawn` the places that `met` and the pictures that stages made."""
    out = drawn | {
        "review": proposals(documents["proposals"]),
        "zcorr": proposals(documents["thickness"]),
        "left_over": list(met),
    }
    if "solve" in out:
        out["solve"] = [
            *out["solve"][:2],
            *met,
            *out["solve"][2:],
            *overlays(documents["overlays"]),
        ]
    return out


def _layer(service: Stacks, stack: str, z: int) -> TileSet:
    return service.tiles(stack, z, z)


def _layers(service: Stacks, stack: str, z: Sequence[int]) -> Callable[[int], TileSet]:
    """Ask once for all layers of a section, and return what gives those of one."""
    found = service.tiles(stack, min(z), max(z))
    of_layer: dict[float, list[TileSpec]] = {}
    for tile in found.tiles:
        of_layer.setdefault(tile.z, []).append(tile)
    return lambda k: TileSet(tuple(of_layer.get(k, ())), found.shared)


def _box(tiles: TileSet) -> Box:
    return Box.around(tile.box for tile in tiles.with_bounds().tiles)


def shared_places(service: Stacks, names: Names, z: Sequence[int]) -> Shown:
    """Show how many layers of the last stack show each place, and what they share."""
    chosen = z[:: -(-len(z) // MOST_COVERED)]
    found = {k: _layer(service, names.final, k) for k in chosen}
    box = Box.around(map(_box, found.values()))
    of_layer = {k: compose.place(tiles) for k, tiles in found.items()}
    seen = coverage.measure(of_layer, (box.x0, box.y0, box.x1, box.y1), most_cells=COVERAGE_PX)
    canvas, words = pictures.covered(seen)
    return shapes.shown(canvas, "What layers share", words, wide=True)


# ---------------------------------------------------------------------------------------------
# transfer, ingest
# ---------------------------------------------------------------------------------------------


def contact_sheet(
    service: Stacks, names: Names, z: Sequence[int], holes: Sequence[int]
) -> list[Shown]:
    """Show a few layers at their stage positions: ends, middle, and layers with holes."""
    even = [z[0], z[len(z) // 3], z[2 * len(z) // 3], z[-1]]
    chosen = sorted({*even, *[k for k in holes if k in set(z)][:2]})
    drawn = {}
    for k in chosen:
        tiles = _layer(service, names.acquire, k)
        box = _box(tiles)
        drawn[k] = pictures.layer(tiles, box, scale=boxes.fit_scale(box, CONTACT_PX))
    low, high = pictures.contrast(drawn.values())
    return [
        _shown(
            pictures.stretched(picture, low, high),
            f"z {k}",
            "a tile is missing" if k in holes else "",
        )
        for k, picture in drawn.items()
    ]


def stage_layout(service: Stacks, names: Names, z: int) -> Shown:
    """Show one layer at its stage positions, the tiles outlined."""
    tiles = _layer(service, names.acquire, z)
    box = _box(tiles)
    scale = boxes.fit_scale(box, 900)
    picture = pictures.layer(tiles, box, scale=scale)
    low, high = pictures.contrast([picture])
    canvas = pictures.outlined(
        pictures.stretched(picture, low, high), compose.place(tiles), box, scale
    )
    caption = "Tiles as the microscope placed them, after the scan correction."
    return _shown(canvas, f"Layer z {z}", caption, wide=True)


# ---------------------------------------------------------------------------------------------
# match
# ---------------------------------------------------------------------------------------------


def match_pictures(service: Stacks, names: Names, z: int) -> list[Shown]:
    """Show the matches of a pair within the layer `z` and of one to a layer near it."""
    group = geometry.section_id(z)
    pairs = service.matches(names.collection, group)
    row = {tile.tile_id: tile.row for tile in _layer(service, names.acquire, z).tiles}
    inside = [pair for pair in pairs if pair.q_group == group]
    # tiles side by side are easier to read beside each other than tiles above each other
    inside = [pair for pair in inside if row[pair.p_id] == row[pair.q_id]] or inside
    across = [pair for pair in pairs if pair.q_group != group]
    out = []
    for title, found in (("within the layer", inside), ("between layers", across)):
        if found:
            best = max(found, key=lambda pair: (len(pair.w), pair.p_id, pair.q_id))
            out.append(_pair_picture(service, names, best, title))
    return out


def _pair_picture(service: Stacks, names: Names, pair: CanvasMatches, title: str) -> Shown:
    sides = [
        _side(service, names, group, tile_id)
        for group, tile_id in ((pair.p_group, pair.p_id), (pair.q_group, pair.q_id))
    ]
    limits = pictures.contrast([picture for picture, _, _ in sides])
    canvas = shapes.joined(
        [shapes.colors(shapes.grey(picture.pixels, *limits)) for picture, _, _ in sides],
        MATCH_GAP_PX,
    )
    points, left = [], 0
    for (picture, origin, scale), xy in zip(sides, (pair.p, pair.q), strict=True):
        points.append((xy - origin) * scale + [left, 0])
        left += picture.mask.shape[1] + MATCH_GAP_PX
    shapes.draw_matches(canvas, *points)
    caption = f"{len(pair.w)} matches of {pair.p_id} with {pair.q_id}, the strongest of this layer"
    return _shown(canvas, f"Matches {title}", caption, wide=True)


def _side(
    service: Stacks, names: Names, group: str, tile_id: str
) -> tuple[Picture, tuple[float, float], float]:
    tiles = _layer(service, names.acquire, int(float(group)))
    tile: TileSpec = next(one for one in tiles.tiles if one.tile_id == tile_id)
    scale = min(1.0, 440 / max(tile.width, tile.height))
    chain = tiles.scan_chain(tile)
    box = boxes.whole(compose.matching_box(tile, chain), scale)
    picture = compose.render([Placed(tile, chain)], box, scale=scale, blend="last")
    return picture, (box.x0, box.y0), scale


# ---------------------------------------------------------------------------------------------
# solve
# ---------------------------------------------------------------------------------------------


def sections(
    service: Stacks, names: Names, z: Sequence[int], about: Mapping[str, tuple[str, str]]
) -> list[Shown]:
    """Show the same cut across the layers of two stacks: {label: (field of names, caption)}."""
    cut = _box(_layer(service, names.final, z[len(z) // 2]))
    scale = boxes.fit_scale(cut, pictures.WIDTH_PX)
    y = cut.y0 + 0.7 * cut.height  # clear of the seam in the middle
    drawn: dict[str, Picture] = {}
    for label, (field, _) in about.items():
        of_stack = _layers(service, getattr(names, field), z)
        drawn[label] = pictures.section(of_stack, z, cut, y=y, scale=scale)
    low, high = pictures.contrast(drawn.values())
    thick, said = _thickness(len(z), names.z_per_px * scale)
    return [
        _shown(
            pictures.tall(pictures.stretched(picture, low, high), thick),
            label,
            about[label][1] + said,
            pixelated=True,
            wide=True,
        )
        for label, picture in drawn.items()
    ]


def _thickness(layers: int, thick: float) -> tuple[float, str]:
    """Draw the layers of a flat section thicker than they are, and say so.

    A section over the whole width of the page cannot be enlarged both ways.
    """
    n = pictures.times(layers * thick)
    return thick * n, f" {STRETCHED.format(n)}" if n > 1 else ""


def seams(service: Stacks, names: Names, z: int) -> list[Shown]:
    """Enlarge the border of two overlapping tiles before and after; nothing for single tiles."""
    drawn = {}
    for label, stack in (("Seam before", names.acquire), ("Seam after", names.final)):
        tiles = _layer(service, stack, z).with_bounds()
        box = pictures.seam(compose.place(tiles))
        if box is None:
            return []
        drawn[label] = pictures.layer(tiles, box, scale=1.0)
    low, high = pictures.contrast(drawn.values())
    caption = f"Where two tiles of layer z {z} meet, {ENLARGED} times enlarged, without blending."
    return [
        _shown(
            np.kron(
                pictures.stretched(picture, low, high), np.ones((ENLARGED, ENLARGED, 1), np.uint8)
            ),
            label,
            caption,
            pixelated=True,
        )
        for label, picture in drawn.items()
    ]


# ---------------------------------------------------------------------------------------------
# correct
# ---------------------------------------------------------------------------------------------


def correction(
    service: Stacks, step: tuple[str, str, str], z: int, across: Sequence[int], z_per_px: float
) -> list[Shown]:
    """Show what a step did: a layer, or a section across layers, before and after it."""
    name, before, after = step
    out = []
    cut = Box.around(_box(_layer(service, stack, z)) for stack in (before, after))
    if name in WITHIN:
        scale = boxes.fit_scale(cut, WITHIN_PX)
        drawn = [
            pictures.layer(_layer(service, stack, z), cut, scale=scale) for stack in (before, after)
        ]
        caption = f"Layer z {z} before and after, without blending"
        change = "" if name == "16bit" else "; to the right what changed, contrast ± 3 sd"
        out.append(_beside(name, drawn, f"{caption}{change}."))
    if name in ACROSS:
        scale = boxes.fit_scale(cut, pictures.WIDTH_PX)
        y = cut.y0 + 0.7 * cut.height  # clear of the seam in the middle
        drawn = [
            pictures.section(_layers(service, stack, across), across, cut, y=y, scale=scale)
            for stack in (before, after)
        ]
        low, high = pictures.contrast(drawn)
        thick, said = _thickness(len(across), z_per_px * scale)
        tall = [pictures.tall(pictures.stretched(each, low, high), thick) for each in drawn]
        caption = f"Section across the layers before (above) and after.{said}"
        joined = shapes.joined(tall, GAP_PX, axis=0, fill=0)
        out.append(_shown(joined, name, caption, pixelated=True, wide=True))
    return out


def _beside(name: str, drawn: Sequence[Picture], caption: str) -> Shown:
    """Lay before, after and their difference beside each other."""
    before, after = drawn
    if name == "16bit":  # other units, dark and bright exchanged
        each = [pictures.stretched(one, *pictures.contrast([one])) for one in drawn]
    else:
        limits = pictures.contrast(drawn)
        each = [pictures.stretched(one, *limits) for one in drawn]
        both = before.mask & after.mask
        change = Picture(np.where(both, after.pixels - before.pixels, 0).astype(np.float32), both)
        middle = float(change.pixels[both].mean()) if both.any() else 0.0
        reach = max(3 * float(change.pixels[both].std()) if both.any() else 0.0, 0.5)
        each.append(pictures.stretched(change, middle - reach, middle + reach))
    return _shown(shapes.joined(each, GAP_PX, fill=0), name, caption, wide=True)


# ---------------------------------------------------------------------------------------------
# export
# ---------------------------------------------------------------------------------------------


def volume_pictures(level: Level, scale: float, z_per_px: float) -> list[Shown]:
    """Show three slices through the middle of the exported volume, then a row of layers."""
    cut = pictures.slices(level)
    limits = pictures.contrast([cut.xy, cut.xz, cut.zy])
    thick, said = _thickness(len(cut.xz.pixels), z_per_px)
    across = pictures.tall(pictures.stretched(cut.xz, *limits), thick)
    views = [
        ("x z", across, f"Across the layers, with the corrected z.{said}"),
        ("x y", pictures.stretched(cut.xy, *limits), "The middle layer."),
    ]
    out = [_shown(picture, title, caption, wide=True) for title, picture, caption in views]
    for z, picture in pictures.contact(level, 3):
        small = shapes.shrink(pictures.stretched(picture, *limits), CONTACT_PX)
        out.append(_shown(small, f"voxel layer {round(z / scale)}"))
    return out


def _shown(canvas: shapes.Bytes, title: str, caption: str = "", **options: bool) -> Shown:
    """Make a picture as WebP: noise as PNG is three times as large, and there are some forty."""
    return shapes.shown(
        canvas,
        title,
        caption,
        form="WEBP",
        pixelated=options.get("pixelated", False),
        wide=options.get("wide", False),
    )

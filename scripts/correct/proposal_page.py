"""Proposal page: figures and pictures of what a proposed filter does to a sample of tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import yaml

from scripts.correct import destreak, proposal
from scripts.correct.proposal import Proposal, Spectrum
from scripts.lib.arrays import Image
from scripts.lib.drawing import filters
from scripts.lib.pages import page as pages
from scripts.lib.pages import pictures
from scripts.lib.pages.page import Code, Facts, Pictures, Section, Text
from scripts.lib.pages.pictures import Shown
from scripts.lib.service.records import TileSpec

SHOWN = 3  # tiles on the page
WIDTH_PX = 420
_LOOK = (
    "What is removed should show streaks and nothing of the specimen. If structures show, lower"
    " band_cycles_per_um; if wide streaks are left, lower cutoff_cycles_per_um."
)


@dataclass(frozen=True, eq=False)
class Result:
    """Figures for the JSON file and the page, pictures row by row."""

    figures: dict[str, Any]
    rows: list[list[Shown]]


def sample(z: Sequence[float], count: int) -> list[float]:
    """Return `count` layers evenly spread over all.

    Parameters
    ----------
    z
        Layers in ascending order, at least one.
    count
        At most so many.

    Returns
    -------
    list of float
        Distinct, in ascending order.
    """
    at = np.unique(np.linspace(0, len(z) - 1, min(count, len(z))).round().astype(int))
    return [z[k] for k in at]


def one_each(layers: Sequence[Sequence[TileSpec]]) -> list[TileSpec]:
    """Return one tile of each layer, the next of its grid in the next layer.

    Parameters
    ----------
    layers
        Tiles of each layer, none empty.

    Returns
    -------
    list of TileSpec
        As many as layers.
    """
    return [tiles[k % len(tiles)] for k, tiles in enumerate(layers)]


def result(
    tiles: Sequence[TileSpec], images: Sequence[Image], settings: Mapping[str, Any], pixel_nm: float
) -> Result:
    """Propose, try the proposal on the sample, and measure what is left.

    Parameters
    ----------
    tiles
        The sample.
    images
        (h, w) of each, of one pixel size.
    settings
        ``correct.destreak`` of the config; its variant is taken.
    pixel_nm
        Side of a pixel.

    Returns
    -------
    Result
        Frequencies in cycles per µm, sd in grey values of the images.
    """
    before = proposal.mean_spectrum(images)
    found = proposal.propose(before)
    step = {
        "variant": settings["variant"],
        "angle_deg": found.angle_deg,
        "cutoff_cycles_per_um": round(found.cutoff_cycles_per_px / pixel_nm * 1000, 4),
        "band_cycles_per_um": round(found.band_cycles_per_px / pixel_nm * 1000, 4),
    }
    new = filters.streaks(found.cutoff_cycles_per_px, found.band_cycles_per_px, found.angle_deg)
    fixed = [
        filters.apply_filters(image.astype(np.float32), filters.with_filters(tile, (new,)))
        for tile, image in zip(tiles, images, strict=True)
    ]
    after = proposal.mean_spectrum(fixed)
    shape = (found.angle_deg, found.cutoff_cycles_per_px, found.band_cycles_per_px)
    figures = {
        "found": found.found,
        "correct": {"destreak": step},
        "tiles": [tile.tile_id for tile in tiles],
        "excess_before": round(found.excess, 3),
        "excess_after": round(proposal.excess(after, *shape), 3),
        "removed_sd_grey": round(_rms(images, fixed), 4),
        "tile_sd_grey": round(float(np.mean([image.std() for image in images])), 4),
        "deep": any(destreak.is_sixteen_bit(tile) for tile in tiles),
    }
    rows = [_row(t, i, f) for t, i, f in zip(tiles, images, fixed, strict=True)][:SHOWN]
    return Result(figures, [*rows, _spectra(before, after, found)])


def page(volume: str, result: Result) -> str:
    """Return the page.

    Parameters
    ----------
    volume
        Name of the volume.
    result
        What was found.

    Returns
    -------
    str
        HTML.
    """
    f, count = result.figures, len(result.figures["tiles"])
    words = f"Streaks stand out of the spectrum of {count} tiles. For the YAML of the volume:"
    if not f["found"]:
        words = (
            f"No streaks found in {count} tiles: nothing stands out of the spectrum by a factor of"
            " two. The best guess would be:"
        )
    yaml_lines = yaml.safe_dump({"correct": f["correct"]}, sort_keys=False)
    sd = f"{f['removed_sd_grey']:.3g} grey values, of a tile's {f['tile_sd_grey']:.3g}"
    facts = [
        ("power in the band over the power beside it, before", f"{f['excess_before']:.2f}"),
        ("after (1 = nothing stands out, below = more is gone than streaks)",
         f"{f['excess_after']:.2f}"),
        ("sd of what is removed", sd),
    ]  # fmt: skip
    return pages.render(
        f"{volume} · destreak proposal",
        [
            Section("Proposal", [Text(words), Code(yaml_lines), Facts(facts)]),
            Section("Tiles and spectra", [Pictures(row) for row in result.rows], _LOOK),
        ],
        here="correct/destreak_proposal.html",
        volume=volume,
    )


def _rms(images: Sequence[Image], fixed: Sequence[Image]) -> float:
    squares = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(images, fixed, strict=True)]
    return float(np.sqrt(np.mean(squares)))


def _row(tile: TileSpec, image: Image, fixed: Image) -> list[Shown]:
    """Before, after and what was removed, the middle of a tile at full scale."""
    cuts = [_middle(each.astype(np.float32)) for each in (image, fixed)]
    low, high = np.percentile(cuts[0], [0.5, 99.5])
    removed = cuts[0] - cuts[1]
    reach = max(3 * float(removed.std()), 1e-3)
    return [
        _shown(cuts[0], low, high, f"{tile.tile_id}, before"),
        _shown(cuts[1], low, high, "after"),
        _shown(removed, -reach, reach, f"removed, contrast ± {reach:.2g} grey values"),
    ]


def _middle(image: Image) -> Image:
    h, w = image.shape
    y, x = max(0, (h - WIDTH_PX) // 2), max(0, (w - WIDTH_PX) // 2)
    return image[y : y + WIDTH_PX, x : x + WIDTH_PX]


def _spectra(before: Spectrum, after: Spectrum, found: Proposal) -> list[Shown]:
    shown = [np.log10(np.fft.fftshift(each.power) + 1) for each in (before, after)]
    shown = [cv2.resize(each, (WIDTH_PX, WIDTH_PX), interpolation=cv2.INTER_AREA) for each in shown]
    low, high = np.percentile(shown[0], [1, 99.9])
    titles = (f"mean spectrum before; band at {found.angle_deg:g}°", "after")
    return [_shown(each, low, high, title) for title, each in zip(titles, shown, strict=True)]


def _shown(image: Image, low: float, high: float, title: str) -> Shown:
    return pictures.shown(pictures.grey(image, low, high), title)

"""Real tissue in thick steps: no good tile is called damaged, and damage is still found."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from scripts.lib.service.records import TileSpec
from scripts.review import survey, suspects

DATA = Path(__file__).resolve().parents[3] / "shared/data/celegans/celegans_21.h5"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data beside the project"),
]


@pytest.fixture(scope="module")
def sections():
    """C. elegans, 21 sections of 256 x 256 px, each some 40 nm thick; z, y, x."""
    with h5py.File(DATA) as file:
        return file["volume"][:]


def damaged(sections, parts, spoil=None):
    """Ids of damaged tiles of a grid of `parts` x `parts` cells; `spoil` is z, row, column, how."""
    side = sections.shape[1] // parts
    images, tiles = {}, []
    for z, section in enumerate(sections):
        for row, column in np.ndindex(parts, parts):
            tile_id = f"{row},{column}.{z}"
            cut = (slice(n * side, (n + 1) * side) for n in (row, column))
            images[tile_id] = section[tuple(cut)].copy()
            spec = TileSpec(tile_id, float(z), side, side, "", (), row=row, column=column)
            tiles.append(spec)
    if spoil:
        *place, how = spoil
        tile_id = f"{place[1]},{place[2]}.{place[0]}"
        images[tile_id] = how(images[tile_id])
    valid = np.ones((side, side), bool)
    rows = survey.survey(
        tiles, 0, len(sections) - 1, read=lambda tile: (images[tile.tile_id], valid)
    )
    text = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
    found = suspects.verdicts(text, suspects.Limits())
    return {k for k, verdict in found.items() if verdict.kind == suspects.DAMAGED}


@pytest.mark.parametrize(("step", "parts"), [(2, 1), (2, 2), (3, 2)])
def test_no_good_tile_is_damaged_however_thick_the_steps(sections, step, parts):
    cv2.setNumThreads(1)
    assert damaged(sections[::step], parts) == set()


def half_lost(image):
    random = np.random.default_rng(0).normal(128, 40, image.shape).clip(0, 255)
    return np.vstack([image[: len(image) // 2], random[len(image) // 2 :]]).astype(np.uint8)


def half_displaced(image):
    half = len(image) // 2
    return np.vstack([image[:half], np.roll(image[half:], image.shape[1] // 8, axis=1)])


def white_band(image):
    out = image.copy()
    out[len(image) // 3 : len(image) // 2] = 255
    return out


@pytest.mark.parametrize(
    ("how", "z"),
    [(half_lost, 0), (half_lost, 5), (half_lost, 10), (half_displaced, 5), (white_band, 0)],
)
def test_damage_is_found_in_the_middle_and_at_both_ends(sections, how, z):
    cv2.setNumThreads(1)
    assert damaged(sections[::2], 1, (z, 0, 0, how)) == {f"0,0.{z}"}

"""Damaged tiles are told from intact ones by the layers around them, on small made-up stacks."""

import numpy as np
import pytest
from scipy import ndimage

from scripts.review import condition, likeness, survey, suspects

SIDE, LAYERS = 96, 9
MIDDLE = 5


def stack(seed=0, jump_at=LAYERS):
    """Tissue that changes slowly from layer to layer, each layer shifted a little and noisy."""
    rng = np.random.default_rng(seed)
    tissue, out = None, {}
    for z in range(1, LAYERS + 1):
        new = ndimage.gaussian_filter(rng.standard_normal((SIDE + 40, SIDE + 40)), 2.5)
        new /= new.std()
        tissue = new if tissue is None else 0.9 * tissue + 0.44 * new
        y, x = 20 + rng.integers(-3, 4, 2) + (np.array([9, -11]) if z > jump_at else 0)
        out[z] = 128 + 25 * tissue[y : y + SIDE, x : x + SIDE]
        out[z] = out[z] + 6 * rng.standard_normal((SIDE, SIDE))
    return out


def surveyed(pictures, step=lambda tile: 1.0):
    """Rows of the survey of a cell with `pictures` by z."""
    from scripts.lib.service.records import TileSpec

    tiles = [TileSpec(f"t.{z}", float(z), SIDE, SIDE, "", ()) for z in pictures]
    valid = np.ones((SIDE, SIDE), bool)

    def read(tile):
        return np.clip(pictures[int(tile.z)], 0, 255), valid

    rows = list(survey.survey(tiles, 1, LAYERS, read=read, step=step))
    return [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]


def verdicts(pictures, *, bad=None, limits=None):
    """Verdicts of a cell with `pictures` by z."""
    rows = surveyed(pictures)
    found = suspects.verdicts(rows, limits or suspects.Limits())
    return {int(float(k.split(".")[1])): v for k, v in found.items()}


def test_contrast_that_another_tile_took_from_a_layer_is_no_damage():
    """A bright particle in another tile: grey values of the layer are four raw levels each."""
    pictures = stack()
    pictures[MIDDLE] = 128 + (pictures[MIDDLE] - 128) / 4
    flat, usual = 4.0, 1.0
    for known, kind in ((flat, suspects.TISSUE), (usual, suspects.DAMAGED)):
        rows = surveyed(pictures, lambda tile, at=known: at if tile.z == MIDDLE else usual)
        assert suspects.verdicts(rows, suspects.Limits())[f"t.{MIDDLE}"].kind == kind
    for row in rows:  # a file that does not say: as before
        row["grey_step"] = "" if row["tile_id"] == "t.1" else row["grey_step"]
    assert suspects.verdicts(rows, suspects.Limits())[f"t.{MIDDLE}"].kind == suspects.DAMAGED


def displaced(picture, rng):
    return np.vstack([picture[:40], np.roll(picture[40:], 9, axis=1)])


def empty(picture, rng):
    return np.vstack([picture[:60], np.zeros((SIDE - 60, SIDE))])


def saturated(picture, rng):
    out = picture.copy()
    out[30:55] = 255
    return out


def lost_lines(picture, rng):
    out = picture.copy()
    out[rng.choice(SIDE, 8, replace=False)] = 90
    return out


def noisy(picture, rng):
    return picture + 30 * rng.standard_normal(picture.shape)


def blurred(picture, rng):
    return ndimage.gaussian_filter(picture, 6) + 6 * rng.standard_normal(picture.shape)


def elsewhere(picture, rng):
    """Half of the tile shows another place."""
    other = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE // 2)), 2.5)
    return np.hstack([picture[:, : SIDE // 2], 128 + 25 * other / other.std()])


FAULTS = [displaced, empty, saturated, lost_lines, noisy, blurred, elsewhere]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_damaged_tile_is_found_and_its_neighbors_are_not(fault):
    pictures = stack()
    pictures[MIDDLE] = fault(pictures[MIDDLE], np.random.default_rng(1))
    found = {z: v.kind for z, v in verdicts(pictures).items()}
    assert found == {z: "damaged" if z == MIDDLE else "tissue" for z in pictures}


def test_intact_layers_are_not_suspected_not_even_beside_a_lost_slice_or_a_restart():
    pictures = stack(seed=3, jump_at=5)
    pictures = {z: pictures[z + (z > 7)] for z in range(1, LAYERS)}  # the eighth slice is lost
    assert {v.kind for v in verdicts(pictures).values()} == {"tissue"}


def test_two_damaged_layers_in_a_row_are_both_found():
    pictures, rng = stack(), np.random.default_rng(1)
    pictures[5], pictures[6] = saturated(pictures[5], rng), displaced(pictures[6], rng)
    found = {z for z, v in verdicts(pictures).items() if v.kind == "damaged"}
    assert found == {5, 6}


def bare(rng):
    cloud = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 25)
    return 170 + 3 * cloud / cloud.std() + 6 * rng.standard_normal((SIDE, SIDE))


def test_resin_is_told_by_texture_and_one_bare_layer_between_tissue_is_damaged():
    pictures, rng = stack(), np.random.default_rng(2)
    for z in (1, 2, 3, 4, 7):
        pictures[z] = bare(rng)
    found = {z: v.kind for z, v in verdicts(pictures).items()}
    assert {z for z, kind in found.items() if kind == "resin"} == {1, 2, 3, 4}
    assert found[7] == "damaged"


def test_faint_tissue_whose_structure_goes_on_is_no_resin():
    pictures = {z: 128 + (p - 128) * (0.25 if z < 5 else 1.0) for z, p in stack().items()}
    found = verdicts(pictures)
    assert all(found[z].kind == "tissue" for z in (1, 2, 3))


def test_saturation_that_all_layers_share_is_no_fault():
    pictures = {z: saturated(p, None) for z, p in stack().items()}
    assert "damaged" not in {v.kind for v in verdicts(pictures).values()}


def bands(away):
    """Shifts of the bands of a tile whose lower three are `away` px beside the others."""
    return np.outer(np.arange(likeness.BANDS) >= 4, [away, 0.0])


@pytest.mark.parametrize(
    ("neighbors", "found"),
    [
        ({-2: 12, -1: 12, 1: 12, 2: 12}, 12),
        ({-2: 12, -1: 12, 1: 30, 2: 12}, 12),  # one is displaced itself
        ({-2: 12, -1: 12, 1: 30}, 12),
        ({-2: 12, -1: 12}, 12),  # the last layer
        ({-2: 12, -1: 12, 1: 0}, 0),  # a blob of charge that began here
        ({-2: -12, -1: -12, 1: 0.5, 2: 3}, 0),
        ({-1: 0.5, 1: 12, 2: 12}, 0),  # or ended
        ({-2: 0, -1: 0, 1: 0, 2: 0}, 0),
    ],
)
def test_rows_are_displaced_against_the_layers_of_both_sides(neighbors, found):
    far, _ = likeness.displaced({d: bands(away) for d, away in neighbors.items()})
    assert far == pytest.approx(found)


def test_the_shift_between_layers_is_measured_to_a_tenth_of_a_pixel():
    rng = np.random.default_rng(0)
    big = ndimage.gaussian_filter(rng.standard_normal((160, 160)), 2)
    moved = ndimage.shift(big, (-4.3, 6.6), order=3, mode="nearest")
    valid = np.ones((SIDE, SIDE), bool)
    one, two = (likeness.look(20 * p[32 : 32 + SIDE, 32 : 32 + SIDE], valid) for p in (big, moved))
    assert likeness.shift_between(one, two) == pytest.approx((6.6, -4.3), abs=0.1)


@pytest.mark.parametrize(
    ("negatives", "flips"),
    [((), []), (range(5, LAYERS + 1), [5]), ((4,), [4, 5]), (range(1, LAYERS + 1), [])],
)
def test_contrast_flips_where_a_layer_is_like_the_negative_of_the_one_before(negatives, flips):
    for jump_at in (LAYERS, 6):
        pictures = stack(jump_at=jump_at)
        pictures |= {z: 255 - pictures[z] for z in negatives}
        assert suspects.contrast_flips(surveyed(pictures)) == flips


def test_resin_and_noise_are_no_negatives():
    pictures = {z: bare(np.random.default_rng(z)) for z in range(1, LAYERS + 1)}
    assert suspects.contrast_flips(surveyed(pictures)) == []


def test_most_tiles_of_a_layer_have_to_be_negatives():
    rows = [{"z": "2", "opposite": str(n)} for n in (0.5, 0.2, 0.19, "")]
    assert suspects.contrast_flips(rows) == []
    assert suspects.contrast_flips(rows[:3]) == [2]
    assert suspects.contrast_flips([{"z": "2"}]) == []  # a survey from before


def test_the_noise_of_a_picture_is_measured():
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(80.0), np.arange(80.0))
    picture = (ramp + 4 * rng.standard_normal((80, 80))).astype(np.float32)
    assert condition.noise(picture, np.ones((80, 80), bool)) == pytest.approx(4, rel=0.05)


def test_scattered_bright_pixels_are_no_saturation():
    rng = np.random.default_rng(0)
    picture = np.where(rng.random((80, 80)) < 0.2, 255, 100).astype(np.float32)
    assert condition.saturated(picture, np.ones((80, 80), bool)) == 0

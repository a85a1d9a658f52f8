"""What fails in a stage is asked for no more where it shows nothing at low scale."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from scripts.lib import geometry, yaml_files
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.match import pairs, presets, reuse, screening, stage_files, stages
from scripts.match.canvases import Canvases
from tests.benchmarks.conftest import ROOT
from tests.match.conftest import texture

SIDE = 800
TABLE = presets.read_run(
    stage_files.read_table(ROOT / "config/match_stages/block.yaml"), "cross"
).stages
PAIR = pairs.Pair("1.0", "p", "2.0", "q", 1)
SPECIMEN = texture((SIDE + 400, SIDE + 400), seed=3)


def drawn(image, affine):
    """A tile of a specimen, `affine` from the tile to it, with noise of its own."""
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(image, affine, (SIDE, SIDE), flags=how)
    rng = np.random.default_rng(round(abs(affine).sum()))
    return np.clip(seen + 8 * rng.standard_normal(seen.shape), 1, 254).astype(np.uint8)


def turned(degrees, shift):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    linear = np.array([[c, -s], [s, c]])
    middle = np.full(2, SIDE / 2)
    return np.column_stack([linear, middle + 200 + shift - linear @ middle])


def canvases(p, q):
    pictures = {"p": p, "q": q}

    def source(tile, level):
        image = pictures[tile.tile_id]
        size = (SIDE >> level, SIDE >> level)
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA), None

    specs = [
        TileSpec(name, z, SIDE, SIDE, "none", (Leaf(AFFINE, "1 0 0 1 0 0"),))
        for name, z in (("p", 1.0), ("q", 2.0))
    ]
    return Canvases(TileSet(tuple(specs)).with_bounds(), budget_mb=200, source=source)


P = drawn(SPECIMEN, geometry.translation(200.0, 200.0))


def matched(q, budget_s):
    """The block stage, and the last one at a cost of 0.2 s, as if it were that of a large tile."""
    table = (TABLE[0], replace(TABLE[2], max_cpu_s=budget_s))
    return stages.match_pair(PAIR, table, canvases(P, q))


@pytest.fixture
def small_look(monkeypatch):
    """A look at a sixteenth of the area, as of a large tile."""
    monkeypatch.setattr(screening, "LOOK_MPX", 0.1)


@pytest.mark.usefixtures("small_look")
def test_unrelated_tissue_and_resin_are_asked_for_no_more():
    other = texture((SIDE + 400, SIDE + 400), seed=8)
    resin = np.full((SIDE, SIDE), 130.0) + 8 * np.random.default_rng(0).normal(size=(SIDE, SIDE))
    for q in (drawn(other, geometry.translation(200.0, 200.0)), resin.astype(np.uint8)):
        found = matched(q, 0.05)
        assert found.matches is None
        first, second = found.reason.split("; ")
        assert first.startswith("crossPass0:not_distinct(")
        assert second.startswith("crossPass2:unlike(")
        assert second.endswith("at scale 0.395)")
        assert (found.stage, found.asked) == ("crossPass0", 2)


@pytest.mark.usefixtures("small_look")
@pytest.mark.parametrize(("degrees", "shift"), [(6, (20, -10)), (0, (150, 130)), (25, (0, 0))])
def test_a_related_pair_that_the_first_stage_does_not_find_goes_on(degrees, shift):
    first = replace(TABLE[0], block=replace(TABLE[0].block, search_px=50))
    table = (first, replace(TABLE[2], max_cpu_s=0.05))
    q = drawn(SPECIMEN, turned(degrees, shift))
    found = stages.match_pair(PAIR, table, canvases(P, q))
    assert found.reason.startswith("crossPass0:")
    assert found.stage == "crossPass2"
    assert found.matches is not None


def test_a_stage_within_the_budget_is_asked():
    other = drawn(texture((SIDE + 400, SIDE + 400), seed=8), geometry.translation(200.0, 200.0))
    for budget in (10.0, None):
        found = matched(other, budget)
        assert found.matches is None
        assert "crossPass2:few_inliers(" in found.reason


def test_the_budget_is_that_of_large_tiles_alone():
    """Tiles of 1024 px, as in the table of robustness, go through all stages as before."""
    late = [stage for stage in TABLE if stage.method == "sift"]
    assert {stage.max_cpu_s for stage in late} == {0.5}
    assert all(screening.cost_s(stage, 1.05, 1.05) < 0.5 for stage in late)
    assert min(screening.cost_s(stage, 31.06, 31.06) for stage in late) > 0.5
    small = yaml_files.read(ROOT / "config/match_stages/small_tiles.yaml")
    assert all(stage.max_cpu_s is None for stage in presets.read_run(small, "cross").stages)


@pytest.mark.usefixtures("small_look")
def test_what_was_stopped_stands_until_a_stage_that_had_a_say_changes():
    other = drawn(texture((SIDE + 400, SIDE + 400), seed=8), geometry.translation(200.0, 200.0))
    table = (TABLE[0], replace(TABLE[2], max_cpu_s=0.05), TABLE[2])
    found = canvases(P, other)
    attempt = stages.match_pair(PAIR, table, found)
    tiles = found.tiles
    row = reuse.Provenance(table, tiles).row(attempt, "cross", found.by_id)
    row = {
        name: f"{int(value) if isinstance(value, bool) else value}" for name, value in row.items()
    }
    assert reuse.Provenance(table, tiles).stands(PAIR, row)
    later = (*table[:2], replace(TABLE[2], rod=0.8))
    assert reuse.Provenance(later, tiles).stands(PAIR, row)
    richer = (table[0], replace(table[1], max_cpu_s=1.0), table[2])
    assert not reuse.Provenance(richer, tiles).stands(PAIR, row)

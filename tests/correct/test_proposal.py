"""The proposal of destreak parameters: right direction, right width, no streaks where none are."""

import numpy as np
import pytest
import yaml
from scipy import ndimage

from scripts.correct import destreak_proposal, proposal, proposal_page
from scripts.correct.chain import STEPS
from scripts.correct.evidence import Evidence
from scripts.lib import files
from scripts.lib.drawing import filters
from scripts.lib.service.records import TileSet, TileSpec
from tests.correct.worlds import correlation
from tests.export.synthetic import RENDER, publish
from tests.lib.drawing.test_filters import tissue

SHAPE = (260, 310)
SETTINGS = {"variant": "smooth", "sample_tiles": 5}


def streaked(angle_deg, sd, seed):
    """Tissue and the same with streaks at right angles to `angle_deg`."""
    rng = np.random.default_rng(100 + seed)
    row = ndimage.gaussian_filter1d(rng.standard_normal(3000), 1.0)
    row -= ndimage.gaussian_filter1d(row, 15)
    y, x = np.indices(SHAPE)
    turn = np.deg2rad(angle_deg)
    at = x * np.cos(turn) - y * np.sin(turn) + 1000
    clean = tissue(SHAPE, seed=seed, sigma=1.5)
    streaks = np.interp(at.ravel(), np.arange(3000), row * sd / row.std())
    return clean, (clean + streaks.reshape(SHAPE)).astype(np.float32)


@pytest.mark.parametrize("angle", [0, 90, 20, -35.5])
def test_direction_is_found_and_the_proposal_brings_the_truth_nearer(angle):
    pairs = [streaked(angle, 4, seed) for seed in range(4)]
    found = proposal.propose(proposal.mean_spectrum([dirty for _, dirty in pairs]))
    assert found.found
    assert found.angle_deg == pytest.approx(angle, abs=0.3)
    new = filters.streaks(found.cutoff_cycles_per_px, found.band_cycles_per_px, found.angle_deg)
    tile = filters.with_filters(TileSpec("t", 1.0, SHAPE[1], SHAPE[0], "none", ()), (new,))
    for clean, dirty in pairs:
        after = filters.apply_filters(dirty, tile)
        assert correlation(after, clean) > correlation(dirty, clean)


def test_tissue_without_streaks_gives_none():
    clean = [streaked(0, 0, seed)[0] for seed in range(4)]
    assert not proposal.propose(proposal.mean_spectrum(clean)).found


def test_what_is_proposed_can_be_pasted_and_leaves_no_excess():
    images = [streaked(0, 4, seed)[1] for seed in range(4)]
    tiles = [TileSpec(f"t{k}", 1.0, SHAPE[1], SHAPE[0], "none", ()) for k in range(4)]
    result = proposal_page.result(tiles, images, SETTINGS, pixel_nm=8)
    figures = result.figures
    assert figures["found"]
    assert figures["excess_before"] > 4
    assert figures["excess_after"] < 1.5
    assert figures["removed_sd_grey"] < 8
    page = proposal_page.page("v", result)
    section = yaml.safe_load(page.split("<pre>")[1].split("</pre>")[0])["correct"]["destreak"]
    found = STEPS["destreak"].load().estimate(TileSet(tuple(tiles)), section, Evidence(8, 8))
    assert found.parameters["angle_deg"] == pytest.approx(0, abs=0.3)
    assert page.count("data:image/png") == 3 * 3 + 2
    assert "http" not in page.replace("http-equiv", "")


def test_the_job_leaves_figures_and_page(workdir):
    publish(workdir, range(1, 4), stack="a")
    destreak_proposal.main(
        source="stacks/a.json",
        proposal="correct/destreak_proposal.json",
        page="correct/destreak_proposal.html",
        volume="v",
        render=RENDER,
        voxel_nm={"pixel_nm": 8, "z_nm": 8},
        settings=SETTINGS,
    )
    figures = files.read_json("correct/destreak_proposal.json")
    assert figures["tiles"] == ["t001-0", "t002-1", "t003-0"]
    assert "destreak" in (workdir / "correct/destreak_proposal.html").read_text()

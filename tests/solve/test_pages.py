"""Tables, page and pictures of a solve."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from scripts.lib.drawing.compose import Picture
from scripts.lib.geometry import Box
from scripts.lib.service.records import TileSet
from scripts.solve import overlays, page, picture_solve, plots, residuals
from scripts.solve.graph import graph_of
from scripts.solve.solver import Options, solve
from tests.export import synthetic as published
from tests.solve import graphs


@pytest.fixture(scope="module")
def wrong():
    """A solve in which one pair in twenty was wrong."""
    case = graphs.case(40, 1, 3, wrong=0.05, seed=2)
    options = Options(stage_wavelength_layers=1e5)
    graph = graph_of(case.tiles, case.moments, options.weighting)
    solved = solve(case.tiles, graph, options, restarts=[20])
    return SimpleNamespace(case=case, graph=graph, solved=solved, options=options)


def test_wrong_pairs_are_named_worst_first_with_their_share_of_the_error(wrong):
    rows = residuals.worst_pairs(wrong.case.tiles, wrong.graph, wrong.solved)
    named = {(row["p_id"], row["q_id"]) for row in rows if row["wrong"]}
    ids, (p, q) = wrong.case.tiles.ids, wrong.case.pairs
    bad = wrong.case.wrong
    assert named == set(zip(ids[p[bad]], ids[q[bad]], strict=True))
    shares = [float(row["share_of_error"]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 0.9 < sum(shares) <= 1.001  # a few pairs of hundreds of px hold nearly all of it
    assert sum(not row["wrong"] for row in rows) == residuals.MOST


def test_layers_are_means_of_their_tiles(wrong):
    tiles = list(residuals.per_tile(wrong.case.tiles, wrong.graph, wrong.solved))
    layers = residuals.per_layer(wrong.case.tiles, wrong.graph, wrong.solved)
    assert [row["tiles"] for row in layers] == [3] * 40
    assert [row["restart_group"] for row in layers] == [0] * 19 + [1] * 21
    for name in ("dx_px", "scale_x", "rotation_mrad", "shear"):
        mean = np.mean([float(row[name]) for row in tiles[:3]])
        assert float(layers[0][name]) == pytest.approx(mean, rel=1e-4)


def test_the_page_holds_figures_pairs_pictures_and_plots(wrong):
    figures = residuals.figures(
        wrong.case.tiles, wrong.graph, wrong.solved, wrong.options, ignored=0
    )
    rows = residuals.worst_pairs(wrong.case.tiles, wrong.graph, wrong.solved)
    rows = [{k: str(int(v) if isinstance(v, bool) else v) for k, v in row.items()} for row in rows]
    layers = residuals.per_layer(wrong.case.tiles, wrong.graph, wrong.solved)
    colors = np.zeros((4, 6, 3), np.uint8)
    picture = overlays.Overlay("layers 1 and 2", "a (magenta), b (green)", colors).shown()
    one = page.render(figures, rows, [picture], plots.of_layers({"solve": layers}))
    assert rows[0]["p_id"] in one
    assert f"median {figures['residual_px']['median']:.2f} px" in one
    assert f">{float(rows[0]['rms_px']):.2f}<" in one
    assert f"{figures['pairs_wrong']} of them wrong" in one
    assert "Offsets of the stage between restarts" in one
    assert "a (magenta), b (green)" in one
    assert "Scale of the tiles" in one


def test_overlays_show_the_common_part_and_agreement_is_grey():
    assert overlays.common(Box(0, 0, 100, 50), Box(100, 0, 200, 50)) is None
    assert overlays.common(Box(0, 0, 2000, 50), Box(0, 10, 2000, 90)) == Box(760, 10, 1240, 50)
    pixels = np.random.default_rng(0).uniform(0, 255, (30, 40)).astype(np.float32)
    half = np.ones((30, 40), bool)
    half[:, 20:] = False
    colors = overlays.over(Picture(pixels, np.ones((30, 40), bool)), Picture(pixels + 9, half))
    assert colors.shape == (30, 40, 3)
    assert np.abs(colors[:, :20].astype(int) - colors[:, :20, 1:2]).max() < 40
    assert (colors[:, 20:, 1] == overlays.NO_DATA).all()


def test_pictures_for_the_report_keep_single_pixels_of_pairs_and_the_whole_of_layers():
    colors = np.zeros((480, 400, 3), np.uint8)
    colors[90:390, 50:350] = 255  # the middle
    for whole, shape in ((False, (300, 300)), (True, (300, 250))):
        small = overlays.Overlay("t", "c", colors, whole=whole).small()
        data = base64.b64decode(small["uri"].partition(",")[2])
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        assert pixels.shape[:2] == shape == (small["height_px"], small["width_px"])
        assert (pixels.min() > 250) != whole


def test_a_bad_layer_is_drawn_over_the_next_one_there_is(tmp_path):
    tiles = TileSet(
        tuple(
            published.tile(tmp_path, z, column, published.smooth)
            for z in (3, 4, 6)
            for column in (0, 1)
        )
    )
    worst = [{"z": 4, "rms_px": 1.5}, {"z": 6, "rms_px": 1.0}, {"z": 9, "rms_px": 1.0}]
    (drawn,) = overlays.draw_layers(tiles, worst)  # nothing follows 6, and there is no 9
    assert drawn.title == "layer 4, whole"
    assert drawn.caption == "layer 4 (magenta), 6 (green): 1.50 px"
    assert picture_solve._and_next([4, 6], [{"z": "3"}, {"z": "4"}, {"z": "6"}]) == {4, 6}

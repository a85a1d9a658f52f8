"""Contrast while a volume grows: layers are shown as before where nobody sees the difference."""

from pathlib import Path

import numpy as np
import pytest

from scripts.export import contrast, measure_grey_values, set_contrast
from scripts.export.shown import Limits
from scripts.lib import files
from tests.export.synthetic import RENDER
from tests.export.test_export_contrast import SETTINGS
from tests.export.test_export_contrast import stack as stack  # a fixture

STEP = 10.0  # grey values of 16 bit to one of 8


def limits(low, z=(0.0, 8.0), cells=1):
    """Layers of one contrast, and in the last cell of the last layer another black."""
    n = len(z)
    black, white = np.full((n, 1, cells), 1000.0), np.full((n, 1, cells), 1000.0 + 255 * STEP)
    black[-1, -1, -1] += low
    return Limits(np.array(z), np.zeros(1), np.arange(float(cells)), black, white)


@pytest.mark.parametrize(("off", "stays"), [(0.4 * STEP, True), (-0.6 * STEP, False)])
def test_a_layer_is_shown_as_before_while_black_and_white_are_off_by_less_than_half_a_step(
    off, stays
):
    before, now = limits(0, cells=2), limits(off, cells=2)
    held = contrast.held(now, before, 0.5)
    assert np.array_equal(held.low, (before if stays else now).low)
    assert contrast.held(now, before, 0) is now


def test_new_layers_and_other_cells_are_shown_as_found():
    now = limits(0.1 * STEP, z=(8.0, 16.0))
    now.low[0] += 0.2 * STEP
    held = contrast.held(now, limits(0), 0.5)
    assert held.low[0, 0, 0] == 1000
    assert held.low[1, 0, 0] == now.low[1, 0, 0]
    assert contrast.held(now, limits(0, cells=2), 0.5) is now


def test_bounds_that_hardly_change_give_the_same_grid():
    one, two = (contrast.grid((x0, -3.0, 200.0, 90.0), 64, whole=True) for x0 in (-1.5, -0.2))
    assert one == two
    assert (one[0][0].x0, one[0][0].y0) == (-64, -64)
    assert contrast.grid((-1.5, -3.0, 200.0, 90.0), 64)[0][0].x0 == -2


def test_jobs_that_measure_start_when_the_grid_lies_elsewhere_and_not_for_bounds(tmp_path):
    receipt = tmp_path / "s.json"
    assert contrast.place_of_grid(receipt, 64, whole=True) == []
    found = []
    for x1 in (200.0, 210.0, 260.0):
        files.write_json(receipt, {"bounds": [-1.5, -3.0, x1, 90.0]})
        found.append(contrast.place_of_grid(receipt, 64, whole=True))
    assert found == [[-64, -64, 3, 5], [-64, -64, 3, 5], [-64, -64, 3, 6]]
    assert contrast.place_of_grid(receipt, 64) == [-2, -3, 2, 5]


def measured(*, grows):
    path = Path("export/grey_values/0001.npz")
    path.unlink(missing_ok=True)
    measure_grey_values.main(
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        out=str(path),
        chunk="0001",
        render=RENDER,
        settings={"every_layers": 3, "cell_px": 64},
        grows=grows,
    )
    return path.read_bytes()


def test_a_chunk_of_the_same_tiles_is_not_measured_again(stack, monkeypatch):
    first, drawn = measured(grows=True), []
    real = measure_grey_values.measured
    monkeypatch.setattr(
        measure_grey_values, "measured", lambda *what: drawn.append(1) or real(*what)
    )
    assert measured(grows=True) == first
    assert drawn == []
    measured(grows=False)
    assert drawn == [1]


def test_contrast_is_held_until_imaging_has_ended(stack):
    parts = sorted(map(str, Path("export/grey_values").iterdir()))
    rule = SETTINGS | {"rule": "volume"}

    def made(measured, keep_grey=0.0, rule=rule):
        paths = {"out": "export/contrast.npz", "shown": "export/contrast.json"}
        set_contrast.main(measured=measured, **paths, settings=rule, keep_grey=keep_grey)
        return float(files.read_json("export/contrast.json")["high"][0])

    few, whole = made(parts[:1]), made(parts)
    assert few != whole
    assert made(parts[:1], 255.0) == few
    assert made(parts, 255.0) == few
    assert made(parts, 1e-9) == whole
    assert made(parts[:1], 255.0) == whole
    assert made(parts[:1], 255.0, rule | {"smooth_layers": 1.0}) == few
    assert made(parts) == whole

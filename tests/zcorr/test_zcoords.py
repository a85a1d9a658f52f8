"""Corrected z while a volume grows, on what two runs of one volume inferred.

``wave_of_ten.tsv`` has the z of 100 layers of a synthetic tissue (one tile of 240 x 256 px a layer)
that a first run released, and those that a second run inferred of these and of ten new layers.
"""

from pathlib import Path

import numpy as np
import pytest

from scripts.lib import files, growing
from scripts.zcorr import zcoords

TABLE = Path(__file__).with_name("wave_of_ten.tsv")
KEEP = 0.08  # layers, the default of zcorr.keep_thickness
FIGURES = {"thickness_sd": 0.2221, "thickness_error_sd": 0.0934}  # of the second run


@pytest.fixture(scope="module")
def runs():
    """Released and found z, as the files have them."""
    rows = files.read_table(TABLE)
    texts = [[(r["z"], r[name]) for r in rows if r[name]] for name in ("released", "found")]
    return ["".join(f"{z} {value}\n" for z, value in text) for text in texts]


def values(text):
    return np.array([float(line.split()[1]) for line in text.splitlines()])


def test_layers_of_before_stay_while_they_are_within_the_error_of_their_thickness(runs):
    released, found = runs
    error = growing.error_of_thickness(FIGURES)
    text, kept = zcoords.held(found, released, KEEP, error)
    stays = values(text)[:100] == values(released)
    # 1.4 layers of drift are spread over ten new layers and as many as it takes before them
    assert np.flatnonzero(~stays).min() >= 90
    assert kept == stays.sum() >= 90
    steps, now = np.diff(values(text)), np.diff(values(found))
    assert (abs(steps - now) <= np.maximum(KEEP, error * now) + 1e-6).all()
    assert values(text)[-1] == values(found)[-1]


def test_without_a_known_error_the_tolerance_alone_decides(runs):
    released, found = runs
    text, _ = zcoords.held(found, released, KEEP)
    assert (values(text)[:90] != values(released)[:90]).sum() == 12
    assert zcoords.held(found, released, 0.0, 0.5) == (found, 0)


@pytest.mark.parametrize(
    ("figures", "error"),
    [
        ({"thickness_sd": 3.0, "thickness_error_sd": 4.0}, 2.4),  # 1 / sqrt(1 / 9 + 1 / 16)
        ({"thickness_sd": 0.0, "thickness_error_sd": 0.3}, 0.0),  # all at nominal
        ({"thickness_sd": 0.0, "thickness_error_sd": 0.0}, 0.0),
        ({"thickness_error_sd": None}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_error_is_that_of_the_posterior(figures, error):
    assert growing.error_of_thickness(figures) == pytest.approx(error)

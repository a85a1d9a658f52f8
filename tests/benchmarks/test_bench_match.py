"""Seconds and accuracy of the dense matcher, beside SIFT and TurboReg on the same pairs.

Pairs: sections of the real volume, which is 250 px wide, side by side until they fill 2048 x 2048
px at native texture: along all three axes, 9 px apart and turned at random, so that nothing
repeats. Then the same, the next or the fourth section of each, as a whole turned by 0.2 degrees,
0.1 % larger, shifted by (11.3, -9.2) px, 8 % brighter, with noise of its own (8 grey levels).
Images are decoded; everything from there on counts, with the features of both tiles, which all
pairs of a tile share in a volume. rms: between the affine of the matches and the true one, over the
tile; the median of several pairs.
"""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from pystackreg import StackReg
from scipy import ndimage

from scripts.lib import geometry
from scripts.lib.compose import Picture
from scripts.match import block, ransac, sift

VOLUME = Path(__file__).resolve().parents[3] / "shared/data/fib25/fib25_250.h5"
SCALE = 0.25
FIRST_SECTIONS = (0, 2, 4)
APART = 9
DISTANCES = {"same": 0, "next": 1, "fourth": 4}

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not VOLUME.exists(), reason="no real volume beside the project"),
]


def motion(side):
    """p to q."""
    c, s = 1.001 * np.cos(np.deg2rad(0.2)), 1.001 * np.sin(np.deg2rad(0.2))
    linear = np.array([[c, -s], [s, c]])
    middle = np.full(2, (side - 1) / 2)
    return np.column_stack([linear, middle + np.array([11.3, -9.2]) - linear @ middle])


def seen(section, affine, side, rng):
    """A section through `affine` (specimen to picture) as 8-bit picture."""
    inverse = geometry.invert(affine)
    size = {"output_shape": (side, side), "output": np.float32}
    image = ndimage.affine_transform(
        section, inverse[::-1, 1::-1], inverse[::-1, 2] + 80, order=5, mode="mirror", **size
    )
    return np.clip(np.rint(image + 8 * rng.standard_normal(image.shape)), 0, 255).astype(np.uint8)


def mosaic(volume, first, side):
    """Sections of the volume side by side, grey levels as float32."""
    n = -(-side // 250)
    turn = np.random.default_rng(0).integers(0, 4, n * n)
    patches = [
        np.rot90(
            volume.transpose(k % 3, (k + 1) % 3, (k + 2) % 3)[first + APART * (k // 3)], turn[k]
        )
        for k in range(n * n)
    ]
    return np.block([patches[n * row : n * row + n] for row in range(n)]).astype(np.float32)


def make_pair(volume, first, dz, side):
    rng = np.random.default_rng(first)
    one, other = (mosaic(volume, first + k, side + 160) for k in (0, dz))
    p = seen(one, geometry.identity(), side, rng)
    q = seen(1.08 * (other - 128) + 133, motion(side), side, rng)
    return p, q


@pytest.fixture(scope="module")
def task(bench):
    """Side of a picture, and the pairs of each distance."""
    cv2.setNumThreads(1)
    side, sections = (2048, FIRST_SECTIONS) if bench.measuring else (768, (0,))
    with h5py.File(VOLUME) as file:
        volume = file["volume"][()]
    return side, {
        name: [make_pair(volume, first, dz, side) for first in sections]
        for name, dz in DISTANCES.items()
    }


def small(image):
    """A level of the mipmap, and where its first pixel lies."""
    factor = round(1 / SCALE)
    size = (image.shape[1] // factor, image.shape[0] // factor)
    level = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return Picture(level, np.ones(level.shape, bool)), np.full(2, (factor - 1) / 2)


def by_blocks(p, q):
    features = []
    for image in (p, q):
        picture, origin = small(image)
        how = block.BlockParams()
        features.append(block.BlockFeatures(picture, how, scale=SCALE, origin=origin))
    found = block.match_block(*features)
    assert found.reason is None
    return geometry.fit_affine(found.p, found.q, found.weights)


def by_sift(p, q):
    how = sift.Extraction(min_scale=0.125, max_scale=1.0, steps=5)
    (a, origin), (b, _) = small(p), small(q)
    one, other = sift.extract(a, how), sift.extract(b, how)
    chosen = sift.candidates(one, other, 0.92)
    ours, theirs = one.xy[chosen[:, 0]], other.xy[chosen[:, 1]]
    how = ransac.Consensus("AFFINE", 5 * SCALE, 1000, 20, max_trust=4.0)
    sets = ransac.single_set(ours, theirs, how, ransac.generator("benchmark")).sets
    if not sets:
        return None
    found = sets[0]
    return geometry.fit_affine(ours[found] / SCALE + origin, theirs[found] / SCALE + origin)


def by_turboreg(p, q):
    return StackReg(StackReg.AFFINE).register(p.astype(float), q.astype(float))[:2]


def rms_px(way, pairs, side):
    """Median over the pairs that are matched; None when none is."""
    found = [way(*pair) for pair in pairs]
    errors = [error_px(one, side) for one in found if one is not None]
    return float(np.median(errors)) if errors else None


def error_px(found, side):
    at = np.linspace(0, side - 1, 9)
    grid = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    error = geometry.apply(found, grid) - geometry.apply(motion(side), grid)
    return float(np.sqrt((error**2).sum(axis=1).mean()))


METHODS = {"block": by_blocks, "sift": by_sift, "turboreg": by_turboreg}


def test_seconds_per_pair(bench, task):
    pair = task[1]["next"][0]
    seconds = {
        name: bench.cpu_s(lambda way=way: way(*pair), repeats=1 if name == "turboreg" else 5)
        for name, way in METHODS.items()
    }
    bench.row("match.sift.cpu_s_per_pair", seconds["sift"], "CPU s", better="lower")
    beside = {"sift": seconds["sift"], "pystackreg": seconds["turboreg"]}
    bench.row("match.block.cpu_s_per_pair", seconds["block"], "CPU s", better="lower", **beside)
    assert seconds["block"] < seconds["sift"] or not bench.measuring


@pytest.mark.parametrize("name", DISTANCES)
def test_accuracy(bench, task, name):
    side, pairs = task
    error = {kind: rms_px(way, pairs[name], side) for kind, way in METHODS.items()}
    beside = {"sift": error["sift"], "pystackreg": error["turboreg"]}
    bench.row(f"match.sift.rms_px.{name}", error["sift"], "px", better="lower")
    bench.row(f"match.block.rms_px.{name}", error["block"], "px", better="lower", **beside)
    # on any size of pair: never worse than the peer on the very same pairs
    assert error["sift"] is None or error["block"] < error["sift"], error

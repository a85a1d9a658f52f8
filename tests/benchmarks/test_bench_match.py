"""Seconds and accuracy of the dense matcher, beside SIFT and TurboReg on the same pairs.

Pairs: sections of the real volume, which is 250 px wide, side by side until they fill 2048 x 2048
px at native texture: along all three axes, 9 px apart and turned at random, so that nothing
repeats. Then the same, the next or the fourth section of each, as a whole turned by 0.2 degrees,
0.1 % larger, shifted by (11.3, -9.2) px, 8 % brighter, with noise of its own (8 grey levels).
Rows `.unseen`: other sections, turned otherwise and moved otherwise, which no value of the preset
was chosen on.
Images are decoded; everything from there on counts, with the features of both tiles, which all
pairs of a tile share in a volume. rms: between the affine of the matches and the true one, over the
tile; the median of several pairs.
"""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import yaml
from pystackreg import StackReg
from scipy import ndimage

from scripts.lib import geometry
from scripts.lib.drawing.compose import Picture
from scripts.lib.numerics import models
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.match import pairs as planned
from scripts.match import presets, ransac, sift, stages
from scripts.match.canvases import Canvases

ROOT = Path(__file__).resolve().parents[2]
VOLUME = ROOT.parent / "shared/data/fib25/fib25_250.h5"
TABLE = yaml.safe_load((ROOT / "config/match_stages/block.yaml").read_text())
SCALE = 0.25
APART = 9
DISTANCES = {"same": 0, "next": 1, "fourth": 4}
# first sections, seed of the turns, (degrees, scale, shift px)
TUNED = ((0, 2, 4), 0, (0.2, 1.001, (11.3, -9.2)))
UNSEEN = ((6, 8, 10), 7, (-0.2, 0.999, (-15.4, 6.7)))

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not VOLUME.exists(), reason="no real volume beside the project"),
]


def motion(side, degrees, scale, shift):
    """p to q."""
    c, s = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    linear = np.array([[c, -s], [s, c]])
    middle = np.full(2, (side - 1) / 2)
    return np.column_stack([linear, middle + np.array(shift) - linear @ middle])


def seen(section, affine, side, rng):
    """A section through `affine` (specimen to picture) as 8-bit picture."""
    inverse = geometry.invert(affine)
    size = {"output_shape": (side, side), "output": np.float32}
    image = ndimage.affine_transform(
        section, inverse[::-1, 1::-1], inverse[::-1, 2] + 80, order=5, mode="mirror", **size
    )
    return np.clip(np.rint(image + 8 * rng.standard_normal(image.shape)), 0, 255).astype(np.uint8)


def mosaic(volume, first, side, seed=0):
    """Sections of the volume side by side, grey levels as float32."""
    n = -(-side // 250)
    turn = np.random.default_rng(seed).integers(0, 4, n * n)
    patches = [
        np.rot90(
            volume.transpose(k % 3, (k + 1) % 3, (k + 2) % 3)[first + APART * (k // 3)], turn[k]
        )
        for k in range(n * n)
    ]
    return np.block([patches[n * row : n * row + n] for row in range(n)]).astype(np.float32)


def make_pair(volume, first, dz, side, seed, affine):
    rng = np.random.default_rng(first)
    one, other = (mosaic(volume, first + k, side + 160, seed) for k in (0, dz))
    p = seen(one, geometry.identity(), side, rng)
    q = seen(1.08 * (other - 128) + 133, affine, side, rng)
    return p, q


@pytest.fixture(scope="module")
def volume():
    cv2.setNumThreads(1)
    with h5py.File(VOLUME) as file:
        return file["volume"][()]


def task(bench, volume, which, name):
    """Pairs of one distance, and their true affine."""
    (sections, seed, how), side = which, 2048 if bench.measuring else 512
    affine = motion(side, *how)
    sections = sections if bench.measuring else sections[:1]
    dz = DISTANCES[name]
    return [make_pair(volume, first, dz, side, seed, affine) for first in sections], affine


def small(image):
    """A level of the mipmap, and where its first pixel lies."""
    factor = round(1 / SCALE)
    size = (image.shape[1] // factor, image.shape[0] // factor)
    level = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return Picture(level, np.ones(level.shape, bool)), np.full(2, (factor - 1) / 2)


def by_blocks(p, q):
    """The first stage of the preset, as a job runs it."""
    specs = [
        TileSpec(name, z, *image.shape[::-1], "none", (Leaf(AFFINE, "1 0 0 1 0 0"),))
        for name, z, image in (("p", 1.0, p), ("q", 2.0, q))
    ]

    def source(tile, level):
        image = {"p": p, "q": q}[tile.tile_id]
        size = (image.shape[1] >> level, image.shape[0] >> level)
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA), None

    canvases = Canvases(TileSet(tuple(specs)).with_bounds(), budget_mb=200, source=source)
    first = presets.read_run(TABLE, "cross").stages[:1]
    found = stages.match_pair(planned.Pair("1.0", "p", "2.0", "q", 1), first, canvases)
    record = found.matches
    return None if record is None else models.fit_affine(record.p, record.q, record.w)


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
    return models.fit_affine(ours[found] / SCALE + origin, theirs[found] / SCALE + origin)


def by_turboreg(p, q):
    return StackReg(StackReg.AFFINE).register(p.astype(float), q.astype(float))[:2]


def rms_px(way, pairs, affine):
    """Median over the pairs that are matched; None when none is."""
    found = [way(*pair) for pair in pairs]
    errors = [error_px(one, affine, pairs[0][0].shape[0]) for one in found if one is not None]
    return float(np.median(errors)) if errors else None


def error_px(found, affine, side):
    at = np.linspace(0, side - 1, 9)
    grid = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    error = geometry.apply(found, grid) - geometry.apply(affine, grid)
    return float(np.sqrt((error**2).sum(axis=1).mean()))


METHODS = {"block": by_blocks, "sift": by_sift, "turboreg": by_turboreg}


def test_seconds_per_pair(bench, volume):
    pair = task(bench, volume, TUNED, "next")[0][0]
    seconds = {
        name: bench.cpu_s(lambda way=way: way(*pair), repeats=1 if name == "turboreg" else 5)
        for name, way in METHODS.items()
    }
    bench.row("match.sift.cpu_s_per_pair", seconds["sift"], "CPU s", better="lower")
    beside = {"sift": seconds["sift"], "pystackreg": seconds["turboreg"]}
    bench.row("match.block.cpu_s_per_pair", seconds["block"], "CPU s", better="lower", **beside)
    print_ratios("CPU s per pair", seconds)
    assert seconds["block"] < seconds["sift"] or not bench.measuring


def print_ratios(what, figures):
    ours = figures["block"]
    peers = [f"{k} {v:.4g}" + (f" ({ours / v:.2f})" if v else "") for k, v in figures.items() if v]
    print(f"{what}: block {ours:.4g} (ours / theirs); {', '.join(peers[1:])}")  # noqa: T201


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("suffix", ["", ".unseen"])
def test_accuracy(bench, volume, name, suffix):
    if suffix and not bench.measuring:
        pytest.skip("a figure only")
    pairs, affine = task(bench, volume, UNSEEN if suffix else TUNED, name)
    error = {kind: rms_px(way, pairs, affine) for kind, way in METHODS.items()}
    beside = {"sift": error["sift"], "pystackreg": error["turboreg"]}
    bench.row(f"match.sift.rms_px.{name}{suffix}", error["sift"], "px", better="lower")
    bench.row(f"match.block.rms_px.{name}{suffix}", error["block"], "px", better="lower", **beside)
    print_ratios(f"rms px, {name}{suffix}", error)
    # on any size of pair: never worse than the peer on the very same pairs
    assert error["sift"] is None or error["block"] < error["sift"], error

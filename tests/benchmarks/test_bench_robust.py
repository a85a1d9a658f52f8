"""What the shipped stages of table `block` save, and whether any of it is false, beside SIFT alone.

Pairs of 1024 x 1024 px: a section of the real volume and the next one, side by side patches as in
`test_bench_match`, each with noise of its own; then the row's trouble. SIFT alone is the same table
without its first stage. A model is false when it misses the true one by more than 3 px rms over the
overlap (sections themselves move by 0.1 px). The table in docs/match.md is written here.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import yaml

from scripts.lib import geometry
from scripts.lib.numerics import models
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.match import pairs as planned
from scripts.match import presets, screening, stages
from scripts.match.canvases import Canvases
from tests.benchmarks.realsize import STRANGE, TISSUE, tissue
from tests.benchmarks.test_bench_match import ROOT, VOLUME, mosaic, motion

TABLE = yaml.safe_load((ROOT / "config/match_stages/block.yaml").read_text())
PAGE = ROOT / "docs/match.md"
MARKS = ("<!-- robustness: written by make bench -->\n", "<!-- end of robustness -->\n")
FALSE_PX = 3.0
PAIRS = 6

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not VOLUME.exists(), reason="no real volume beside the project"),
]


def same(image, _rng):
    return image


def curtains(image, rng):
    """Vertical streaks of 25 grey levels, of this tile alone."""
    streaks = cv2.GaussianBlur(rng.standard_normal((1, image.shape[1])), (0, 0), 1.5)
    return image + 25 * streaks / streaks.std()


def blobs(image, rng):
    """Charging: 25 bright spots of 10 to 40 px, elsewhere in each tile."""
    h, w = image.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    for _ in range(25):
        a, b, sd = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(10, 40)
        image = image + 150 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sd**2))
    return image


def saturated(image, _rng):
    """Contrast so high that a quarter of the pixels is white and some are black."""
    return 2.5 * (image - np.percentile(image, 75)) + 255


# row: (shift px, turn in degrees, share of resin, trouble, overlap as share of the side or None)
ROWS = {
    "5 px": (5, 0, 0, same, None),
    "10 px": (10, 0, 0, same, None),
    "20 px": (20, 0, 0, same, None),
    "40 px": (40, 0, 0, same, None),
    "0.2 deg": (5, 0.2, 0, same, None),
    "1 deg": (5, 1.0, 0, same, None),
    "3 deg": (5, 3.0, 0, same, None),
    "half resin": (5, 0.2, 0.5, same, None),
    "curtains": (5, 0.2, 0, curtains, None),
    "bright blobs": (5, 0.2, 0, blobs, None),
    "saturation": (5, 0.2, 0, saturated, None),
    "10 % overlap": (5, 0.2, 0, same, 0.10),
    "3 % overlap": (5, 0.2, 0, same, 0.03),
    "unrelated": None,
}


@pytest.fixture(scope="module")
def volume():
    cv2.setNumThreads(1)
    with h5py.File(VOLUME) as file:
        return file["volume"][()]


def scene(volume, row, k, side, laid=mosaic):
    """Tiles p and q, nominal place of q in p's frame, true affine of p to q (None: unrelated)."""
    rng = np.random.default_rng(1000 + k)
    shift, degrees, resin, trouble, overlap = ROWS[row] or ROWS["5 px"]
    first = k % 4 + 6 * (k // 4)
    base = laid(volume, first, 2 * side + 80, 11 + k)
    other = base if overlap else laid(volume, first + 1, 2 * side + 80, 11 + k)
    if ROWS[row] is None:  # the same sections, another place
        other = np.rot90(other[::-1, ::-1], 1).copy()
    if resin:
        for section in (base, other):
            section[:, round(40 + side * resin) :] = 120.0
    step = 0.0 if overlap is None else side * (1 - overlap)
    direction = rng.uniform(0, 2 * np.pi)
    error = shift * np.array([np.cos(direction), np.sin(direction)])
    turn = motion(side, degrees, 1.0, error)
    truth = geometry.compose(turn, geometry.translation(-step, 0))
    pictures = []
    for section, affine in ((base, geometry.identity()), (other, truth)):
        back = geometry.compose(geometry.translation(40, 40), geometry.invert(affine))
        how = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(section, back, (side, side), flags=how)
        seen = trouble(seen, rng) + 8 * rng.standard_normal(seen.shape)
        pictures.append(np.clip(np.rint(seen), 0, 255).astype(np.uint8))
    return (*pictures, step, None if ROWS[row] is None else truth)


def pair_of(pictures, step):
    """The pair and what its tiles are drawn with."""
    side = len(pictures[0])
    names = ("p", "q")
    specs = tuple(
        TileSpec(name, 1.0 + (not step) * i, side, side, "none", (Leaf(AFFINE, f"1 0 0 1 {x} 0"),))
        for i, (name, x) in enumerate(zip(names, (0, step), strict=True))
    )

    def source(tile, level):
        size = (side >> level, side >> level)
        image = pictures[names.index(tile.tile_id)]
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA), None

    canvases = Canvases(TileSet(specs).with_bounds(), budget_mb=200, source=source)
    where = ("LEFT", "RIGHT") if step else ("", "")
    pair = planned.Pair("1.0", "p", "1.0" if step else "2.0", "q", 0 if step else 1, *where)
    return pair, canvases


def outcome(pictures, step, truth, table):
    """ "saved", "false" or "failed"."""
    side = len(pictures[0])
    pair, canvases = pair_of(pictures, step)
    found = stages.match_pair(pair, table, canvases).matches
    if found is None:
        return "failed"
    if truth is None:
        return "false"
    line = np.ptp(found.p, axis=0).min() < 0.2 * np.ptp(found.p, axis=0).max()
    fit = models.fit_rigid if line else models.fit_affine
    at = np.linspace(0, side - 1, 9)
    grid = np.stack(np.meshgrid(step + at * (1 - step / side), at), axis=-1).reshape(-1, 2)
    model = fit(found.p, found.q, found.w)
    error = geometry.apply(model, grid) - geometry.apply(truth, grid)
    return "false" if np.sqrt((error**2).sum(axis=1).mean()) > FALSE_PX else "saved"


def tables(step):
    run = presets.read_run(TABLE, "montage" if step else "cross").stages
    return {"block": run, "sift": [replace(stage) for stage in run if stage.method == "sift"]}


def test_robustness(bench, volume):
    rows = ROWS if bench.measuring else ("20 px", "unrelated")
    lines, problems = [], []
    for row in rows:
        count = {"block": [], "sift": []}
        for k in range(PAIRS if bench.measuring else 1):
            *pictures, step, truth = scene(volume, row, k, 1024 if bench.measuring else 512)
            for name, table in tables(step).items():
                count[name].append(outcome(pictures, step, truth, table))
        share = {
            (name, what): 100 * done.count(what) / len(done)
            for name, done in count.items()
            for what in ("saved", "false")
        }
        for what, better in (("saved", "higher"), ("false", "lower")):
            figure = f"match.robust.{row.replace(' ', '_').replace('%', 'pct')}.{what}_pct"
            beside = {"sift": share["sift", what]}
            bench.row(figure, share["block", what], "% of pairs", better=better, **beside)
        problems += [row] * (share["block", "false"] > 0)
        problems += [row] * (share["block", "saved"] < share["sift", "saved"])
        figures = (share[key] for key in sorted(share, key=lambda key: (key[1] != "saved", key)))
        lines.append(f"| {row} | " + " | ".join(f"{value:.0f}" for value in figures) + " |\n")
        print(lines[-1], end="")  # noqa: T201
    if bench.measuring:
        write_table(PAGE, lines)
    assert not problems  # a false model, or less saved than by SIFT alone


def large(volume, first, side, _seed):
    """A section of more patches than `mosaic` has."""
    return tissue(volume, TISSUE, first, (side, side))


def test_the_look_at_low_scale_knows_what_is_alike(bench, volume):
    """What keeps large tiles that do not match from the stages that cost most."""
    rows = ROWS if bench.measuring else ("3 deg", "unrelated")
    side, wrong = (2048 if bench.measuring else 1024), []
    for row in rows:
        *pictures, step, truth = scene(volume, row, 0, side, large)
        if truth is None:  # turned sections hold patches of each other's neighbours
            pictures[1] = tissue(volume, STRANGE[1], 0, (side, side)).astype(np.uint8)
        pair, canvases = pair_of(pictures, step)
        asked = replace(tables(step)["sift"][-1], max_cpu_s=0.01)
        alike = not screening.objection(pair, asked, canvases)
        wrong += [row] * (alike != (truth is not None))
    bench.row("match.look.wrong_rows", len(wrong), "rows", better="lower")
    assert not wrong, wrong


def write_table(page: Path, lines):
    head = "| trouble | saved, `block` | saved, SIFT alone | false, `block` | false, SIFT alone |\n"
    before, _, rest = page.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    body = head + "|---|---|---|---|---|\n" + "".join(lines)
    page.write_text(before + MARKS[0] + body + MARKS[1] + after)

"""Inferred z on many small stacks of known z, of all kinds: seconds for each (`cut_stacks`).

What is asked: that no stack ends farther from its truth than nominal z leaves it, and that the
chances of even stacks (`thickness_chance`) are evenly spread. Choices were made with seeds 0 to 89;
those here were looked at once. "Even" are layers along x and y of FIB-25, which are as even as
its pixels, and synthetic textures; along z both volumes are uneven themselves:

`test_sections_of_celegans`: thickness of the untouched sections, from both halves of the field.
They have no tissue in common, so what they agree on is the sections' own (distances, or another
trait of whole sections). Cut stacks are judged by a truth in which sections are evenly spaced.

A stack that was measured by the same code is not measured again (`build/bench/stacks_*.jsonl`), so
that what was stopped goes on where it was.

    pytest -n 0 -s --benchmark-enable tests/benchmarks/test_bench_stacks.py
"""

from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from scripts.zcorr import decay, inference, methods, misalignment, sampling, thickness
from tests.benchmarks import cut_stacks
from tests.benchmarks.conftest import code_of
from tests.benchmarks.cut_stacks import REACH, VOLUMES, Recipe, measured, rms

ROOT = Path(__file__).parents[2]
FIRST_SEED = 5000
SIDES, LAYERS = (72, 100, 140, 200, 240, 300, 420), (12, 24, 40, 60, 80)
INSIDE = (72, 100, 140, 200)  # px; of 250, so that no tissue is there twice, mirrored
HARMED = 1.05  # of the rms of nominal z

pytestmark = pytest.mark.skipif(
    not all(path.exists() for path in VOLUMES.values()), reason="no tissue beside the project"
)


@pytest.fixture(scope="module")
def defaults():
    schema = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
    section = schema["properties"]["zcorr"]["properties"]
    return {name: about["default"] for name, about in section.items()}


def drawn(kind, seed):
    """Draw the recipe of a stack."""
    rng = np.random.default_rng([seed, 77])
    axis, side = "zyx"[int(rng.integers(3))], int(rng.choice(SIDES))
    layers = int(rng.choice(LAYERS))
    if kind == "celegans":
        sides, counts = (100, 140, 180, 200, 240), (10, 12, 14, 16)
        noise = float(rng.choice((1, 1, 2)))
        size = int(rng.choice(sides)), int(rng.choice(counts))
        return Recipe("celegans", "z", *size, seed, noise=noise)
    if kind == "second":
        return Recipe("second", axis, int(rng.choice((72, 88, 104, 128))), layers, seed)
    if kind == "emerge":
        size = int(rng.choice((140, 200, 240, 300))), int(rng.choice((24, 40, 60)))
        return Recipe("fib25", axis, *size, seed, emerge=float(rng.choice((2, 3, 4, 5))))
    if kind == "third":
        return Recipe("fib25", axis, side, min(layers, 60), seed, every=3)
    if kind == "noise":
        return Recipe("fib25", axis, side, layers, seed, noise=3.0)
    return Recipe("fib25", axis, side, layers, seed)


def even(seed):
    """Draw the recipe of a stack of even thickness, of one of three sources."""
    rng = np.random.default_rng([seed, 78])
    layers, axis = int(rng.choice(LAYERS)), "yx"[seed % 2]
    source = ("fib25", "second", "synthetic")[seed // 2 % 3]
    sides = {"fib25": INSIDE, "second": (72, 88), "synthetic": (*INSIDE, 300, 420)}[source]
    side = int(rng.choice(sides))
    layers = min(layers, 40) if side > 200 else layers
    return Recipe(source, axis, side, layers, seed, even=True)


def inferred(recipe, defaults):
    stack = cut_stacks.cut(recipe)
    return stack, methods.isotropic(measured(stack.layers, recipe.every), defaults)


def judged(recipe, defaults):
    """Name of a stack; its z rms of that of nominal z, how thickness correlates; whether large."""
    stack, result = inferred(recipe, defaults)
    ratio = rms(result.z, stack.z) / rms(np.arange(recipe.layers), stack.z)
    steps = np.diff(result.z)
    alike = np.corrcoef(steps, np.diff(stack.z))[0, 1] if np.ptp(steps) > 1e-9 else 0.0
    assert (steps > 0).all()
    return recipe.name, float(ratio), float(alike), recipe.side >= 300 and recipe.layers >= 24


def code():
    """A digest of all that decides on a result: what is kept of other code is measured again."""
    return code_of("tests/benchmarks/test_bench_stacks.py", "tests/benchmarks/cut_stacks.py")


@pytest.mark.parametrize("kind", ["uneven", "emerge", "third", "noise", "second", "celegans"])
def test_z_of_stacks_of_all_kinds(bench, defaults, kind):
    """Ratio of the rms of z to that of nominal z, and of thickness to its truth."""
    count = (60 if kind == "uneven" else 20) if bench.measuring else 1
    seeds = range(FIRST_SEED, FIRST_SEED + count)

    def work(seed):
        return judged(drawn(kind, seed), defaults)

    found = list(bench.each(f"stacks_{kind}", seeds, work, code()))
    for name, ratio, alike, _ in found:
        if ratio > HARMED:
            print(f"harmed: {name}: {ratio:.2f}, correlation {alike:.2f}")
    ratios, alike, large = np.array([row[1:] for row in found]).T
    facts = {"worst": ratios.max(), "harmed": int((ratios > HARMED).sum()), "stacks": count}
    if (large > 0).any():  # 300 px and 24 layers at least
        facts |= {"large": ratios[large > 0].mean(), "large_correlation": alike[large > 0].mean()}
    print(f"{kind}: mean {ratios.mean():.3f}", {k: round(v, 3) for k, v in facts.items()})
    name = f"zcorr.z_rms_ratio_{kind}"
    bench.row(name, ratios.mean(), "of nothing done", better="lower", **facts)


def test_chances_of_even_stacks_are_evenly_spread(bench, defaults):
    """None of them may be moved either.

    Fine synthetic textures have so many grains that what whole layers err by (a tenth of a pixel of
    misalignment, noise) stands out of what cells do: a row of their own.
    """
    seeds = range(FIRST_SEED, FIRST_SEED + (200 if bench.measuring else 6))

    def work(seed):
        recipe = even(seed)
        stack, result = inferred(recipe, defaults)
        source = "synthetic" if recipe.volume == "synthetic" else "tissue"
        off = bool(rms(result.z, stack.z) > 1e-6)
        return source, float(result.figures["thickness_chance"]), off

    found = list(bench.each("stacks_even", seeds, work, code()))
    moved = sum(off for *_, off in found)
    for source in ("tissue", "synthetic"):
        chances = [chance for kind, chance, _ in found if kind == source]
        agree = float(stats.kstest(chances, "uniform").pvalue)
        spread = np.histogram(chances, np.linspace(0, 1, 11))[0].tolist()
        print(f"{source}, {len(chances)} even: chances by tenths {spread}, KS {agree:.3f}")
        name = f"zcorr.chances_evenly_spread_{source}"
        bench.row(name, agree, "KS p", better="higher", moved=moved)
    print(f"{moved} moved")


def coordinates(layers):
    """Z as measured, all of it believed; of mean thickness 1."""
    found = measured(np.ascontiguousarray(layers))
    curve = decay.decay(found.inplane, found.variance, found.pixel_layers, REACH)
    band = misalignment.compensated(found.band, found.shift, found.curvature, 3)
    trust = inference.trust(found.band_share)
    variance = sampling.pair_variance(sampling.influence(found, band, curve), found.band_share)
    z = thickness.positions(decay.distances(band, curve), trust, variance).z
    return z * (len(z) - 1) / z[-1]


def off_nominal(layers):
    """What is left of z after the best line through nominal z."""
    z, index = coordinates(layers), np.arange(len(layers))
    return z - np.polyval(np.polyfit(index, z, 1), index)


def test_sections_of_celegans(bench):
    volume = np.clip(cut_stacks.volume_of("celegans", "z"), 1, 255).astype(np.uint8)
    middle = volume.shape[1] // 2
    halves = {
        "left and right": (volume[:, :, :middle], volume[:, :, middle:]),
        "top and bottom": (volume[:, :middle], volume[:, middle:]),
    }
    common = {}
    for name, (one, other) in halves.items():
        a, b = off_nominal(one), off_nominal(other)
        common[name] = float(np.sqrt(max(np.mean(a * b), 0)))
        print(
            f"{name}: off nominal z by {a.std():.2f} and {b.std():.2f} layers, correlation"
            f" {np.corrcoef(a, b)[0, 1]:.2f}, {common[name]:.2f} in common"
        )
        assert np.corrcoef(a, b)[0, 1] > 0.5
    bench.row("zcorr.unevenness_of_celegans", min(common.values()), "layers rms", better="lower")

"""How well thickness comes back from real tissue whose true z is known, and what limits it.

Layers are cut from FIB-25 along its three axes at uneven and at even z by the generator of
acquisitions (one tile a layer, detector noise, curtains, 0.1 px of misalignment), and laid on one
grid by their true transforms. Uneven: sd of thickness 20 %, lost slices. Figures are those of
`methods.isotropic` with the schema's defaults: the rms of z, after the best line, over that of
leaving all layers where they are; the correlation of thickness; the rms of z of even stacks.

What limits it: thickness of the untouched volume, from each quarter of its layers alone. Tissue
differs from quarter to quarter, thickness does not: so what quarters have in common is that the
volume's layers are not as even as they are stored (or some other trait of whole layers, as focus),
and the rest of their variance is tissue and noise.

    pytest -n 0 -s --benchmark-enable tests/benchmarks/test_bench_thickness.py
"""

import importlib.util
import itertools
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from scipy import fft, ndimage

from scripts.zcorr import decay, inference, methods, misalignment, thickness
from tests.benchmarks.cut_stacks import AXES, COUNTS, DATA, REACH, Cut, measured, rms

ROOT = Path(__file__).parents[2]
VOLUME = DATA / "fib25/fib25_250.h5"
SEEDS = (501, 502, 503)  # one for each axis; looked at once, after all choices
BANDS = ((2, 4), (4, 8), (8, 16), (16, 32), (32, 64))  # wavelengths, layers

pytestmark = pytest.mark.skipif(not VOLUME.exists(), reason="no tissue beside the project")


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_misaligned", DATA / "make_misaligned.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_misaligned"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def defaults():
    schema = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
    section = schema["properties"]["zcorr"]["properties"]
    return {name: about["default"] for name, about in section.items()}


def turned(maker, axis):
    return np.ascontiguousarray(maker.load_volume(str(VOLUME)).transpose(list(AXES.values())[axis]))


def cut(maker, volume, seed, layers, side, **how):
    """Cut `layers` of `side` px, seen through their true transforms."""
    margin = 40  # px that drift may take
    tile = side + margin
    params = maker.Params(
        seed=seed,
        layers=layers,
        rows=1,
        columns=1,
        tile_height=tile,
        tile_width=tile,
        corrupt=0,
        overlap=0.1,
        **how,
    )
    truth = maker.make_truth(params, volume.shape)
    raw = np.arange(tile, dtype=float)
    straight = maker.scan_correct(raw, params.scan)
    place = (volume.shape[2] - 1) / 2 - (side - 1) / 2 + np.arange(side)
    world = np.stack(np.meshgrid(place, place), axis=-1)
    shown = []
    for tile_facts, facts in zip(truth["tiles"], truth["layers"], strict=True):
        plane = maker.sample_plane(volume, facts["z_true"], params.sigma_z)
        spline = ndimage.spline_filter(plane, order=3, mode="mirror", output=np.float32)
        seen = maker.specimen(tile_facts, spline, params)
        counts = maker.detect(seen, tile_facts, facts, params)[0].astype(float)
        grey = 255 * (1 - (counts - COUNTS[0]) / (COUNTS[1] - COUNTS[0]))
        image = np.clip(np.rint(grey), 1, 254).astype(np.float32)
        m = np.reshape(tile_facts["true_affine"], (3, 2))
        u, v = np.moveaxis((world - m[2]) @ np.linalg.inv(m[:2]), -1, 0).astype(np.float32)
        u = np.interp(u, straight, raw, left=-1, right=tile).astype(np.float32)
        shown.append(cv2.remap(image, u, v, cv2.INTER_LINEAR, borderValue=0))
    z = np.array([facts["z_true"] for facts in truth["layers"]])
    lost = np.array([facts["slice_lost_before"] for facts in truth["layers"]], bool)
    return Cut(np.rint(shown).astype(np.uint8), z, lost)


def test_thickness_of_real_tissue(bench, maker, defaults):
    layers, side = (150, 400) if bench.measuring else (12, 48)
    axes = range(3) if bench.measuring else range(1)
    kinds = {"uneven": {}, "even": {"thickness_sd": 0.0, "lost_slice_rate": 0.0}}
    ratios, alike, even, lost = [], [], [], np.zeros(3, int)  # there, found, invented
    for (axis, seed), kind in itertools.product(zip(axes, SEEDS, strict=False), kinds):
        volume = turned(maker, axis)
        volume = volume if bench.measuring else volume[:60, :100, :100]
        stack = cut(maker, volume, seed, layers, side, **kinds[kind])
        result = methods.isotropic(measured(stack.layers), defaults)
        assert np.isfinite(result.z).all()
        assert (np.diff(result.z) > 0).all()
        lost += [
            stack.lost.sum(),
            (stack.lost & result.lost).sum(),
            (result.lost > stack.lost).sum(),
        ]
        if kind == "even":
            even.append(rms(result.z, stack.z))
            print(f"axis {axis} seed {seed} even: z rms {even[-1]:.3f} layers")
            continue
        nothing = rms(np.arange(layers), stack.z)
        ratios.append(rms(result.z, stack.z) / nothing)
        found = np.diff(result.z)
        believed = np.ptp(found) > 1e-9
        alike.append(float(np.corrcoef(found, np.diff(stack.z))[0, 1]) if believed else 0.0)
        print(f"axis {axis} seed {seed}: {ratios[-1]:.2f} of {nothing:.2f} layers, {alike[-1]:.3f}")
    print("lost slices: {} there, {} found, {} invented".format(*lost.tolist()))
    worst = {"worst": max(ratios)}
    bench.row("zcorr.z_rms_ratio", np.mean(ratios), "of nothing done", better="lower", **worst)
    bench.row("zcorr.thickness_correlation", np.mean(alike), "", better="higher", worst=min(alike))
    bench.row("zcorr.even_z_rms", max(even), "layers", better="lower")


def test_thickness_where_there_is_little_tissue(bench, maker, defaults):
    """No stack ends farther from the truth than it was; even ones stay even."""
    sides, layers = ((80, 120, 160, 240, 300), 60) if bench.measuring else ((48,), 12)
    for side in sides:
        ratios, alike, even = [], [], []
        for axis, seed in itertools.product(range(3) if bench.measuring else [0], (601, 602)):
            volume = turned(maker, axis)
            stack = cut(maker, volume, seed, layers, side)
            result = methods.isotropic(measured(stack.layers), defaults)
            ratios.append(rms(result.z, stack.z) / rms(np.arange(layers), stack.z))
            found = np.diff(result.z)
            believed = np.ptp(found) > 1e-9
            alike.append(np.corrcoef(found, np.diff(stack.z))[0, 1] if believed else 0.0)
            flat = cut(maker, volume, seed, layers, side, thickness_sd=0.0, lost_slice_rate=0.0)
            even.append(rms(methods.isotropic(measured(flat.layers), defaults).z, flat.z))
        worst = {"worst": max(ratios), "even_z_rms": max(even), "correlation": np.mean(alike)}
        print(f"{side} px: {np.mean(ratios):.2f}", {k: round(v, 3) for k, v in worst.items()})
        row = f"zcorr.z_rms_ratio_{side}px"
        bench.row(row, np.mean(ratios), "of nothing done", better="lower", **worst)


def steps(layers, around):
    """Log of thickness as measured, all of it believed."""
    found = measured(layers)
    curve = decay.decay(found.inplane, found.variance, found.pixel_layers, REACH)
    band = misalignment.compensated(found.band, found.shift, found.curvature, around)
    trust = inference.trust(found.band_share)
    fit = thickness.positions(decay.distances(band, curve), trust)
    return np.log(np.maximum(np.diff(fit.z), 0.05))


def variances(one, other):
    """Covariance of two profiles in each of `BANDS`."""
    n = len(one)
    power = np.prod([fft.dct(each - each.mean(), norm="ortho") for each in (one, other)], axis=0)
    wave = 2 * n / np.maximum(np.arange(n), 0.5)
    return np.array([power[(wave >= low) & (wave < high)].sum() / n for low, high in BANDS])


def test_what_quarters_of_a_layer_have_in_common(bench, maker, defaults):
    around = defaults["isotropy_error_layers"]
    common = {}
    for axis in range(3) if bench.measuring else range(1):
        volume = np.clip(turned(maker, axis), 1, 255).astype(np.uint8)
        volume = volume if bench.measuring else volume[:40, :128, :128]
        halves = [(slice(0, n // 2), slice(n // 2, n)) for n in volume.shape[1:]]
        quarters = [volume[:, rows, columns] for rows, columns in itertools.product(*halves)]
        each = [steps(np.ascontiguousarray(one), around) for one in quarters]
        own = np.mean([variances(one, one) for one in each], axis=0)
        shared = np.mean([variances(*two) for two in itertools.combinations(each, 2)], axis=0)
        assert (own > 0).all()
        common["zyx"[axis]] = float(np.sqrt(max(shared.sum(), 0)))
        shares = ", ".join(f"{v:.2f}" for v in shared / own)
        print(f"along {'zyx'[axis]}: quarters share {shares} of variance at {BANDS} layers")
    bench.row("zcorr.unevenness_of_fib25", common.pop("z"), "sd of log", better="lower", **common)

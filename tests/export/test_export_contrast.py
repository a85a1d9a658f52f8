"""16 bit shown in 8: what the three rules make black and white, and both depths in one pass."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from scripts.export import contrast, measure_grey_values, pyramid, seams, set_contrast
from scripts.export import shown as shown_module
from scripts.lib import files, made_by
from scripts.lib.geometry import Box
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import Leaf, TileSet
from scripts.lib.transforms import AFFINE, affine_data
from scripts.lib.volumes import multiscale
from tests.export import kills, test_parts
from tests.export.synthetic import RENDER, halved
from tests.export.test_export_geometry import tile

SETTINGS = {
    "rule": "volume",
    "dark_pct": 0.5,
    "bright_pct": 0.5,
    "smooth_layers": 0,
    "spread_sd": 3,
    "most_gain": 3,
    "cell_px": 64,
    "every_layers": 1,
    "invert": False,
}
LAYERS = range(4, 21)


def noise(seed, mean=34000.0, sd=300.0, shape=(64, 64)):
    values = np.random.default_rng(seed).normal(mean, sd, shape)
    return np.clip(np.rint(values), 1, 65535).astype(np.uint16)


def measured(images, z0=1):
    """Measure layers of (gy, gx) cells of 64 px; None: nothing there."""
    rows, columns = len(images[0]), len(images[0][0])
    sums = np.zeros((len(images), rows, columns, 3))
    histogram = np.zeros((len(images), contrast.BINS), np.int64)
    for k, layer in enumerate(images):
        for i, row in enumerate(layer):
            for j, pixels in enumerate(row):
                if pixels is not None:
                    found, sums[k, i, j] = contrast.of_cell(pixels)
                    histogram[k] += found
    centres = [31.5 + 64 * np.arange(n) for n in (rows, columns)]
    z = np.arange(z0, z0 + len(images))
    return contrast.Measured(z, histogram, *np.moveaxis(sums, -1, 0), *centres)


def shown(pixels, found, z, x0=0, y0=0):
    """One layer of an area as it is shown."""
    box = Box(x0, y0, x0 + pixels.shape[1], y0 + pixels.shape[0])
    how = shown_module.Shown.of(found, [z])
    return how.in_8_bit(pixels[None], slice(0, 1), box, 1)[0]


def test_percentiles_of_a_histogram_are_those_of_the_pixels():
    pixels = noise(0)
    histogram, (count, total, squares) = contrast.of_cell(pixels)
    for pct in (0.5, 50, 99.5):
        assert abs(contrast.percentile(histogram, pct) - np.percentile(pixels, pct)) < 16
    assert count == pixels.size
    assert total / count == pytest.approx(pixels.mean())
    assert squares / count - (total / count) ** 2 == pytest.approx(pixels.astype(float).var())


def test_no_data_stays_no_data_and_grey_values_end_at_1_and_255():
    pixels = np.array([[0, 1, 1000, 2000, 3000, 65535]], np.uint16)
    found = shown_module.Limits(
        *map(np.zeros, (1, 1, 1)), *np.full((2, 1, 1, 1), [[[[1000]]], [[[3000]]]])
    )
    assert shown(pixels, found, 0).tolist() == [[0, 1, 1, 128, 255, 255]]
    turned = replace(found, low=found.high, high=found.low)
    assert shown(pixels, turned, 0).tolist() == [[0, 255, 255, 128, 1, 1]]


def test_of_the_volume_one_percent_is_cut():
    parts = [measured([[[noise(k)]] for k in range(4)])]
    found, histogram = contrast.limits(parts, SETTINGS)
    assert found.low.shape == (1, 1, 1)
    eight = shown(noise(9), found, 3)
    assert abs((eight == 1).mean() - 0.005) < 0.004
    assert abs((eight == 255).mean() - 0.005) < 0.004
    assert histogram.sum() == 4 * 64 * 64
    back, _ = contrast.limits(parts, SETTINGS | {"invert": True})
    assert np.abs(shown(noise(9), back, 3).astype(int) + eight - 256).max() <= 1


def test_of_layers_what_drifts_is_levelled_and_what_flickers_is_not():
    drift = 1000 * np.linspace(0, 1, 40)
    flicker = np.where(np.arange(40) == 20, 400, 0)
    images = [[[noise(k, mean=34000 + drift[k] + flicker[k])]] for k in range(40)]
    how = SETTINGS | {"rule": "layers", "smooth_layers": 6}
    found, _ = contrast.limits([measured(images[:25]), measured(images[25:], z0=26)], how)
    means = np.array([shown(images[k][0][0], found, k + 1).mean() for k in range(40)])
    # two standard deviations from the ends, where a slope has neighbours on both sides
    assert np.ptp(np.delete(means, 20)[12:-12]) < 12
    assert means[20] - means[[18, 22]].mean() > 20
    whole, _ = contrast.limits([measured(images)], SETTINGS)
    assert np.ptp([shown(images[k][0][0], whole, k + 1).mean() for k in (12, 27)]) > 30


def test_of_cells_a_slope_is_levelled_and_resin_does_not_show_its_noise():
    tissue = [noise(1, 33000, 400), noise(2, 34000, 400), noise(3, 35000, 400)]
    resin = noise(4, 35000, 20)
    images = [[[*tissue, resin, None]]] * 3
    found, _ = contrast.limits([measured(images)], SETTINGS | {"rule": "local"})
    means = [shown(each, found, 2, x0=64 * k).mean() for k, each in enumerate(tissue)]
    as_drawn = 254 * 2000 / (found.high - found.low)[1, 0, 1]  # grey values of 8 bit
    assert np.ptp(means) < as_drawn / 5
    spreads = [shown(each, found, 2, x0=64 * k).std() for k, each in enumerate([*tissue, resin])]
    assert spreads[1] > 30
    assert spreads[3] < spreads[1] / 4  # its own contrast would be as large
    assert np.isfinite(found.low).all()
    assert np.isfinite(found.high).all()


@pytest.mark.parametrize("rule", contrast.RULES)
@pytest.mark.parametrize("count", [1, 2])
def test_few_layers_and_empty_ones_have_limits(rule, count):
    images = [[[None, noise(0)]], [[None, None]]][:count]
    found, _ = contrast.limits([measured(images)], SETTINGS | {"rule": rule, "smooth_layers": 5})
    for z in (0, 1, 1.5, 2, 9):
        low, high = found.at(z)
        assert (high > low).all()
    with pytest.raises(UserError, match="no pixel of the layers looked at"):
        contrast.limits([measured([[[None]]])], SETTINGS)


def test_limits_are_linear_between_cells_and_layers():
    weights = shown_module.linear(np.array([10.0, 20.0]), np.array([0.0, 10, 15, 20, 30]))
    assert weights.tolist() == [[1, 0], [1, 0], [0.5, 0.5], [0, 1], [0, 1]]
    cells = np.arange(8.0).reshape(2, 2, 2)
    found = shown_module.Limits(np.array([1.0, 3.0]), *np.zeros((2, 2)), cells, cells + 1)
    assert np.array_equal(found.at(2)[0], cells.mean(axis=0))
    assert np.array_equal(found.at(9)[1], cells[1] + 1)


# ---------------------------------------------------------------------------------------------
# jobs
# ---------------------------------------------------------------------------------------------


def test_the_code_that_measures_is_no_code_of_the_slabs():
    """A change of it makes other limits, and these alone draw slabs again."""
    made = made_by.SLABS.made().modules
    assert any("export/shown" in name for name in made)
    assert not any("export/contrast" in name for name in made)


def specimen(x, y, z):
    return 34000 + 600 * np.sin(x / 9 + z / 7) + 300 * np.cos(y / 11)


@pytest.fixture
def stack(workdir, request):
    """A 16-bit stack of 2 tiles a layer, and its contrast by the rule of cells."""
    layers = getattr(request, "param", LAYERS)
    tiles = [
        tile(workdir, z, c, m, lambda x, y, z=z: specimen(x, y, z), (Leaf(AFFINE, affine_data(m)),))
        for z in layers
        for c in (0, 1)
        for m in [np.array([[1.01, 0.02, 60.0 * c], [-0.02, 0.99, 5.0 * c]])]
    ]
    receipt = RenderClient(**RENDER).publish_stack(
        "s", TileSet(tuple(tiles)), resolution_nm=(5, 5, 8), inputs=[], params={}
    )
    receipt.write(workdir / "stacks/s.json")
    first, last = layers[0], layers[-1]
    rows = [
        {"chunk": f"{i:04d}", "z_first": z, "z_last": min(z + 7, last)}
        for i, z in enumerate(range(first, last + 1, 8))
    ]
    files.write_table("ingest/chunks.tsv", ["chunk", "z_first", "z_last"], rows)
    middle = (first + last) / 2
    corrected = np.interp(layers, [first, middle, last], [first, middle + 0.4, last])
    if len(layers) < 3:
        corrected = np.array(layers, float)
    lines = [f"{z} {at:.3f}\n" for z, at in zip(layers, corrected, strict=True)]
    files.write_text("zcorr/Zcoords.txt", "".join(lines))
    for row in rows:
        measure_grey_values.main(
            receipt="stacks/s.json",
            chunks="ingest/chunks.tsv",
            out=f"export/grey_values/{row['chunk']}.npz",
            chunk=row["chunk"],
            render=RENDER,
            settings={"every_layers": 3, "cell_px": 64},
        )
    set_contrast.main(
        measured=sorted(map(str, Path("export/grey_values").iterdir())),
        out="export/contrast.npz",
        shown="export/contrast.json",
        settings=SETTINGS | {"rule": "local", "smooth_layers": 3},
    )
    return workdir


HOW = {
    "formats": ["n5", "zarr", "zarr3"],
    "limits": "export/contrast.npz",
    "contrast": SETTINGS,
    "levels": 3,
}
BOTH = HOW | {"dtype": "uint16", "with_eight": True, "review": True}
ALONE = HOW | {"dtype": "uint8", "drawn_as": "uint16"}


def read(target, level):
    store = multiscale.open_level(target, level)
    return store.read(tuple(slice(0, n) for n in store.shape_zyx))


def test_both_depths_are_written_in_one_pass_and_hold_the_same_specimen(stack):
    plan = test_parts.export("both", **BOTH, task_px=64)
    deep, eight = (read(each.targets[0], 0) for each in (plan, plan.eight))
    assert (deep.dtype, eight.dtype) == (np.uint16, np.uint8)
    assert np.array_equal(deep == 0, eight == 0)
    inside = deep > 0
    assert inside.mean() > 0.8
    assert np.corrcoef(deep[inside], eight[inside])[0, 1] > 0.7
    assert 100 < eight[inside].mean() < 156
    for target in plan.eight.targets:
        assert target.dataset.endswith("em/fibsem-uint8")
        assert np.array_equal(read(target, 0), eight)
        assert np.array_equal(read(target, 1)[:, :16, :32], halved(eight[:16, :32, :64]))
    review = plan.kinds["eight_review"]
    assert review.targets[0].folder(0).is_symlink()
    assert np.array_equal(read(review.targets[0], 0), eight)
    described = files.read_json("both/volume.json")["targets"]
    assert [one["dtype"] for one in described] == ["uint16"] * 3 + ["uint8"] * 3
    attributes = files.read_json(plan.eight.targets[0].group / "attributes.json")
    assert attributes["contrast"]["rule"] == "volume"


@pytest.mark.parametrize("stack", [range(4, 5), range(4, 6), range(4, 13)], indirect=True)
def test_few_layers_are_written_in_both_depths_too(stack):
    plan = test_parts.export("both", **BOTH | {"levels": 0}, task_px=64)
    for each in plan.kinds.values():
        assert each.spec.shape_zyx[0] == files.read_json("both/volume.json")["shape_zyx"][0]
        for level in range(each.spec.levels):
            first, *others = (read(target, level) for target in each.targets)
            assert first.any()
            assert all(np.array_equal(first, other) for other in others)


def test_seams_are_compared_where_voxels_are_those_that_are_drawn(stack):
    how = seams.How(2, 24, 4, 6, "feather", "linear", z_correction=True, fill_gaps="interpolate")
    tiles = partial(RenderClient(**RENDER).tiles, "s")
    both = test_parts.export("both", **BOTH, task_px=64)
    assert seams.of_slab(both, (2, 6), "zcorr/Zcoords.txt", tiles, how)
    alone = test_parts.export("alone", **ALONE, task_px=64)
    assert seams.of_slab(alone, (2, 6), "zcorr/Zcoords.txt", tiles, how) == []


def test_8_bit_alone_holds_the_same_voxels_and_no_16_bit(stack):
    both = test_parts.export("both", **BOTH, task_px=64)
    plan = test_parts.export("alone", **ALONE, task_px=64)
    for level in range(plan.spec.levels):
        for target, other in zip(plan.targets, both.eight.targets, strict=True):
            assert np.array_equal(read(target, level), read(other, level))
    assert not list(Path("alone").glob("*/**/*uint16*"))


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_a_slab_that_was_killed_goes_on_and_has_the_same_bytes(stack, monkeypatch, finished):
    test_parts.export("out", **BOTH, task_px=64)
    whole = kills.content()
    shutil.rmtree("out")
    put, left = pyramid.Column.put, [4 * finished + 1]

    def until(self, region, *voxels):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        put(self, region, *voxels)

    monkeypatch.setattr(pyramid.Column, "put", until)
    with pytest.raises(KeyboardInterrupt):
        test_parts.export("out", **BOTH, task_px=64)
    monkeypatch.undo()
    monkeypatch.chdir(stack)
    test_parts.export("out", again=True, **BOTH, task_px=64)
    assert kills.content() == whole


def test_a_lost_block_in_8_bit_is_found_and_written_again(stack):
    plan = test_parts.export("out", **BOTH, task_px=64)
    whole = kills.content()
    folder = plan.eight.targets[1].folder(0)
    next(path for path in folder.rglob("*") if path.is_file() and path.name.isdigit()).unlink()
    for record in [*Path("out/checked").glob("*.json"), Path("out/volume.json")]:
        record.unlink()
    with pytest.raises(UserError, match=r"v\.zarr.*fibsem-uint8/s0"):
        test_parts.export("out", again=True, **BOTH, task_px=64)
    test_parts.export("out", again=True, **BOTH, task_px=64)
    assert kills.content() == whole


def test_another_contrast_draws_the_slab_again(stack):
    test_parts.export("out", **ALONE, task_px=64)
    before = [files.read_json(path)["key"] for path in sorted(Path("out/slabs").glob("*"))]
    set_contrast.main(
        measured=sorted(map(str, Path("export/grey_values").iterdir())),
        out="export/contrast.npz",
        shown="export/contrast.json",
        settings=SETTINGS,
    )
    test_parts.export("out", **ALONE, task_px=64)
    after = [files.read_json(path)["key"] for path in sorted(Path("out/slabs").glob("*"))]
    assert not set(before) & set(after)

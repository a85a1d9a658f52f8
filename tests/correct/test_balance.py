"""Gains and offsets of tiles and layers: what was put on comes off, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.correct import (
    balance,
    compare_layers,
    intensity,
    level_layers,
    levels,
    overlaps,
    regions,
)
from scripts.correct.evidence import Evidence, Found
from scripts.lib import array_files
from scripts.lib.drawing import compose, warp
from tests.correct.worlds import World, correlation

SETTINGS = {
    "layers": "neighbours",
    "hold_layers": 100,
    "cutoff_share": 0.03,
    "tiles": True,
    "regions": 4,
    "overlap_scale": 0.5,
    "window_layers": 2,
    "smoothness": 0.1,
    "identity": 0.005,
    "shared": 0.1,
}


def leave_evidence(world, folder, regions=4):
    """Leave what zcorr and the overlap jobs would."""
    z = np.array(list(world.clean))
    pixels = np.clip(np.rint(world.volume(world.tiles)), 1, 255).astype(np.uint8)
    array_files.write(folder / "0000.npz", {"z": z, "pixels": pixels})
    leave_overlaps(world, folder, 255.0, regions)


def leave_overlaps(world, folder, top, regions=4):
    placed = compose.place_layers(world.tiles)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warp, "read", world.read)
        table = overlaps.measure(placed, (regions, regions), 0.5, top)
    array_files.write(folder / "overlaps.npz", table)


def compare(*, settings, **files):
    method, cut = settings["layers"], settings["cutoff_share"]
    compare_layers.main(**files, method=method, cutoff_share=cut)


def jobs(world, folder, settings):
    """What the jobs of chunks find: levels of layers and maps of tiles."""
    compared, measured, found = [], [], {}
    if settings["layers"] != "none":
        out = str(folder / "compared.npz")
        pictures = str(folder / "0000.npz")
        compare(layers=[pictures], out=out, chunk="0000", settings=settings)
        compared = [out]
    if settings["tiles"]:
        measured = [str(folder / "overlaps.npz")]
    levels = folder / "levels.npz"
    method, hold = settings["layers"], settings["hold_layers"]
    level_layers.main(
        compared=compared, overlaps=measured, out=str(levels), method=method, hold_layers=hold
    )
    if settings["tiles"]:
        grey = regions.Grey(*array_files.read(levels)["grey"].tolist())
        table = array_files.read(measured[0])
        array_files.write(
            folder / "maps.npz", regions.balanced(world.tiles.tiles, table, grey, settings)
        )
        found["maps"] = (folder / "maps.npz",)
    return Evidence(8, 8, levels=levels, **found)


def corrected(world, folder, **changes):
    settings = SETTINGS | changes
    leave_evidence(world, folder, settings["regions"])
    found = intensity.estimate(world.tiles, settings, jobs(world, folder, settings))
    return intensity.apply(world.tiles, found), found


def flicker(volume):
    """Sd of what the mean of a layer differs by from the mean of its neighbours, grey values."""
    mean = volume.mean(axis=(1, 2))
    return float((mean[1:-1] - (mean[:-2] + mean[2:]) / 2).std())


def test_a_clean_stack_is_hardly_touched(tmp_path):
    world = World(range(1, 9))
    tiles, _ = corrected(world, tmp_path)
    change = world.volume(tiles) - world.volume(world.tiles)
    assert np.abs(change).mean() < 0.5
    assert correlation(world.volume(tiles), world.truth()) > 0.9995


def test_layer_flicker_goes_to_a_tenth_and_the_mean_stays(tmp_path):
    rng = np.random.default_rng(7)
    world = World(range(1, 17))
    gain = dict(zip(range(1, 17), rng.normal(1, 0.06, 16), strict=True))
    offset = dict(zip(range(1, 17), rng.normal(0, 5, 16), strict=True))
    world.degrade(lambda image, tile: image * gain[tile.z] + offset[tile.z])
    before = world.volume(world.tiles)
    tiles, found = corrected(world, tmp_path, tiles=False)
    after = world.volume(tiles)
    assert flicker(after) < 0.1 * flicker(before)
    assert correlation(after, world.truth()) > max(0.995, correlation(before, world.truth()))
    assert after.mean() == pytest.approx(before.mean(), abs=2.5)
    applied = np.array([found.arrays["layer_gain"][z - 1] * gain[z] for z in gain])
    assert applied.std() / applied.mean() < 0.01


def test_statistics_bring_every_layer_to_the_median_one(tmp_path):
    rng = np.random.default_rng(8)
    world = World(range(1, 11))
    gain = dict(zip(range(1, 11), rng.normal(1, 0.06, 10), strict=True))
    world.degrade(lambda image, tile: image * gain[tile.z])
    before = world.volume(world.tiles)
    tiles, _ = corrected(world, tmp_path, layers="statistics", tiles=False)
    after = world.volume(tiles)
    assert flicker(after) < 0.1 * flicker(before)
    assert np.ptp(after.std(axis=(1, 2))) < 0.1 * np.ptp(before.std(axis=(1, 2)))


@pytest.mark.parametrize("layers", ["neighbours", "statistics"])
def test_an_empty_layer_keeps_its_values_and_harms_no_other(tmp_path, layers):
    world = World(range(1, 9))
    world.degrade(lambda image, tile: image * 0 if tile.z == 4 else image)
    leave_evidence(world, tmp_path)
    with np.load(tmp_path / "0000.npz") as stored:
        pixels = np.where(stored["z"][:, None, None] == 4, 0, stored["pixels"])
    array_files.write(
        tmp_path / "0000.npz", {"z": np.arange(1, 9), "pixels": pixels.astype(np.uint8)}
    )
    known = jobs(world, tmp_path, SETTINGS | {"layers": layers, "tiles": False})
    found = array_files.read(known.levels)["maps"]
    assert np.isfinite(found).all()
    assert np.abs(found[:, 0] - 1).max() < 0.05
    assert found[3, 0] == pytest.approx(1, abs=0.05)


def test_slow_changes_of_the_specimen_stay_and_fast_ones_go():
    n = 400
    z = np.arange(n)
    slow, rng = 20 * np.sin(2 * np.pi * z / 400), np.random.default_rng(1)
    mean = 120 + slow + rng.normal(0, 3, n)
    links = balance.LayerLinks(
        z[:-1], z[1:], mean[:-1], mean[1:], np.full(n - 1, 25.0), np.full(n - 1, 25.0)
    )
    maps = balance.layer_maps(n, links, hold_layers=20)
    after = maps[:, 0] * mean + maps[:, 1]
    assert np.diff(after).std() < 0.1 * np.diff(mean).std()
    assert np.corrcoef(after, slow)[0, 1] > 0.97
    assert after.mean() == pytest.approx(mean.mean(), abs=1e-6)
    assert np.allclose(maps[:, 0], 1)


def test_one_bad_pair_of_layers_pulls_little():
    n = 60
    z = np.arange(n)
    mean = 120 + np.random.default_rng(2).normal(0, 2, n)
    pairs = [(a, a + d) for d in (1, 2) for a in range(n - d)]
    p, q = np.array(pairs).T
    noise = np.random.default_rng(3).normal(0, 0.1, len(p))
    q_mean = mean[q] + noise
    q_mean[30] += 40
    spread = np.full(len(p), 25.0)
    maps = balance.layer_maps(n, balance.LayerLinks(p, q, mean[p], q_mean, spread, spread), 100)
    assert np.diff(mean + maps[:, 1])[29:33].std() < 1.0
    assert len(z) == n


def test_shading_of_tiles_goes_from_their_overlap(tmp_path):
    x = np.linspace(-0.5, 0.5, 120)
    world = World(range(1, 5), columns=3)
    # brighter to the right in every tile: a saw over the layer
    world.degrade(lambda image, tile: image * (1 + 0.15 * x))
    before = world.volume(world.tiles)
    tiles, found = corrected(world, tmp_path, layers="none")
    after = world.volume(tiles)
    figures = found.parameters
    assert figures["overlap_difference_after_pct"] < 0.1 * figures["overlap_difference_before_pct"]
    assert correlation(after, world.truth()) > 0.995 > correlation(before, world.truth())
    # the middle grey value keeps its place on average over all regions
    assert np.abs((after - before).mean()) < 3


def test_one_brighter_tile_comes_down_and_the_middle_grey_stays_on_average(tmp_path):
    world = World(range(1, 4), columns=3)
    world.degrade(lambda image, tile: image + (12 if tile.column == 1 else 0))
    before = world.volume(world.tiles)
    tiles, found = corrected(world, tmp_path, layers="none")
    maps = found.arrays["maps"].reshape(3, 3, -1, 2)
    spread = 255 * (0.5 * maps[..., 0] + maps[..., 1]) - 127.5
    change = spread.mean(axis=(0, 2))
    # far from the overlaps the outer tiles are held where they were
    assert -13 < change[1] - change[[0, 2]].mean() < -8
    assert change.sum() == pytest.approx(0, abs=1.5)
    after = world.volume(tiles)
    assert correlation(after, world.truth()) > 0.995 > correlation(before, world.truth())


@pytest.mark.parametrize("noise", [5.0, 20.0])
def test_noise_takes_no_contrast_away(tmp_path, noise):
    rng = np.random.default_rng(4)
    world = World(range(1, 5), columns=3)
    world.degrade(lambda image, tile: image + noise * rng.standard_normal(image.shape))
    before = world.volume(world.tiles)
    tiles, found = corrected(world, tmp_path)
    after = world.volume(tiles)
    assert after.std() == pytest.approx(before.std(), rel=0.02)
    assert np.log(found.arrays["maps"][..., 0]).mean() == pytest.approx(0, abs=0.02)
    assert correlation(after, world.truth()) > correlation(before, world.truth()) - 0.001


def test_sixteen_bit_values_are_balanced_in_their_own_range(tmp_path):
    # 8-bit value v was made of 33000 + 10 v in odd layers, of 32500 + 12 v in even ones
    world = World(range(1, 9))
    black = {z: 33000.0 if z % 2 else 32500.0 for z in world.clean}
    step = {z: 10.0 if z % 2 else 12.0 for z in world.clean}
    leave_evidence(world, tmp_path)
    world.degrade(
        lambda image, tile: black[tile.z] + step[tile.z] * image + (60 if tile.column else 0)
    )
    deep = tuple(replace(tile, max_intensity=65535.0) for tile in world.tiles.tiles)
    world.tiles = replace(world.tiles, tiles=deep)
    leave_overlaps(world, tmp_path, 65535.0)
    z = np.array(list(world.clean))
    ranges = {
        "z": z,
        "black": np.array([black[k] for k in z]),
        "white": np.array([black[k] + 255 * step[k] for k in z]),
    }
    array_files.write(tmp_path / "16bit.npz", ranges)
    known = replace(jobs(world, tmp_path, SETTINGS), sixteen_bit=tmp_path / "16bit.npz")
    before = world.volume(world.tiles)
    found = intensity.estimate(world.tiles, SETTINGS, known)
    after = world.volume(intensity.apply(world.tiles, found))
    assert flicker(after) < 0.05 * flicker(before)
    assert correlation(after, world.truth()) > 0.99 > correlation(before, world.truth())


def test_without_overlaps_and_layers_nothing_is_written():
    world = World([1, 2], columns=1)
    found = intensity.estimate(world.tiles, SETTINGS | {"layers": "none"}, Evidence(8, 8))
    assert intensity.apply(world.tiles, found) == world.tiles
    assert isinstance(found, Found)


@pytest.mark.parametrize(("spread", "likeness"), [(0.25, 0.98), (0.1, 0.9)])
def test_gains_are_trusted_as_far_as_noise_lets_them_be_known(spread, likeness):
    # pairs of pixels of two tiles: the same specimen, each with its own noise
    rng = np.random.default_rng(3)
    common = rng.standard_normal((3000, 100))
    p, q = (
        spread
        * (np.sqrt(likeness) * common + np.sqrt(1 - likeness) * rng.standard_normal((3000, 100)))
        for _ in range(2)
    )
    of_offset = np.var(p.mean(axis=1) - q.mean(axis=1))
    of_gain = np.var(np.log(p.std(axis=1) / q.std(axis=1)))
    weight = balance._gain_precision(p.std(axis=1), q.std(axis=1)).mean()
    assert weight == pytest.approx(of_offset / of_gain, rel=0.1)
    assert balance._gain_precision(np.zeros(1), np.ones(1)) == 0  # resin: nothing to tell from


@pytest.mark.parametrize("layers", ["neighbours", "statistics"])
def test_layers_compared_in_chunks_are_solved_as_in_one(tmp_path, layers):
    rng = np.random.default_rng(5)
    z, settings = np.arange(1, 13), SETTINGS | {"layers": layers}
    pixels = np.clip(rng.normal(120, 20, (12, 30, 30)) + 5 * z[:, None, None] % 7, 1, 255)
    for name, first, end in (("whole", 0, 12), ("0000", 0, 5), ("0001", 5, 9), ("0002", 9, 12)):
        stored = {"z": z[first:end], "pixels": pixels[first:end].astype(np.uint8)}
        array_files.write(tmp_path / f"{name}.npz", stored)
    paths = [str(tmp_path / f"{name}.npz") for name in ("0000", "0001", "0002")]
    parts = []
    for k, chunk in enumerate(("0000", "0001", "0002")):
        near, out = paths[max(0, k - 1) : k + 1], str(tmp_path / "out.npz")
        compare(layers=near, out=out, chunk=chunk, settings=settings)
        parts.append(array_files.read(out))
    out = str(tmp_path / "out.npz")
    whole = [str(tmp_path / "whole.npz")]
    compare(layers=whole, out=out, chunk="whole", settings=settings)
    ours, alone = (
        levels.solved(each, layers, settings["hold_layers"])
        for each in (parts, [array_files.read(out)])
    )
    assert np.array_equal(ours[0], alone[0])
    assert np.array_equal(ours[1], alone[1])


def test_tiles_balanced_in_chunks_are_as_in_one_and_so_are_the_figures(tmp_path):
    world = World(range(1, 9), columns=3)
    world.degrade(lambda image, tile: image * (1 + 0.02 * ((tile.z * 7 + tile.column) % 5)))
    leave_evidence(world, tmp_path)
    table = array_files.read(tmp_path / "overlaps.npz")
    tiles, grey = world.tiles.tiles, regions.Grey.of([table])
    alone = regions.balanced(tiles, table, grey, SETTINGS)
    ours = []
    for first, last in ((1, 3), (4, 8)):
        reach = SETTINGS["window_layers"]
        near = (table["z"] >= first - reach) & (table["z"] <= last + reach)
        own = [tile for tile in tiles if first <= tile.z <= last]
        part = {name: column[near] for name, column in table.items()}
        ours.append(regions.balanced(own, part, grey, SETTINGS))
    for name in ("z", "row", "column", "maps"):
        assert np.array_equal(np.concatenate([one[name] for one in ours]), alone[name])
    assert sum(one["squares"] for one in ours) == pytest.approx(alone["squares"], rel=1e-12)
    split = [{name: c[table["z"] % 2 == k] for name, c in table.items()} for k in (0, 1)]
    parted = regions.Grey.of(split)
    assert (parted.black, parted.span) == pytest.approx((grey.black, grey.span), rel=1e-12)


def test_a_stack_with_more_tiles_than_maps_is_refused(tmp_path):
    world = World(range(1, 4), columns=2)
    leave_evidence(world, tmp_path)
    known = jobs(world, tmp_path, SETTINGS)
    part = array_files.read(known.maps[0])
    names = ("z", "row", "column", "maps")
    array_files.write(known.maps[0], part | {name: part[name][1:] for name in names})
    with pytest.raises(ValueError, match="a map of every tile"):
        intensity.estimate(world.tiles, SETTINGS, known)

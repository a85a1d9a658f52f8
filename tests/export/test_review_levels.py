"""Review levels: a second pyramid that keeps every layer, made in the same pass."""

from pathlib import Path

import numpy as np
import pytest

from scripts.export import destination
from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.volumes import multiscale
from tests.export import kills, test_parts
from tests.export.synthetic import publish
from tests.export.test_export_jobs import coordinates

LAYERS = range(3, 20)
FORMATS = {"formats": ["n5", "zarr", "zarr3"], "block_zyx_px": [8, 32, 32]}


@pytest.fixture
def stack(workdir):
    publish(workdir, LAYERS)
    coordinates(LAYERS)


def by_hand(voxels):
    """Halve y and x, rounded half up."""
    z, y, x = voxels.shape
    quads = voxels[:, : y // 2 * 2, : x // 2 * 2].reshape(z, y // 2, 2, x // 2, 2)
    return ((quads.astype(int).sum(axis=(2, 4)) + 2) // 4).astype(voxels.dtype)


@pytest.mark.parametrize("task_px", [128, 64])
def test_every_layer_is_kept_at_every_level_and_in_every_format(stack, task_px):
    plan = test_parts.export("out", **FORMATS, task_px=task_px, review=True)
    review = plan.review
    assert review.levels_at_once == {128: 2, 64: 1}[task_px]
    assert [review.spec.level_shape(k)[0] for k in range(review.spec.levels)] == [17, 17, 17, 17]
    expected = test_parts.voxels(plan)
    for level in range(review.spec.levels):
        for target in review.targets:
            store = multiscale.open_level(target, level)
            found = store.read(tuple(slice(0, n) for n in store.shape_zyx))
            assert np.array_equal(found, expected)
        expected = by_hand(expected)
    link = review.targets[0].folder(0)
    assert link.is_symlink()
    assert link.resolve() == plan.targets[0].folder(0).resolve()


def test_the_first_pyramid_is_the_same_with_and_without(stack):
    test_parts.export("with", **FORMATS, task_px=128, review=True)
    test_parts.export("without", **FORMATS, task_px=128)
    for path in Path("without").glob("v.*/**/*"):
        if path.is_file():
            other = Path("with") / path.relative_to("without")
            assert other.read_bytes() == path.read_bytes()


def test_metadata_say_that_z_is_not_halved(stack):
    plan = test_parts.export("out", **FORMATS, task_px=128, review=True)
    n5, ome, _ = (target.group for target in plan.review.targets)
    assert n5.name == "fibsem-uint8_review"
    group = files.read_json(n5 / "attributes.json")
    assert group["scales"][:3] == [[1, 1, 1], [2, 2, 1], [4, 4, 1]]
    level = files.read_json(n5 / "s2/attributes.json")
    assert level["pixelResolution"]["dimensions"] == [20.0, 20.0, 8.0]
    z, y, x = plan.spec.origin_px_zyx
    assert level["transform"]["translate"] == [8.0 * z, 5.0 * y + 7.5, 5.0 * x + 7.5]
    multiscale = files.read_json(ome / ".zattrs")["multiscales"][0]
    scale, shift = multiscale["datasets"][1]["coordinateTransformations"]
    assert scale["scale"] == [8.0, 10.0, 10.0]
    z, y, x = plan.spec.origin_px_zyx
    assert shift["translation"] == [8.0 * z, 5.0 * (y + 0.5), 5.0 * (x + 0.5)]


def test_a_lost_block_of_a_review_level_is_found_and_written_again(stack):
    settings = FORMATS | {"task_px": 128, "review": True}
    plan = test_parts.export("out", **settings)
    whole = kills.content()
    for level in (1, 2):  # of a slab, and of the pyramid's job
        folder = plan.review.targets[1].folder(level)
        lost = next(path for path in folder.rglob("*") if path.is_file() and path.name.isdigit())
        lost.unlink()
        for record in [*Path("out/checked").glob("*.json"), Path("out/volume.json")]:
            record.unlink()
        with pytest.raises(UserError, match=rf"v\.zarr.*_review/s{level}"):
            test_parts.export("out", again=True, **settings)
        if level == 2:
            Path("out/pyramid.json").unlink()
        test_parts.export("out", again=True, **settings)
        assert kills.content() == whole


def mean_of_pairs(voxels):
    """Halve z, too: 2×2×2 means, rounded half up, of what `by_hand` averages within layers."""
    z, y, x = (n // 2 for n in voxels.shape)
    cubes = voxels[: 2 * z, : 2 * y, : 2 * x].reshape(z, 2, y, 2, x, 2)
    return ((cubes.astype(int).sum(axis=(1, 3, 5)) + 4) // 8).astype(voxels.dtype)


@pytest.mark.parametrize("task_px", [128, 64])
@pytest.mark.parametrize("z_nm", [8, 21, 40])
def test_long_voxels_keep_their_layers_until_x_and_y_are_as_coarse(
    stack, monkeypatch, task_px, z_nm
):
    monkeypatch.setitem(test_parts.VOXEL, "z_nm", z_nm)
    how = FORMATS | {"task_px": task_px, "pyramid": "isotropic", "block_zyx_px": [4, 16, 16]}
    plan = test_parts.export("out", **how, span=1)
    kept = {8: 1, 21: 2, 40: 3}[z_nm]
    depths = [plan.spec.level_shape(k)[0] for k in range(plan.spec.levels)]
    assert depths[: kept + 2] == [17] * (kept + 1) + [8]
    expected = test_parts.voxels(plan)
    for level in range(plan.spec.levels):
        for target in plan.targets:
            store = multiscale.open_level(target, level)
            found = store.read(tuple(slice(0, n) for n in store.shape_zyx))
            assert np.array_equal(found, expected)
        expected = (by_hand if level < kept else mean_of_pairs)(expected)


def mean_in_z(voxels):
    """Halve z alone, rounded half up."""
    z = len(voxels) // 2
    return ((voxels[: 2 * z : 2].astype(int) + voxels[1 : 2 * z : 2] + 1) // 2).astype(voxels.dtype)


@pytest.mark.parametrize("span", [1, 3])
@pytest.mark.parametrize(("z_nm", "levels"), [(1.25, 2), (2.0, 1), (3.8, 0)])
def test_short_voxels_keep_rows_and_columns_until_z_is_as_coarse(
    stack, monkeypatch, z_nm, levels, span
):
    monkeypatch.setitem(test_parts.VOXEL, "z_nm", z_nm)  # x and y: 5 nm
    how = FORMATS | {"task_px": 64, "pyramid": "isotropic", "block_zyx_px": [4, 16, 16]}
    plan = test_parts.export("out", **how, span=span, review=True)
    assert plan.spec.yx_kept == levels
    expected = test_parts.voxels(plan)
    widths = [plan.spec.level_shape(k)[2] for k in range(plan.spec.levels)]
    assert widths[: levels + 2] == [widths[0]] * (levels + 1) + [widths[0] // 2]
    for level in range(plan.spec.levels):
        for target in plan.targets:
            store = multiscale.open_level(target, level)
            found = store.read(tuple(slice(0, n) for n in store.shape_zyx))
            assert np.array_equal(found, expected)
        expected = (mean_in_z if level < levels else mean_of_pairs)(expected)
    assert plan.review.spec.level_shape(1) == (17, *(n // 2 for n in plan.spec.level_shape(0)[1:]))


def test_both_are_promoted(stack):
    plan = test_parts.export("out", **FORMATS, task_px=128, review=True)
    Path("finished").mkdir()
    for each in plan.kinds.values():
        for target in each.targets:
            destination.promote(target, Path("finished"))
    level = Path("finished/v.n5/em/fibsem-uint8_review/s0")
    assert level.resolve() == Path("finished/v.n5/em/fibsem-uint8/s0").resolve()

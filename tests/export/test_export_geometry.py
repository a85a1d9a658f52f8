"""Where things lie in an exported volume: known content through affines, scan, z, levels.

Planes hold a coordinate as their value, so every voxel of every level tells how far off it is.
Points and waves have no slope to lean on: their centres and phases are measured.
"""

import h5py
import numpy as np
import pytest

from scripts.lib import files
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, SEM_DISTORTION_A, affine_data
from scripts.lib.volumes import multiscale
from tests.export import test_parts
from tests.export.synthetic import RENDER

W, H, LAYERS = 90, 70, range(4, 21)
MOST_PX = 0.02
SCAN = Leaf(SEM_DISTORTION_A, "3 12 2 60 0")
PER_PX = 250.0  # grey values per pixel or layer of a plane
EXPORT = {
    "formats": ["zarr"],
    "dtype": "uint16",
    "block_zyx_px": [8, 32, 32],
    "task_px": 64,
    "levels": 3,
}


def affine(rng, column):
    """Turned, sheared and stretched by up to 2 %."""
    linear = np.eye(2) + rng.uniform(-0.02, 0.02, (2, 2))
    return np.column_stack([linear, [column * 62 + rng.uniform(-3, 3), rng.uniform(-3, 3)]])


def coordinates(rng):
    """Corrected z of each layer: uneven steps, both ends in place."""
    steps = rng.uniform(0.5, 1.5, len(LAYERS) - 1)
    z = LAYERS[0] + np.concatenate([[0], np.cumsum(steps)]) * (len(LAYERS) - 1) / steps.sum()
    files.write_text(
        "zcorr/Zcoords.txt", "".join(f"{a} {b:.6f}\n" for a, b in zip(LAYERS, z, strict=True))
    )
    return dict(zip(LAYERS, z, strict=True))


def tile(folder, z, column, matrix, content, leaves):
    """Write the 16-bit image of a tile: its raw pixels show `content` where the transforms say."""
    v, u = np.indices((H, W)).astype(float)
    if SCAN in leaves:
        u = u + 3 * np.exp(-u / 12) + 2 * np.exp(-u / 60)
    x, y = np.einsum("ij,jhw->ihw", matrix, np.stack([u, v, np.ones_like(u)]))
    path = folder / f"tiles/{z}-{column}.h5"
    path.parent.mkdir(exist_ok=True, parents=True)
    with h5py.File(path, "w") as file:
        file["0-0-0/c0"] = np.rint(content(x, y)).astype(np.uint16)
    url = f"file://{path}?dataSet=/0-0-0/c0"
    return TileSpec(f"t{z:03d}-{column}", float(z), W, H, url, leaves, column=column)


def export(folder, content, *, seed, scan=True, exact=False):
    """Publish 2 tiles a layer of `content(x, y, true z)` and export them; gives the plan."""
    rng = np.random.default_rng(seed)
    z_true = {z: float(z) for z in LAYERS}
    if exact:
        files.write_text("zcorr/Zcoords.txt", "".join(f"{z} {z}.0\n" for z in LAYERS))
    else:
        z_true = coordinates(rng)
    tiles = []
    for z in LAYERS:
        for column in (0, 1):
            matrix = (
                np.array([[1, 0, 60 * column], [0, 1, 5 * column]])
                if exact
                else affine(rng, column)
            )
            leaf = Leaf(AFFINE, affine_data(matrix))
            leaves = (SCAN, leaf) if scan else (leaf,)
            shown = lambda x, y, z=z: content(x, y, z_true[z])  # noqa: E731
            tiles.append(tile(folder, z, column, matrix, shown, leaves))
    receipt = RenderClient(**RENDER).publish_stack(
        "s", TileSet(tuple(tiles)), resolution_nm=(5, 5, 8), inputs=[], params={}
    )
    receipt.write(folder / "stacks/s.json")
    rows = [{"chunk": "0000", "z_first": LAYERS[0], "z_last": LAYERS[-1]}]
    files.write_table("ingest/chunks.tsv", ["chunk", "z_first", "z_last"], rows)
    return test_parts.export("export", **EXPORT | ({"formats": ["n5", "zarr"]} if exact else {}))


def levels(plan):
    """Voxels and centres (z, y, x) of each level, cut to what tiles cover in all layers."""
    for level in range(plan.spec.levels):
        margin = 8 >> level
        inside = tuple(slice(margin if k else 0, n - margin if k else n)
                       for k, n in enumerate(plan.spec.level_shape(level)))  # fmt: skip
        f = 1 << level
        centres = [
            o + f * np.arange(n)[part] + (f - 1) / 2
            for o, n, part in zip(
                plan.spec.origin_px_zyx, plan.spec.level_shape(level), inside, strict=True
            )
        ]
        yield test_parts.voxels(plan, level)[inside].astype(float), centres


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_planes_lie_within_a_fiftieth_of_a_pixel_at_every_level(workdir, axis):
    def plane(x, y, z):
        return 5000 + PER_PX * {"x": x, "y": y, "z": z + 0 * x}[axis]

    for voxels, (z, y, x) in levels(export(workdir, plane, seed=11)):
        there = {"x": x, "y": y[:, None], "z": z[:, None, None]}[axis]
        error = (voxels - 5000) / PER_PX - there
        assert np.abs(error).max() <= MOST_PX


def test_points_lie_within_a_fiftieth_of_a_pixel_at_every_level(workdir):
    rng = np.random.default_rng(3)
    points = np.column_stack([[30.0, 75.0, 110.0], [22.0, 40.0, 35.0]]) + rng.random((3, 2))
    sigma = 4.0

    def spots(x, y, z):
        return 1000 + sum(
            50000 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2)) for a, b in points
        )

    for voxels, (_, y, x) in levels(export(workdir, spots, seed=12)):
        for a, b in points:
            rows, columns = np.abs(y - b) < 14, np.abs(x - a) < 14
            light = voxels[:, rows][:, :, columns] - 1000
            total = light.sum(axis=(1, 2))
            found_x = (light * x[columns]).sum(axis=(1, 2)) / total
            found_y = (light * y[rows][:, None]).sum(axis=(1, 2)) / total
            # of all layers together: the noise of rounding and sampling is not a place
            assert abs(found_x.mean() - a) <= MOST_PX
            assert abs(found_y.mean() - b) <= MOST_PX


def test_waves_keep_their_phase_at_every_level(workdir):
    period = {"x": 24.0, "y": 20.0, "z": 12.0}

    def waves(x, y, z):
        turns = x / period["x"], y / period["y"], z / period["z"]
        return 30000 + sum(9000 * np.cos(2 * np.pi * t) for t in turns)

    for voxels, centres in levels(export(workdir, waves, seed=13)):
        for axis, coordinate in zip("zyx", centres, strict=True):
            k = 2 * np.pi / period[axis]
            others = tuple(i for i, name in enumerate("zyx") if name != axis)
            profile = voxels.mean(axis=others)
            basis = np.column_stack(
                [np.cos(k * coordinate), np.sin(k * coordinate), np.ones(len(coordinate))]
            )
            cosine, sine, _ = np.linalg.lstsq(basis, profile, rcond=None)[0]
            assert abs(np.arctan2(sine, cosine) / k) <= MOST_PX


def test_sixteen_bit_values_are_exact_where_nothing_is_interpolated(workdir):
    noise = np.random.default_rng(5).integers(1, 65536, (90, 160))

    def content(x, y, z):
        return (noise[y.astype(int), x.astype(int)] + 977 * int(z)) % 65535 + 1

    plan = export(workdir, content, seed=14, scan=False, exact=True)
    z0, y0, x0 = plan.spec.origin_px_zyx
    z, y, x = (o + np.arange(n) for o, n in zip((z0, y0, x0), plan.spec.shape_zyx, strict=True))
    expected = (noise[y[:, None], x] + 977 * z[:, None, None]) % 65535 + 1
    found = test_parts.voxels(plan)
    covered = ((y < H)[:, None] & (x < W)) | ((y >= 5)[:, None] & (x >= 60))
    assert np.array_equal(found, np.where(covered, expected, 0))
    for target in plan.targets[1:]:
        store = multiscale.open_level(target, 0)
        assert np.array_equal(store.read(tuple(slice(0, n) for n in store.shape_zyx)), found)

"""Libraries that open what is written agree on voxels, voxel size and place of every level.

docs/export.md has the table; what cannot be installed beside zarr 3 was tried by hand.
"""

import importlib
import json
import sys
import types
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tensorstore
import zarr
from zarr.storage import LocalStore
from zarr_n5 import N5WrapperStore

from scripts.export import planning
from scripts.lib.volumes import metadata
from scripts.lib.volumes.multiscale import Target, VolumeSpec, open_level

SPECS = {
    "isotropic": VolumeSpec((9, 40, 50), (4, 16, 16), "uint16", (8.0, 8.0, 8.0), (3, -5, 7), 3),
    "anisotropic": VolumeSpec(
        (9, 40, 50), (4, 16, 16), "uint8", (16.0, 4.0, 4.0), (3, -5, 7), 4, z_kept=2
    ),
    "short": VolumeSpec(
        (9, 40, 50), (4, 16, 16), "uint16", (4.0, 16.0, 16.0), (3, -5, 7), 4, yx_kept=2
    ),
    "one layer": VolumeSpec(
        (1, 33, 17), (4, 16, 16), "uint8", (40.0, 4.0, 5.0), (0, 2, 1), 3, z_kept=3
    ),
    "at zero": VolumeSpec(
        (5, 32, 31), (4, 16, 16), "uint8", (8.0, 4.0, 5.0), (3, -5, 7), 2, at_zero=True
    ),
}
TARGETS = {
    "n5": Target("n5", "v.n5", "em/fibsem", "gzip", 3),
    "zarr": Target("zarr", "v.zarr", "recon-1/em/fibsem", "zstd", 3),
    "zarr3": Target("zarr3", "v.v3.zarr", "recon-1/em/fibsem", "zstd", 3, (1, 2, 2)),
}
AXES = ["z", "y", "x"]


@pytest.fixture(params=SPECS)
def volume(request, workdir):
    """A volume in all formats; gives its geometry and the voxels of its levels."""
    spec, levels = SPECS[request.param], []
    for level in range(spec.levels):
        shape = spec.level_shape(level)
        rng = np.random.default_rng(level)
        levels.append(rng.integers(1, 250, shape).astype(spec.dtype))
    for target in TARGETS.values():
        metadata.create(target, spec, consolidated=True)
        for level, voxels in enumerate(levels):
            open_level(target, level).write(tuple(slice(0, n) for n in voxels.shape), voxels)
    return spec, levels


def places(spec):
    """Voxel size and place (z, y, x, nm) of each level, by the arithmetic of averages."""
    origin = (0, 0, 0) if spec.at_zero else spec.origin_px_zyx
    for level in range(spec.levels):
        yx = 2 ** max(0, level - spec.yx_kept)
        factors = (2 ** max(0, level - spec.z_kept), yx, yx)
        scale = [f * v for f, v in zip(factors, spec.voxel_nm_zyx, strict=True)]
        place = [
            (o + (f - 1) / 2) * v
            for o, f, v in zip(origin, factors, spec.voxel_nm_zyx, strict=True)
        ]
        yield scale, place


@pytest.mark.parametrize("name", TARGETS)
def test_tensorstore_and_dask_read_every_level(volume, name):
    dask = pytest.importorskip("dask.array")
    target = TARGETS[name]
    for level, voxels in enumerate(volume[1]):
        kvstore = {"driver": "file", "path": str(target.folder(level).absolute())}
        store = tensorstore.open({"driver": target.layout.driver, "kvstore": kvstore}).result()
        turned = store.T if name == "n5" else store
        assert np.array_equal(turned.read().result(), voxels)
        if name != "n5":
            lazy = dask.from_zarr(str(target.folder(level)))
            assert np.array_equal(lazy.compute(scheduler="synchronous"), voxels)


def test_zarr_reads_n5_through_zarr_n5(volume):
    spec, levels = volume
    store = N5WrapperStore(LocalStore("v.n5"))
    for level, (scale, place) in enumerate(places(spec)):
        array = zarr.open_array(store=store, path=f"em/fibsem/s{level}", mode="r")
        assert np.array_equal(np.asarray(array[...]).T, levels[level])
        transform = array.attrs["transform"]
        assert (transform["scale"], transform["translate"]) == (scale, place)


@pytest.mark.parametrize("name", ["zarr", "zarr3"])
def test_ome_zarr_py_finds_the_levels_where_they_are(volume, name):
    spec, levels = volume
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        io, reader = pytest.importorskip("ome_zarr.io"), pytest.importorskip("ome_zarr.reader")
        location = io.parse_url(str(TARGETS[name].group))
        (node,) = (each for each in reader.Reader(location)() if each.data)
    assert [axis["name"] for axis in node.metadata["axes"]] == AXES
    for lazy, voxels in zip(node.data, levels, strict=True):
        assert np.array_equal(lazy.compute(scheduler="synchronous"), voxels)
    found = node.metadata["coordinateTransformations"]
    assert [[t["scale"], s["translation"]] for t, s in found] == [list(p) for p in places(spec)]


@pytest.fixture
def schemas(monkeypatch):
    """The models of cellmap-schemas; its module that opens stores asks for zarr 2."""
    pytest.importorskip("cellmap_schemas")
    stores = types.ModuleType("cellmap_schemas.n5_wrap")
    stores.N5GroupSpec = object
    monkeypatch.setitem(sys.modules, stores.__name__, stores)
    names = ("cosem", "neuroglancer_n5")
    return [importlib.import_module(f"cellmap_schemas.multiscale.{name}") for name in names]


def test_cellmap_schemas_read_n5_as_neuroglancers_and_as_cosems(volume, schemas):
    cosem, neuroglancer = schemas
    spec, _ = volume
    group = json.loads((TARGETS["n5"].group / "attributes.json").read_text())
    as_seen = neuroglancer.GroupMetadata(**group)
    assert [list(s) for s in as_seen.scales] == [
        list(spec.factors_zyx(k)[::-1]) for k in range(spec.levels)
    ]
    read = cosem.GroupMetadata(**group)
    for level, (scale, place) in enumerate(places(spec)):
        attributes = json.loads((TARGETS["n5"].folder(level) / "attributes.json").read_text())
        array = cosem.ArrayMetadata(**attributes)  # compares pixelResolution and transform
        listed = read.multiscales[0].datasets[level]
        assert (listed.path, listed.transform) == (f"s{level}", array.transform)
        assert (list(array.transform.scale), list(array.transform.translate)) == (scale, place)


def test_xarray_opens_the_consolidated_group(volume):
    xarray = pytest.importorskip("xarray")
    spec, levels = volume
    group = zarr.open_consolidated(str(TARGETS["zarr"].group), zarr_format=2)
    multiscales = group.attrs["multiscales"][0]["datasets"]
    for level, (scale, place) in enumerate(places(spec)):
        size, shift = (t for t in multiscales[level]["coordinateTransformations"])
        assert (size["scale"], shift["translation"]) == (scale, place)
        array = xarray.DataArray(group[f"s{level}"][...], dims=AXES)
        assert array.shape == levels[level].shape
        assert np.array_equal(array.values, levels[level])


def test_n5_and_zarr_agree_on_the_place_of_every_level(volume):
    spec, _ = volume
    ome = json.loads((TARGETS["zarr"].group / ".zattrs").read_text())["multiscales"][0]
    three = json.loads((TARGETS["zarr3"].group / "zarr.json").read_text())
    for level, place in enumerate(places(spec)):
        attributes = json.loads((TARGETS["n5"].folder(level) / "attributes.json").read_text())
        n5 = attributes["transform"]["scale"], attributes["transform"]["translate"]
        found = [n5]
        for each in (ome, three["attributes"]["ome"]["multiscales"][0]):
            size, shift = each["datasets"][level]["coordinateTransformations"]
            found.append((size["scale"], shift["translation"]))
        assert found == [tuple(place)] * 3


def test_a_group_that_is_no_longer_consolidated_keeps_no_summary(workdir):
    spec, target = SPECS["isotropic"], TARGETS["zarr"]
    metadata.create(target, spec, consolidated=True)
    assert (target.group / ".zmetadata").exists()
    metadata.create(target, replace(spec, levels=2))
    assert not (target.group / ".zmetadata").exists()


@pytest.mark.parametrize(
    ("voxel", "kept"),
    [
        ((40, 4, 4), 3),
        ((8, 8, 8), 0),
        ((12, 8, 8), 1),
        ((8, 4, 4), 1),
        ((4, 8, 8), -1),
        ((4, 16, 16), -2),
        ((3, 4, 4), 0),
    ],
)
def test_the_finer_axes_are_halved_until_they_are_as_coarse_as_the_others(voxel, kept):
    assert planning.levels_to_isotropy(voxel) == kept
    coarse, fine = voxel[:2] if kept >= 0 else voxel[1::-1]
    shown = [coarse / (fine * 2**level) for level in range(abs(kept) + 1)]
    assert shown == sorted(shown, reverse=True)
    assert shown[-1] < 2**0.5 + 1e-9

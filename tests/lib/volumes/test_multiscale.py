"""Volumes: the same voxels and the right places in N5 and OME-Zarr, read by other libraries."""

import json
from dataclasses import replace

import numpy as np
import pytest
import zarr
from ome_zarr_models import open_ome_zarr
from zarr.storage import LocalStore
from zarr_n5 import N5WrapperStore

from scripts.lib.volumes import blocks, multiscale
from scripts.lib.volumes.metadata import create
from scripts.lib.volumes.multiscale import Target, VolumeSpec, open_level
from tests.export.synthetic import halved

SPEC = VolumeSpec(
    shape_zyx=(20, 50, 70),
    block_zyx=(8, 16, 32),
    dtype="uint8",
    voxel_nm_zyx=(8.0, 4.0, 5.0),
    origin_px_zyx=(1, -3, 12),
    levels=3,
)
EVERYWHERE = (slice(0, 20), slice(0, 50), slice(0, 70))


def targets(folder, n5_codec="gzip", zarr_codec="zstd"):
    return [
        Target("n5", str(folder / "v.n5"), "em/fibsem-uint8", n5_codec, 5),
        Target("zarr", str(folder / "v.zarr"), "recon-1/em/fibsem-uint8", zarr_codec, 3),
    ]


def sharded(folder, codec="zstd"):
    dataset = "recon-1/em/fibsem-uint8"
    return Target("zarr3", str(folder / "v.v3.zarr"), dataset, codec, 3, (1, 2, 2))


def noise(shape=(20, 50, 70), dtype="uint8"):
    top = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(1, top, shape, dtype, endpoint=True)


def read_n5_with_zarr(target, level):
    store = N5WrapperStore(LocalStore(target.container))
    array = zarr.open_array(store=store, path=f"{target.dataset}/s{level}", mode="r")
    return np.asarray(array[...]).T


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_n5_and_zarr_hold_the_same_voxels_for_readers_of_other_libraries(tmp_path, dtype, codec):
    data = noise(dtype=dtype)
    spec = VolumeSpec(**{**SPEC.__dict__, "dtype": dtype})
    n5, ome = targets(tmp_path, n5_codec=codec, zarr_codec=codec)
    shards = sharded(tmp_path, codec)
    for target in (n5, ome, shards):
        create(target, spec)
        open_level(target, 0).write(EVERYWHERE, data)
    for target in (ome, shards):
        by_zarr = zarr.open_group(target.container, mode="r")[f"{target.dataset}/s0"]
        assert by_zarr.metadata.zarr_format == (2 if target is ome else 3)
        assert np.array_equal(by_zarr[...], data)
    assert np.array_equal(read_n5_with_zarr(n5, 0), data)
    assert np.array_equal(open_level(n5, 0).read(EVERYWHERE), data)


@pytest.mark.parametrize("halves_z", [True, False])
def test_ome_zarr_passes_an_independent_validator(tmp_path, halves_z):
    spec = VolumeSpec(**{**SPEC.__dict__, "halves_z": halves_z})
    for target, version in ((targets(tmp_path)[1], "0.4"), (sharded(tmp_path), "0.5")):
        create(target, spec, {"provenance": {"stack": "s"}})
        image = open_ome_zarr(zarr.open_group(str(target.group), mode="r"))
        assert image.ome_zarr_version == version
        ome = image.attributes.ome if version == "0.5" else image.attributes
        (multiscale,) = ome.multiscales
        assert [axis.name for axis in multiscale.axes] == ["z", "y", "x"]
        assert [each.path for each in multiscale.datasets] == ["s0", "s1", "s2"]
        scale, shift = multiscale.datasets[1].coordinateTransformations
        assert scale.scale == [16.0 if halves_z else 8.0, 8.0, 10.0]
        assert shift.translation == [12.0 if halves_z else 8.0, -10.0, 62.5]


def test_ome_zarr_translation_is_origin_plus_half_voxels(tmp_path):
    _, ome = targets(tmp_path)
    create(ome, SPEC)
    multiscale = json.loads((ome.group / ".zattrs").read_text())["multiscales"][0]
    scale, shift = multiscale["datasets"][2]["coordinateTransformations"]
    assert scale["scale"] == [32, 16, 20]
    assert shift["translation"] == [(1 + 1.5) * 8, (-3 + 1.5) * 4, (12 + 1.5) * 5]


def test_n5_attributes_are_ordered_x_y_z_with_origin_in_pixels(tmp_path):
    n5, _ = targets(tmp_path)
    create(n5, SPEC)
    root = json.loads((tmp_path / "v.n5/attributes.json").read_text())
    group = json.loads((n5.group / "attributes.json").read_text())
    level = json.loads((n5.folder(1) / "attributes.json").read_text())
    assert root["n5"]
    assert root["neuroglancer_supported"]
    assert json.loads((tmp_path / "v.n5/em/attributes.json").read_text())["neuroglancer_supported"]
    assert group["axes"] == ["x", "y", "z"]
    assert group["translate"] == [12, -3, 1]
    assert group["scales"] == [[1, 1, 1], [2, 2, 2], [4, 4, 4]]
    assert group["pixelResolution"] == {"dimensions": [5, 4, 8], "unit": "nm"}
    assert level["dimensions"] == [35, 25, 10]
    assert level["blockSize"] == [32, 16, 8]
    assert level["pixelResolution"] == {"dimensions": [10, 8, 16], "unit": "nm"}
    assert level["transform"]["axes"] == ["z", "y", "x"]
    assert level["transform"]["scale"] == [16, 8, 10]
    assert level["transform"]["translate"] == [8 + 4.0, -12 + 2.0, 60 + 2.5]


def fiji_reads(level):
    """Scale and offset of x, y, z (nm), each as the two parsers of n5-universe find them.

    Fiji and n5-viewer ask N5CosemMetadataParser first, which takes the numbers of ``transform`` as
    z, y, x without a look at ``axes`` and ``ordering``; N5SingleScaleMetadataParser, which comes
    after it, multiplies ``pixelResolution`` by ``downsamplingFactors`` and knows no place.
    """
    cosem = level["transform"]["scale"][::-1], level["transform"]["translate"][::-1]
    factors, size = level["downsamplingFactors"], level["pixelResolution"]["dimensions"]
    return cosem, [f * v for f, v in zip(factors, size, strict=True)]


@pytest.mark.parametrize("halves_z", [True, False])
def test_fiji_and_n5_viewer_find_the_true_place_of_every_level(tmp_path, halves_z):
    spec = replace(SPEC, halves_z=halves_z)
    n5, _ = targets(tmp_path)
    create(n5, spec)
    for k in range(spec.levels):
        level = json.loads((n5.folder(k) / "attributes.json").read_text())
        scale, first = (values[::-1] for values in multiscale.level_geometry_nm(spec, k))
        assert fiji_reads(level) == ((list(scale), list(first)), list(scale))
        assert level["pixelResolution"]["unit"] == level["transform"]["units"][0] == "nm"


@pytest.mark.parametrize(
    "region",
    [
        (slice(4, 16), slice(0, 16), slice(0, 32)),
        (slice(0, 8), slice(0, 20), slice(0, 32)),
        (slice(0, 8), slice(0, 16), slice(32, 71)),
    ],
)
def test_a_write_that_cuts_a_block_is_refused_with_the_axis(tmp_path, region):
    n5, _ = targets(tmp_path)
    create(n5, SPEC)
    voxels = np.zeros([s.stop - s.start for s in region], np.uint8)
    with pytest.raises(ValueError, match=r"whole blocks of \d+ voxels"):
        open_level(n5, 0).write(region, voxels)


@pytest.mark.parametrize("which", [0, 1])
def test_zero_blocks_are_not_stored_and_zeroed_ones_disappear(tmp_path, which):
    target = targets(tmp_path)[which]
    create(target, SPEC)
    data = np.zeros((20, 50, 70), np.uint8)
    data[19, 49, 69] = data[0, 0, 0] = 1
    level = open_level(target, 0)
    level.write(EVERYWHERE, data)
    assert multiscale.count_blocks(target, 0) == 2
    assert blocks.count_nonzero(data, SPEC.block_zyx) == 2
    level.write(EVERYWHERE, np.zeros_like(data))
    assert multiscale.count_blocks(target, 0) == 0


@pytest.mark.parametrize("which", [0, 1])
def test_a_torn_block_is_overwritten_also_at_the_edge(tmp_path, which):
    target = targets(tmp_path)[which]
    create(target, SPEC)
    level = open_level(target, 0)
    level.write(EVERYWHERE, noise())
    for path in target.folder(0).glob("*/*/*"):
        path.write_bytes(path.read_bytes()[:30])
    open_level(target, 0).write(EVERYWHERE, noise())
    assert np.array_equal(open_level(target, 0).read(EVERYWHERE), noise())


@pytest.mark.parametrize("which", [0, 1])
def test_writing_again_gives_the_same_bytes(tmp_path, which):
    stored = []
    for turn in ("a", "b"):
        target = targets(tmp_path / turn)[which]
        create(target, SPEC)
        open_level(target, 0).write(EVERYWHERE, noise())
        found = sorted(p for p in target.group.rglob("*") if p.is_file())
        stored.append({str(p.relative_to(target.group)): p.read_bytes() for p in found})
    assert stored[0] == stored[1]


@pytest.mark.parametrize("which", [0, 1])
def test_creating_again_keeps_blocks_and_another_shape_drops_them(tmp_path, which):
    target = targets(tmp_path)[which]
    create(target, SPEC)
    open_level(target, 0).write(EVERYWHERE, noise())
    create(target, SPEC)
    assert multiscale.count_blocks(target, 0) > 0
    create(target, VolumeSpec(**{**SPEC.__dict__, "shape_zyx": (20, 50, 71), "levels": 2}))
    assert multiscale.count_blocks(target, 0) == 0
    assert not target.folder(2).exists()


def test_opening_what_is_not_there_names_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="fibsem-uint8/s0"):
        open_level(targets(tmp_path)[0], 0)


def test_halving_a_plane_wave_keeps_values_at_block_centres():
    z, y, x = np.meshgrid(*[np.arange(n) for n in (8, 12, 16)], indexing="ij")
    ramp = (16 * z + 4 * y + 2 * x).astype(np.uint8)
    low = halved(ramp)
    centre = 16 * (2 * z + 0.5) + 4 * (2 * y + 0.5) + 2 * (2 * x + 0.5)
    assert np.array_equal(low, np.floor(centre[:4, :6, :8] + 0.5))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_halving_rounds_half_up_and_never_overflows(dtype):
    top = np.iinfo(dtype).max
    assert halved(np.full((2, 2, 2), top, dtype))[0, 0, 0] == top
    half = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype).reshape(2, 2, 2)
    assert halved(half)[0, 0, 0] == 1


def test_spec_survives_json():
    assert VolumeSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


def test_a_volume_without_voxels_is_refused():
    with pytest.raises(ValueError, match="voxels"):
        VolumeSpec(**{**SPEC.__dict__, "shape_zyx": (0, 5, 5)})

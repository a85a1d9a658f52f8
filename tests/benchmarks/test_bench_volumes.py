"""Cost of writing blocks in both formats, beside zarr-python on the same voxels."""

import numpy as np
import pytest
import zarr
from scipy import ndimage

from scripts.lib.volumes.metadata import create
from scripts.lib.volumes.multiscale import Target, VolumeSpec, open_level

BLOCK = (64, 128, 128)


@pytest.fixture(scope="module")
def voxels(bench):
    shape = (128, 512, 512) if bench.measuring else (8, 32, 32)
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, 2)
    return np.clip(128 + 40 * smooth / smooth.std() + 8 * noise, 1, 255).astype(np.uint8)


@pytest.mark.parametrize(("form", "codec", "level"), [("n5", "gzip", 5), ("zarr", "zstd", 3)])
def test_writing_blocks(bench, voxels, tmp_path, form, codec, level):
    target = Target(form, str(tmp_path / f"v.{form}"), "em/fibsem-uint8", codec, level)
    spec = VolumeSpec(voxels.shape, BLOCK, "uint8", (8.0, 8.0, 8.0), (0, 0, 0), 1)
    create(target, spec)
    everywhere = tuple(slice(0, n) for n in voxels.shape)
    peer = zarr.create_array(
        tmp_path / "peer.zarr",
        shape=voxels.shape,
        chunks=BLOCK,
        dtype="uint8",
        zarr_format=2,
        compressors={"id": codec, "level": level},
    )

    def ours():
        open_level(target, 0).write(everywhere, voxels)

    def zarrs():
        peer[...] = voxels

    megabytes = voxels.nbytes / 1e6
    figures = megabytes / bench.cpu_s(ours, repeats=3), megabytes / bench.cpu_s(zarrs, repeats=3)
    assert np.array_equal(open_level(target, 0).read(everywhere), peer[...])
    bench.row(f"write_{form}_{codec}", figures[0], "MB/CPU s", better="higher", zarr=figures[1])

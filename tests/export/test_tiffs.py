"""TIFF of a finished volume: the same voxels, size and unit where ImageJ reads them."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from scripts.export import close_tiffs, plan_tiffs, slabs, tiffs, write_tiffs
from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.volumes import metadata, multiscale
from scripts.lib.volumes.multiscale import Target, VolumeSpec

SLICES = {"kind": "slices", "level": 0, "dtype": "auto"}
STACK = {"kind": "stack", "level": 0, "dtype": "auto"}
CHUNKS = [("0000", 3, 6), ("0001", 7, 12), ("0002", 13, 40)]


def volume(shape, dtype="uint8", levels=2, **more):
    """A volume of noise that begins at layer 3, its plan and its chunks; gives its levels."""
    spec = VolumeSpec(shape, (4, 16, 16), dtype, (16.0, 4.0, 5.0), (3, 0, 0), levels, **more)
    target = Target("zarr", "v.zarr", f"recon-1/em/fibsem-{dtype}", "zstd", 1)
    metadata.create(target, spec)
    found = []
    for level in range(levels):
        top = np.iinfo(dtype).max
        voxels = np.random.default_rng(level).integers(1, top, spec.level_shape(level), dtype)
        multiscale.open_level(target, level).write(tuple(map(slice, [0] * 3, voxels.shape)), voxels)
        found.append(voxels)
    plan = slabs.Plan("s", spec, (target,), 64)
    files.write_json("export/plan.json", plan.to_json())
    files.write_json("export/volume.json", {"stack": "s", "shape": list(shape)})
    rows = [dict(zip(("chunk", "z_first", "z_last"), row, strict=True)) for row in CHUNKS]
    files.write_table("ingest/chunks.tsv", list(rows[0]), rows)
    return found


def plan(settings):
    plan_tiffs.main(
        plan="export/plan.json",
        volume="export/volume.json",
        out="tiff/plan.json",
        name="v",
        settings=settings,
    )


def write(chunk):
    out = f"tiff/slices/{chunk}.json"
    where = {"plan": "tiff/plan.json", "export": "export/plan.json", "chunks": "ingest/chunks.tsv"}
    write_tiffs.main(**where, chunk=chunk, out=out)
    return out


def close(records):
    close_tiffs.main(plan="tiff/plan.json", slices=records, out="tiff/tiff.json")
    return files.read_json("tiff/tiff.json")


def run(settings):
    plan(settings)
    return close([write(chunk) for chunk, _, _ in CHUNKS])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    ("shape", "levels", "level", "kept"),
    [
        ((9, 33, 17), 2, 0, 0),
        ((9, 33, 17), 2, 1, 0),
        ((1, 32, 40), 1, 0, 0),
        ((9, 20, 16), 3, 2, 1),
    ],
)
def test_slices_hold_the_voxels_of_the_level(workdir, dtype, shape, levels, level, kept):
    voxels = volume(shape, dtype, levels, z_kept=kept)[level]
    found = run(SLICES | {"level": level})
    paths = sorted(Path(found["place"]).glob("z*.tif"))
    assert found["place"] == f"v.s{level}.{dtype}.tiff"
    assert len(paths) == len(voxels)
    assert np.array_equal(np.stack([tifffile.imread(path) for path in paths]), voxels)
    with tifffile.TiffFile(paths[0]) as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] == "nm"
        assert file.imagej_metadata["spacing"] == 16.0 * 2 ** max(0, level - kept)
        x, y = (file.pages[0].tags[name].value for name in ("XResolution", "YResolution"))
    assert [n / d for n, d in (x, y)] == pytest.approx([1 / (5 * 2**level), 1 / (4 * 2**level)])


@pytest.mark.parametrize("classic", [True, False])
def test_a_stack_has_a_page_for_each_slice(workdir, monkeypatch, classic):
    monkeypatch.setattr(tiffs, "_CLASSIC_BYTES", 2**32 if classic else 0)
    monkeypatch.setattr(tiffs, "_MOST_BYTES", 1000)  # a plane at a time
    voxels = volume((9, 33, 17), "uint16")[0]
    found = run(STACK)
    assert found["place"] == "v.s0.uint16.tif"
    assert np.array_equal(tifffile.imread(found["place"]), voxels)
    with tifffile.TiffFile(found["place"]) as file:
        assert file.is_bigtiff != classic
        assert file.is_imagej
        assert len(file.pages) == 9
        assert (file.imagej_metadata["spacing"], file.imagej_metadata["slices"]) == (16.0, 9)


def test_a_killed_run_goes_on_and_ends_with_the_same_files(workdir, monkeypatch):
    volume((9, 33, 17))
    run(SLICES)
    whole = {path: path.read_bytes() for path in Path("v.s0.uint8.tiff").rglob("*")}
    for path in [*whole, Path("tiff/slices/0001.json"), Path("tiff/tiff.json")]:
        if path.name in ("z000005.tif", "0001.json", "tiff.json"):
            path.unlink()
    with pytest.raises(UserError, match=r"1 of 9 slices are missing: z000005\.tif"):
        close([f"tiff/slices/{name}.json" for name in ("0000", "0002")])
    run(SLICES)  # the plan, too: its job may be asked for again
    assert {path: path.read_bytes() for path in Path("v.s0.uint8.tiff").rglob("*")} == whole


def test_nothing_half_written_stays_when_a_job_dies(workdir, monkeypatch):
    volume((9, 33, 17))

    def torn(partial, *_, **__):
        partial.write_bytes(b"II*")
        raise KeyboardInterrupt

    plan(SLICES)
    monkeypatch.setattr(tiffs.tifffile, "imwrite", torn)
    with pytest.raises(KeyboardInterrupt):
        write("0000")
    assert [path.name for path in Path("v.s0.uint8.tiff").iterdir()] == [".made_of.json"]


@pytest.mark.parametrize("settings", [SLICES, STACK])
def test_what_is_there_already_is_refused_and_stays(workdir, settings):
    volume((9, 33, 17))
    place = Path("v.s0.uint8.tiff" if settings is SLICES else "v.s0.uint8.tif")
    if settings is SLICES:
        place.mkdir()
    else:
        place.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"is there already.*Nothing was changed"):
        plan(settings)
    assert place.is_dir() or place.read_bytes() == b"mine"


def test_another_volume_is_not_written_over_the_first(workdir):
    volume((9, 33, 17))
    run(SLICES)
    files.write_json("export/volume.json", {"stack": "another"})
    with pytest.raises(UserError, match="was not made of this volume"):
        plan(SLICES)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"level": 2}, "level: found 2, expected 0 to 1"), ({"dtype": "uint16"}, "expected uint8")],
)
def test_what_the_volume_does_not_have_is_named(workdir, settings, words):
    volume((9, 33, 17))
    with pytest.raises(UserError, match=words):
        plan(SLICES | settings)


@pytest.mark.parametrize("z_factor", [1, 2, 8])
def test_every_slice_belongs_to_one_chunk(z_factor):
    what = tiffs.TiffPlan(
        Target("zarr", "v.zarr", "em", "zstd", 1), 0, (21 // z_factor, 4, 4), "uint8",
        (8.0, 8.0, 8.0), "v.tiff", z_factor, "",
    )  # fmt: skip
    ranges = [what.slices(part) for part in ((0, 4), (4, 4), (4, 15), (15, 21))]
    assert [z for part in ranges for z in part] == list(range(21 // z_factor))

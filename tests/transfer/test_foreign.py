"""Foreign sources: every one gives the align HDF5 that the same pixels as ``.dat`` give."""

import json
import tracemalloc

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scripts.lib.job import UserError
from scripts.transfer import images, origin, space, tiff_images
from scripts.transfer.dat import DatError
from scripts.transfer.finding import Case
from scripts.transfer.foreign import layer_of, z_of
from tests.transfer import foreign_files as ff

SIXTEEN = np.random.default_rng(5).normal(900, 300, (4, 40, 50)).astype(np.int16)


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, two in zip(ours, theirs, strict=True):
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], two[key], err_msg=key)


def both(tmp_path, write, volume):
    """Transfer a volume as `.dat` files and as another source; give both, and a table."""
    for name in ("dat", "src"):
        (tmp_path / name).mkdir()
    ff.dats(tmp_path / "dat", volume)
    made = ff.config(write(tmp_path / "src", volume))
    ff.transfer(tmp_path / "dat", tmp_path / "of_dat", ff.config(None))
    table = ff.transfer(tmp_path / "src", tmp_path / "of_src", made)
    return ff.aligned(tmp_path / "of_dat"), ff.aligned(tmp_path / "of_src"), table


@pytest.mark.parametrize("write", ff.WRITERS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("kind", ["fibsem", "celegans", "sixteen"])
def test_every_source_gives_the_align_pixels_of_the_dats(tmp_path, write, kind):
    if kind == "sixteen":
        volume = SIXTEEN
    else:
        names = {"fibsem": "fibsem-raw-41/fibsem_raw_41.h5", "celegans": "celegans/celegans_21.h5"}
        volume = ff.real(names[kind], 4)[:, :96, :120]
    ours, theirs, table = both(tmp_path, write, volume)
    same(ours, theirs)
    assert [row["status"] for row in table] == ["ok"] * 4
    assert {row["raw_h5"] for row in table} == {""}
    assert not (tmp_path / "of_src/h5/raw").exists()
    assert len({row["source_sha256"] for row in table}) == 4
    assert "source_sha256" in json.loads((tmp_path / "of_src/transfer/gate.json").read_text())


@given(
    volume=st.sampled_from(["uint8", "int8", "int16", "uint16"]).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=3, max_dims=3, max_side=9))
    )
)
@settings(max_examples=40)
def test_counts_keep_order_and_differences(volume):
    got = images.counts(volume.copy()).astype(int)
    shift = got - volume
    assert (shift == shift.flat[0]).all()
    assert images.counts(volume.copy()).dtype in (np.uint8, np.int16)


@pytest.mark.parametrize("write", sorted(ff.SAY_THE_SIZE, key=lambda w: w.__name__))
def test_sizes_come_from_tags(tmp_path, write):
    source = write(tmp_path, SIXTEEN)
    files = origin.of(ff.config(source), tmp_path)
    tile = files.files()[0][0].found.path
    assert files.facts(tile).pixel_nm == pytest.approx(ff.NM)
    assert files.facts(tile).z_nm in (None, pytest.approx(ff.NM))
    files.close()


def test_a_screens_resolution_is_no_pixel_size(tmp_path):
    ff.slices(tmp_path, SIXTEEN[:1], resolution=(72, 72), resolutionunit="INCH")
    opened = images.open_images("tiff", tmp_path / "slice_0000.tif", None)
    assert opened.facts.pixel_nm is None
    opened.close()


def test_the_header_says_what_the_file_says_and_the_config_where_it_is_silent(tmp_path):
    source = ff.slices(tmp_path, SIXTEEN)
    made = ff.config(source, acquisition={"pixel_nm": 5.0, "rows": 1, "columns": 1, "z_nm": 5})
    files = origin.of(made, tmp_path)
    file = files.files()[0][3]
    header, size = files.inspect(file.name, file.found.path)
    assert (header["XResolution"], header["YResolution"], header["EightBit"]) == (50, 40, 0)
    assert (header["PixelSize"], header["FIBSliceNum"], header["FileVersion"]) == (5.0, 3, 8)
    assert size == 1024 + 40 * 50 * 2
    files.close()


def test_layers_are_named_after_their_z():
    assert layer_of("tiff", 123).layer_id == "tiff_00-01-01_000203"
    assert [z_of(layer_of("mrc", z)) for z in (0, 86399, 86400, 10**6)] == [0, 86399, 86400, 10**6]


# ---------------------------------------------------------------------------------------------
# grids and channels
# ---------------------------------------------------------------------------------------------


def test_a_grid_counts_from_where_the_pattern_says_and_has_positions_of_the_grid(tmp_path):
    for z in range(2):
        for row in (1, 2):
            for column in (1, 2):
                folder = tmp_path / f"tile_{row}-{column}"
                folder.mkdir(exist_ok=True)
                value = 100 * z + 10 * row + column
                tifffile.imwrite(folder / f"s{z + 7}.tif", np.full((20, 30), value, np.uint8))
    source = {"kind": "tiff", "pattern": "tile_{row:1}-{column:1}/s{z:d}.tif"}
    acquisition = {"rows": 2, "columns": 2, "pixel_nm": 8, "z_nm": 8}
    made = ff.config(source, acquisition=acquisition)
    layers = ff.layers(tmp_path, made)
    keys = [file.name.tile_key for file in next(iter(layers.values()))]
    assert keys == ["0-0-0", "0-0-1", "0-1-0", "0-1-1"]
    assert [z_of(layer) for layer in layers] == [7, 8]
    files = origin.of(made, tmp_path)
    assert "FirstX" not in files.inspect(*named(layers, 0, 3))[0]
    pixels = files.original(*named(layers, 1, 2)).tile().pixels
    files.close()
    assert np.unique(pixels) == [100 + 20 + 1]


def named(layers, layer, tile):
    file = list(layers.values())[layer][tile]
    return file.name, file.found.path


def test_positions_of_ome_become_stage_positions(tmp_path):
    for column in range(2):
        plane = {"PositionX": [column * 0.2], "PositionXUnit": ["µm"]}
        plane |= {"PositionY": [0.0], "PositionYUnit": ["µm"]}
        meta = {"axes": "YX", "PhysicalSizeX": 8, "PhysicalSizeXUnit": "nm", "Plane": plane}
        name = tmp_path / f"s0_c{column}.ome.tif"
        tifffile.imwrite(name, np.zeros((20, 30), np.uint8), ome=True, metadata=meta)
    source = {"kind": "tiff", "pattern": "s{z}_c{column}.ome.tif"}
    for positions, expected in (("files", [(0, 0), (25, 0)]), ("grid", [None, None])):
        made = ff.config(source | {"positions": positions})
        files = origin.of(made, tmp_path)
        found = [files.inspect(f.name, f.found.path)[0] for f in files.files()[0]]
        assert [(h["FirstX"], h["FirstY"]) if "FirstX" in h else None for h in found] == expected
        files.close()


def test_channels_in_files_of_their_own_and_in_one_file_are_the_same(tmp_path):
    two = np.stack([SIXTEEN, SIXTEEN[::-1]], axis=1)  # z, c, y, x
    apart, joint = tmp_path / "apart", tmp_path / "joint"
    for folder in (apart, joint):
        folder.mkdir()
    for z in range(4):
        for c in range(2):
            tifffile.imwrite(apart / f"z{z}_ch{c}.tif", two[z, c])
    tifffile.imwrite(joint / "stack.ome.tif", two, ome=True, metadata={"axes": "ZCYX"})
    sources = (
        (apart, {"kind": "tiff", "pattern": "z{z}_ch{channel}.tif"}),
        (joint, {"kind": "tiff", "pattern": "stack.ome.tif"}),
    )
    for channel in range(2):
        got = []
        for folder, source in sources:
            work = tmp_path / f"{folder.name}{channel}"
            section = {"dat_root": "d", "source": source, "channel": channel, "mipmap_levels": 1}
            ff.transfer(folder, work, ff.config(None, transfer=section))
            got.append(ff.aligned(work))
        same(*got)
    (apart / "z2_ch1.tif").unlink()
    _, misfits = origin.of(ff.config(sources[0][1]), apart).files()
    assert "channel 1 of this tile is missing" in misfits[0].reason


# ---------------------------------------------------------------------------------------------
# raw files, what changes, what goes
# ---------------------------------------------------------------------------------------------


def test_raw_files_are_kept_where_asked_and_give_the_pixels_back(tmp_path):
    (tmp_path / "src").mkdir()
    source = ff.slices(tmp_path / "src", SIXTEEN) | {"keep_raw": True}
    table = ff.transfer(tmp_path / "src", tmp_path / "work", ff.config(source))
    for z, row in enumerate(table):
        with h5py.File(tmp_path / "work" / row["raw_h5"]) as file:
            np.testing.assert_array_equal(file["0-0-0/c0"][()], SIXTEEN[z])
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "work/h5").rglob("*.h5")}
    ff.transfer(tmp_path / "src", tmp_path / "work", ff.config(source))
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "work/h5").rglob("*.h5")}


def test_only_what_changed_is_made_anew_and_what_went_stays(tmp_path):
    root, work = tmp_path / "src", tmp_path / "work"
    root.mkdir()
    made = ff.config(ff.slices(root, SIXTEEN))
    ff.transfer(root, work, made)
    before = {p.name: p.stat().st_ino for p in (work / "h5").rglob("*.h5")}
    tifffile.imwrite(root / "slice_0002.tif", SIXTEEN[0])
    (root / "slice_0001.tif").unlink()  # archived by its owner: the align file is what counts
    table = ff.transfer(root, work, made)
    after = {p.name: p.stat().st_ino for p in (work / "h5").rglob("*.h5")}
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["tiff_00-01-01_000002.uint8.h5"]
    assert [row["status"] for row in table] == ["ok"] * 4
    # made anew it cannot be any more: said, not lost
    section = {"dat_root": "d", "source": made["transfer"]["source"], "mipmap_levels": 0}
    with pytest.raises(UserError, match="slice_0001.tif#0: the file is gone, and its layer"):
        ff.transfer(root, work, ff.config(None, transfer=section))
    assert (work / "h5/align").rglob("*000001.uint8.h5")


# ---------------------------------------------------------------------------------------------
# what is wrong
# ---------------------------------------------------------------------------------------------


def torn(path, share=0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("write", "name", "said"),
    [
        (ff.slices, "slice_0001.tif", "truncated: expected at least"),
        (ff.lzw_slices, "slice_0001.tif", "slice_0001.tif: "),
        (
            ff.mrc,
            "volume.mrc",
            "volume.mrc: truncated: expected at least 17024 bytes, found",
        ),
    ],
    ids=["slice", "lzw", "mrc"],
)
def test_torn_files_are_told_in_one_line(tmp_path, write, name, said):
    root = tmp_path / "src"
    root.mkdir()
    source = write(root, SIXTEEN)
    torn(root / name)
    with pytest.raises(UserError) as error:
        ff.transfer(root, tmp_path / "work", ff.config(source))
    lines = [line for line in str(error.value).splitlines() if said in line]
    assert lines, error.value


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"rowsperstrip": 7}])
def test_a_torn_page_is_never_read_as_black(tmp_path, how):
    ff.stack(tmp_path, SIXTEEN, metadata=None, **how)
    whole = (tmp_path / "stack.tif").read_bytes()
    for share in np.linspace(0.01, 0.999, 25):
        (tmp_path / "stack.tif").write_bytes(whole[: int(share * len(whole))])
        try:
            opened = images.open_images("tiff", tmp_path / "stack.tif", None)
        except DatError:
            continue
        for z in range(opened.facts.planes):
            try:
                got = opened.plane(z)[:, :, 0]
            except DatError:
                continue
            np.testing.assert_array_equal(got, SIXTEEN[z])
        opened.close()


def test_a_strip_that_was_never_written_is_told(tmp_path):
    ff.stack(tmp_path, SIXTEEN, metadata=None, compression="zlib", rowsperstrip=8)
    with tifffile.TiffFile(tmp_path / "stack.tif", mode="r+") as file:
        tag = file.pages[1].tags["StripByteCounts"]
        tag.overwrite([*tag.value[:2], 0, *tag.value[3:]])
    opened = images.open_images("tiff", tmp_path / "stack.tif", None)
    np.testing.assert_array_equal(opened.plane(0)[:, :, 0], SIXTEEN[0])
    with pytest.raises(DatError, match="page 1 has strips without data"):
        opened.plane(1)
    opened.close()


def wrong_pattern(root):
    ff.slices(root, SIXTEEN)
    return {"kind": "tiff", "pattern": "image_{z}.tif"}


def half_a_pattern(root):
    ff.slices(root, SIXTEEN)
    tifffile.imwrite(root / "overview.tif", SIXTEEN[0])
    return {"kind": "tiff", "pattern": "slice_{z}.tif"}


def no_z(root):
    ff.slices(root, SIXTEEN)
    return {"kind": "tiff", "pattern": "slice_*.tif"}


def z_twice(root):
    ff.slices(root, SIXTEEN)
    tifffile.imwrite(root / "slice_1.tif", SIXTEEN[0])
    return {"kind": "tiff", "pattern": "slice_{z}.tif"}


def a_hole(root):
    ff.slices(root, SIXTEEN)
    (root / "slice_0002.tif").unlink()
    return {"kind": "tiff", "pattern": "slice_{z}.tif"}


def every_second(root):
    for z in range(4):
        tifffile.imwrite(root / f"slice_{2 * z}.tif", SIXTEEN[z])
    return {"kind": "tiff", "pattern": "slice_{z}.tif"}


def floats(root):
    return ff.slices(root, SIXTEEN.astype(np.float32))


def colours(root):
    for z in range(4):
        image = np.repeat(SIXTEEN[z].astype(np.uint8)[..., np.newaxis], 3, axis=2)
        tifffile.imwrite(root / f"s{z}.tif", image, photometric="rgb")
    return {"kind": "tiff", "pattern": "s{z}.tif"}


def a_stack_for_a_slice(root):
    tifffile.imwrite(root / "slice_0.tif", SIXTEEN, photometric="minisblack")
    return {"kind": "tiff", "pattern": "slice_{z}.tif"}


def mixed_sizes(root):
    ff.slices(root, SIXTEEN)
    tifffile.imwrite(root / "slice_0003.tif", SIXTEEN[3, :30])
    return {"kind": "tiff", "pattern": "slice_{z}.tif"}


def mixed_depths(root):
    ff.slices(root, SIXTEEN)
    tifffile.imwrite(root / "slice_0003.tif", SIXTEEN[3].astype(np.uint8))
    return {"kind": "tiff", "pattern": "slice_{z}.tif"}


def mixed_pages(root):
    with tifffile.TiffWriter(root / "stack.tif") as file:
        for image in (SIXTEEN[0], SIXTEEN[1], SIXTEEN[2, :30]):
            file.write(image)
    return {"kind": "tiff", "pattern": "stack.tif"}


def other_size(root):
    return ff.slices(root, SIXTEEN, resolution=(1e7 / 5, 1e7 / 5), resolutionunit="CENTIMETER")


def other_thickness(root):
    with mrcfile.new(root / "volume.mrc") as file:
        file.set_data(SIXTEEN)
        file.set_volume()
        file.voxel_size = (80, 80, 400)
    return {"kind": "mrc", "pattern": "volume.mrc"}


def no_array(root):
    return ff.ome_zarr(root, SIXTEEN) | {"dataset": "s7"}


def bad_field(root):
    ff.slices(root, SIXTEEN)
    return {"kind": "tiff", "pattern": "slice_{zed}.tif"}


FAULTS = {
    wrong_pattern: ("error", ["4 that do not: slice_0000.tif, slice_0001.tif, slice_0002.tif"]),
    half_a_pattern: ("note", ["1 tiff file(s) that do not, and are passed over: overview.tif"]),
    no_z: ("error", ["z 0, row 0, column 0 in slice_0000.tif#0", "{first_z} for stacks"]),
    z_twice: ("error", ["z 1, row 0, column 0 in slice_0001.tif#0 and slice_1.tif#0"]),
    a_hole: ("error", ["1 slice(s) after z 1", "{gap: 1, after: tiff_00-01-01_000001, reason:"]),
    every_second: ("error", ["transfer.source.z_step", "Set z_step: 2"]),
    floats: ("error", ["slice_0000.tif: expected images of 8 or 16 bit", "found float32"]),
    colours: ("error", ["expected images of one sample a pixel, found colours"]),
    a_stack_for_a_slice: ("error", ["expected one slice, as {z}", "found 4: write {first_z}"]),
    mixed_sizes: ("note", ["50 x 40 px (3 of those looked at), 50 x 30 px (1", "slice_0003.tif"]),
    mixed_depths: ("note", ["16 bit (3 of those looked at), 8 bit (1", "slice_0003.tif"]),
    mixed_pages: (
        "error",
        ["pages of one size and type, found 50 x 40 int16, 50 x 30 int16"],
    ),
    other_size: ("error", ["acquisition.pixel_nm", "Set pixel_nm: 5"]),
    other_thickness: ("note", ["acquisition.z_nm", "40 nm in the tags", "z_nm should be 40"]),
    no_array: ("error", ["volume.zarr/s7: not readable as zarr: there is no such array"]),
    bad_field: ("error", ["found {zed}", "{z}, {first_z}, {row}, {column}, {channel}"]),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.__name__)
def test_the_doctor_says_in_one_line_what_to_change(tmp_path, fault):
    root = tmp_path / "src"
    root.mkdir()
    found = ff.findings(root, ff.config(fault(root)))
    severity, words = FAULTS[fault]
    texts = [each.text() for each in found]
    fitting = [text for text in texts if all(word in text for word in words)]
    assert fitting, texts
    assert fitting[0].startswith(severity)
    assert "\n" not in fitting[0]
    assert len(texts) == 1, texts


def test_a_good_source_has_no_finding_and_a_declared_hole_is_none(tmp_path):
    assert ff.findings(tmp_path, ff.config(ff.slices(tmp_path, SIXTEEN))) == []
    entry = {"gap": 1, "after": "tiff_00-01-01_000001", "reason": "not imaged"}
    made = ff.config(a_hole(tmp_path), ingest={"layers": [entry]})
    assert ff.findings(tmp_path, made) == []


def test_keys_that_need_raw_files_are_refused_without_them(tmp_path):
    source = ff.slices(tmp_path, SIXTEEN)
    section = {"dat_root": "d", "archive_root": "a", "remove_dats": True, "source": source}
    made = ff.config(None, transfer=section, correct={"steps": ["16bit"]})
    keys = {each.key for each in ff.findings(tmp_path, made) if each.severity == "error"}
    assert keys == {"transfer.archive_root", "transfer.remove_dats", "correct.steps"}


def test_space_counts_pixels_not_packed_files_and_no_raw_files_unless_kept(tmp_path):
    source = ff.lzw_slices(tmp_path, np.zeros((4, 400, 500), np.uint16))
    needs = []
    for keep in (False, True):
        made = ff.config(source | {"keep_raw": keep})
        case = Case(made, tmp_path, tmp_path, False, ff.layers(tmp_path, made))
        needs.append(space.need(made, case.counts_bytes).hdf5_bytes)
        case.close()
    small, large = needs
    pixels = 4 * 400 * 500
    assert small == pytest.approx(pixels * 4 / 3)
    assert large == pytest.approx(pixels * 4 / 3 + 2 * pixels * space.MOST_RAW_SHARE)


# ---------------------------------------------------------------------------------------------
# memory
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"compression": "zlib", "rowsperstrip": 64}])
def test_a_page_is_read_into_one_copy(tmp_path, how, monkeypatch):
    monkeypatch.setattr(tiff_images, "_BUFFER_BYTES", 1 << 17)  # in proportion to the page
    side = 1200
    image = np.random.default_rng(2).integers(0, 60000, (side, side), np.uint16)
    tifffile.imwrite(tmp_path / "s0.tif", image, **how)
    files = origin.of(ff.config({"kind": "tiff", "pattern": "s{z}.tif"}), tmp_path)
    file = files.files()[0][0]
    original = files.original(file.name, file.found.path)
    original.tile()  # imports and caches
    tracemalloc.start()
    original.tile()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    files.close()
    assert image.nbytes < peak < 1.5 * image.nbytes


# ---------------------------------------------------------------------------------------------
# tags of vendors, words of IMOD
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    [
        (34682, "s", 0, "[User]\r\nUser=x\r\n[Scan]\r\nPixelWidth=8.0e-009\r\n", True),
        (
            34118,
            "s",
            0,
            "0\r\nAP_PIXEL_SIZE\r\nPixel Size = 8.000 nm\r\nAP_WD\r\nWD = 5 mm\r\n",
            True,
        ),
    ],
    ids=["thermo fisher", "zeiss"],
)
def test_pixel_sizes_of_vendors_are_read(tmp_path, tag):
    tifffile.imwrite(tmp_path / "s0.tif", SIXTEEN[0], extratags=[tag])
    opened = images.open_images("tiff", tmp_path / "s0.tif", None)
    opened.close()
    assert opened.facts.pixel_nm == pytest.approx(8)


@pytest.mark.parametrize("flags", [0, 1])
def test_mode_0_has_a_sign_unless_imod_says_that_it_has_none(tmp_path, flags):
    bytes_of = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    with mrcfile.new(tmp_path / "v.mrc") as file:
        file.set_data(bytes_of.view(np.int8))
        extra = bytearray(file.header["extra2"].tobytes())
        extra[40:48] = np.array([1146047817, flags], "<i4").tobytes()
        file.header["extra2"] = bytes(extra)
    opened = images.open_images("mrc", tmp_path / "v.mrc", None)
    got = images.counts(opened.plane(0))[:, :, 0]
    opened.close()
    expected = bytes_of[0] ^ np.uint8(0x80) if flags else bytes_of[0]
    np.testing.assert_array_equal(got, expected)


def test_an_mrc_volume_with_other_axes_is_refused(tmp_path):
    with mrcfile.new(tmp_path / "v.mrc") as file:
        file.set_data(SIXTEEN)
        file.header["mapc"], file.header["maps"] = 3, 1
    with pytest.raises(DatError, match=r"found \(3, 2, 1\)"):
        images.open_images("mrc", tmp_path / "v.mrc", None)


def test_damaged_blocks_are_told(tmp_path):
    source = ff.ome_zarr(tmp_path, SIXTEEN)
    block = next(p for p in (tmp_path / "volume.zarr/s0").rglob("0.0.0"))
    block.write_bytes(b"no block")
    files = origin.of(ff.config(source), tmp_path)
    tiles = files.files()[0]
    with pytest.raises(DatError, match=r"volume.zarr: slice 0: "):
        files.original(tiles[0].name, tiles[0].found.path).tile()
    np.testing.assert_array_equal(
        files.original(tiles[3].name, tiles[3].found.path).tile().pixels[:, :, 0], SIXTEEN[3]
    )
    files.close()

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.transfer import conversion, hdf5
from scripts.transfer.contrast import Fill, kept
from scripts.transfer.conversion import Layer, LayerError, Settings
from tests.transfer.synthetic_dat import make_dat, noise
from tests.transfer.test_hdf5 import LAYER, convert, tile

KEYS = ("0-0-0", "0-0-1", "0-1-0")
GOOD = {key: make_dat(noise(i), first_xy=(i, 0)) for i, key in enumerate(KEYS)}


def rerun(layer, settings=None, **more):
    return conversion.convert_layer(layer, settings or Settings(), **more)


def stamps(layer):
    return layer.raw.stat().st_mtime_ns, layer.align.stat().st_mtime_ns


def image(path, key):
    with h5py.File(path) as file:
        return file[f"{key}/mipmap.0"][0]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: d[:3000], "truncated: expected at least 9024 bytes"),
        (lambda d: d[:500], "expected a header of 1024 bytes, found 500"),
        (lambda d: b"", "expected a header of 1024 bytes, found 0"),
        (lambda d: b"oops" + d[4:], "expected magic number"),
    ],
)
def test_a_bad_tile_is_named_and_the_layer_goes_on_without_it(tmp_path, damage, words):
    layer, rows = convert(tmp_path, {**GOOD, "0-0-1": damage(GOOD["0-0-1"])})
    assert [row["status"] for row in rows] == ["ok", "bad", "ok"]
    assert words in rows[1]["reason"]
    assert f"{LAYER}_0-0-1.dat" in rows[1]["reason"]
    alone, _ = convert(tmp_path / "b", {k: GOOD[k] for k in ("0-0-0", "0-1-0")})
    assert set(hdf5.stored_tiles(layer.raw)) == {"0-0-0", "0-1-0"}
    # the bad tile has no part in the contrast of the others
    assert np.array_equal(image(layer.align, "0-1-0"), image(alone.align, "0-1-0"))


def test_a_tile_that_shows_nothing_is_kept_and_named_whenever_its_layer_is_looked_at(tmp_path):
    blank = make_dat(np.zeros((40, 50, 2), np.int16), first_xy=(1, 0))
    layer, rows = convert(tmp_path, {**GOOD, "0-0-1": blank})
    told = ["", "constant (0): detector off?", ""]
    assert [row["reason"] for row in rows] == told
    assert {row["status"] for row in rows} == {"ok"}
    before = stamps(layer)
    assert [row["reason"] for row in rerun(layer)] == told
    assert stamps(layer) == before
    assert hdf5.tile_faults(tmp_path / "none.h5") == {}


def test_with_stop_a_bad_tile_fails_its_layer_after_which_the_others_go_on(tmp_path):
    other = "Merlin-6281_24-03-07_101212"
    bad = {"layer_id": LAYER, "tile_key": "0-0-0", "dat": "bad.dat"}
    good = {"layer_id": other, "tile_key": "0-0-0", "dat": "good.dat"}
    (tmp_path / "bad.dat").write_bytes(GOOD["0-0-0"][:2000])
    (tmp_path / "good.dat").write_bytes(GOOD["0-0-0"])
    rows = conversion.convert_layers(
        [bad, good], dat_root=tmp_path, work_dir=tmp_path, settings=Settings(), stop=True
    )
    assert [row["status"] for row in rows] == ["failed", "ok"]
    assert rows[0]["reason"].startswith("bad.dat: truncated")
    assert not Layer.of([bad], tmp_path, tmp_path).raw.exists()
    assert Layer.of([good], tmp_path, tmp_path).raw.exists()


def test_a_layer_without_a_readable_tile_has_no_hdf5(tmp_path):
    layer, rows = convert(tmp_path, {key: b"no dat" for key in KEYS})
    assert {row["status"] for row in rows} == {"bad"}
    assert not layer.raw.exists()
    assert not layer.align.exists()


def test_a_finished_layer_is_not_written_again(tmp_path):
    layer, rows = convert(tmp_path, GOOD)
    before = stamps(layer)
    assert rerun(layer) == rows
    assert stamps(layer) == before


def test_two_conversions_give_the_same_bytes(tmp_path):
    one, _ = convert(tmp_path / "a", GOOD)
    two, _ = convert(tmp_path / "b", GOOD)
    assert one.raw.read_bytes() == two.raw.read_bytes()
    assert one.align.read_bytes() == two.align.read_bytes()


def test_a_late_tile_rebuilds_the_layer_with_all_tiles(tmp_path):
    convert(tmp_path, {key: GOOD[key] for key in KEYS[:2]})
    late, rows = convert(tmp_path, GOOD)
    at_once, _ = convert(tmp_path / "b", GOOD)
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert late.raw.read_bytes() == at_once.raw.read_bytes()
    assert late.align.read_bytes() == at_once.align.read_bytes()


def test_a_late_tile_finds_the_others_in_the_raw_file_when_their_dats_are_gone(tmp_path):
    layer, _ = convert(tmp_path, {key: GOOD[key] for key in KEYS[:2]})
    for key in KEYS[:2]:
        (layer.dat_root / f"{LAYER}_{key}.dat").unlink()
    (layer.dat_root / f"{LAYER}_0-1-0.dat").write_bytes(GOOD["0-1-0"])
    late = Layer.of([tile("0-1-0")], layer.dat_root, tmp_path / "work")
    rows = rerun(late)
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert dict(hdf5.restore(layer.raw)) == {f"{LAYER}_{k}.dat": GOOD[k] for k in KEYS}


def test_a_dat_that_went_bad_does_not_take_its_verified_tile_away(tmp_path):
    layer, _ = convert(tmp_path, GOOD)
    (layer.dat_root / f"{LAYER}_0-0-1.dat").write_bytes(b"")
    rows = rerun(layer)
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert "taken from the verified raw HDF5" in rows[1]["reason"]
    assert set(hdf5.stored_tiles(layer.raw)) == set(KEYS)


def test_a_mended_dat_with_its_recipe_replaces_the_cut_one(tmp_path):
    cut = GOOD["0-0-0"][: 1024 + 8000]
    convert(tmp_path, {"0-0-0": cut})
    layer, _ = convert(tmp_path, {"0-0-0": GOOD["0-0-0"]})
    assert dict(hdf5.restore(layer.raw)) == {f"{LAYER}_0-0-0.dat": GOOD["0-0-0"]}


def test_a_dat_that_lost_its_recipe_does_not_take_the_converted_one_away(tmp_path):
    layer, _ = convert(tmp_path, GOOD)
    dat = layer.dat_root / f"{LAYER}_0-0-0.dat"
    dat.write_bytes(GOOD["0-0-0"][: 1024 + 8000])
    os.utime(dat, ns=(2**62, 2**62))
    assert [row["status"] for row in rerun(layer)] == ["ok"] * 3
    assert dict(hdf5.restore(layer.raw))[dat.name] == GOOD["0-0-0"]


def test_other_bytes_under_a_converted_name_stop_with_both_kept(tmp_path):
    layer, _ = convert(tmp_path, GOOD)
    dat = layer.dat_root / f"{LAYER}_0-0-0.dat"
    dat.write_bytes(make_dat(noise(77)))
    os.utime(dat, ns=(2**62, 2**62))
    with pytest.raises(LayerError, match="expected the bytes that were converted"):
        rerun(layer)
    assert dict(hdf5.restore(layer.raw))[dat.name] == GOOD["0-0-0"]


def test_changed_settings_remake_the_align_file_alone(tmp_path):
    layer, _ = convert(tmp_path, GOOD)
    raw, align = stamps(layer)
    rerun(layer, Settings(mipmap_levels=1))
    assert layer.raw.stat().st_mtime_ns == raw
    with h5py.File(layer.align) as file:
        assert sorted(file["0-0-0"]) == ["mipmap.0", "mipmap.1"]


def test_a_fill_changes_only_the_align_file(tmp_path):
    plain, _ = convert(tmp_path / "a", GOOD)
    fill = Fill(("0-0-0",), 0, 0, 10, 10, threshold=1500, value=0)
    filled, _ = convert(tmp_path / "b", GOOD, Settings(fills=(fill,)))
    assert plain.raw.read_bytes() == filled.raw.read_bytes()
    assert not np.array_equal(image(plain.align, "0-0-0"), image(filled.align, "0-0-0"))


def test_a_file_without_the_channel_is_a_bad_tile_that_names_the_key(tmp_path):
    files = GOOD | {"0-0-1": make_dat(noise(1, (70, 64, 1)))}
    layer, rows = convert(tmp_path, files, Settings(channel=1))
    assert [row["status"] for row in rows] == ["ok", "bad", "ok"]
    assert "transfer.channel is 1, but" in rows[1]["reason"]
    assert "has 1 channel(s): set it to 0" in rows[1]["reason"]
    assert set(hdf5.stored_tiles(layer.raw)) == {"0-0-0", "0-1-0"}


def test_a_stored_tile_without_the_channel_fails_its_layer_alone(tmp_path):
    """Converted with channel 0 before; its `.dat` is gone."""
    layer, _ = convert(tmp_path, {"0-0-0": make_dat(noise(1, (70, 64, 1)))})
    for path in tmp_path.rglob("*.dat"):
        path.unlink()
    (row,) = conversion.convert_layers(
        list(layer.tiles),
        dat_root=layer.dat_root,
        work_dir=layer.raw.parents[layer.raw.parts[::-1].index("h5")],
        settings=Settings(channel=1),
        stop=False,
    )
    assert (row["status"], "transfer.channel is 1, but" in row["reason"]) == ("failed", True)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda group: group["footer"].__setitem__(0, 0), "9030 bytes that differ from byte 9024"),
        (
            lambda group: group["c0"].__setitem__((0, 0), -1),
            "9030 bytes that differ from byte 1024",
        ),
    ],
)
def test_a_file_that_does_not_read_back_is_not_published(tmp_path, monkeypatch, damage, words):
    real = hdf5.write_raw_tile

    def altered(file, key, *more):
        real(file, key, *more)
        damage(file[key])

    monkeypatch.setattr(hdf5, "write_raw_tile", altered)
    with pytest.raises(LayerError, match=f"give back 9030 bytes, found {words}"):
        convert(tmp_path, {"0-0-0": GOOD["0-0-0"]})
    assert not list((tmp_path / "work").rglob("*.h5"))


def test_a_dat_that_grows_shorter_while_it_is_converted_is_not_published(tmp_path, monkeypatch):
    real = hdf5.write_raw_tile

    def altered(file, key, name, *more):
        real(file, key, name, *more)
        (tmp_path / "dat" / name).write_bytes(GOOD["0-0-0"][:5000])

    monkeypatch.setattr(hdf5, "write_raw_tile", altered)
    with pytest.raises(LayerError, match="give back 5000 bytes, found 9030 bytes that differ"):
        convert(tmp_path, {"0-0-0": GOOD["0-0-0"]})
    assert not list((tmp_path / "work").rglob("*.h5"))


def test_an_align_file_that_reads_back_differently_is_not_published(tmp_path, monkeypatch):
    real = hdf5.write_align

    def altered(path, tiles, **options):
        real(path, tiles, **options)
        with h5py.File(path, "r+") as file:
            file["0-0-1/mipmap.0"][0, 0, 0] ^= 1

    monkeypatch.setattr(hdf5, "write_align", altered)
    with pytest.raises(LayerError, match="uint8.h5: read back differently: 0-0-1"):
        convert(tmp_path, GOOD)
    assert not list((tmp_path / "work").rglob("*.uint8.h5"))


def test_another_fill_remakes_the_align_file(tmp_path):
    layer, _ = convert(tmp_path, GOOD)
    before = image(layer.align, "0-0-0")
    fill = Fill(("0-0-0",), 0, 0, 10, 10, threshold=1500, value=0)
    rerun(layer, Settings(fills=(fill,)))
    assert not np.array_equal(image(layer.align, "0-0-0"), before)


def test_a_layer_whose_contrast_is_kept_is_made_anew_and_its_raw_file_stays(tmp_path):
    layer, _ = convert(tmp_path, GOOD)
    raw, before = layer.raw.stat().st_mtime_ns, image(layer.align, "0-0-0").astype(int)
    rerun(layer, Settings(kept=kept([{"first_dat": LAYER}])))
    assert layer.raw.stat().st_mtime_ns == raw
    assert np.abs(image(layer.align, "0-0-0") + before - 255).max() <= 1
    rerun(layer)
    assert np.array_equal(image(layer.align, "0-0-0"), before)


def test_eight_bit_tiles_that_passed_through_unstretched_are_made_anew(tmp_path):
    pixels = np.arange(200, dtype=np.uint8).reshape(10, 20, 1)
    layer, _ = convert(tmp_path, {"0-0-0": make_dat(pixels)})
    new = image(layer.align, "0-0-0")
    with h5py.File(layer.align, "r+") as file:  # as an earlier version left it
        file.attrs["contrast_range"] = [np.nan, np.nan]
        file["0-0-0/mipmap.0"][0] = pixels[:, :, 0]
    rerun(layer)
    assert np.array_equal(image(layer.align, "0-0-0"), new)
    stamp = stamps(layer)
    rerun(layer)
    assert stamps(layer) == stamp


def convert_and_die(layer, calls):
    """Convert in a forked process that ends without a word at the given call; give its status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = [calls]

    def dying(real):
        def call(*args, **options):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return real(*args, **options)

        return call

    try:
        h5py.Group.create_dataset = dying(h5py.Group.create_dataset)
        Path.replace = dying(Path.replace)
        rerun(layer)
    finally:
        os._exit(0)


@pytest.mark.parametrize("calls", [0, 5, 12, 13, 20])
def test_a_run_killed_anywhere_leaves_nothing_half_done_and_the_next_completes(tmp_path, calls):
    whole, _ = convert(tmp_path / "whole", GOOD)
    layer = Layer.of([tile(k) for k in KEYS], whole.dat_root, tmp_path / "work")
    assert convert_and_die(layer, calls) == 9
    for ours, theirs in ((layer.raw, whole.raw), (layer.align, whole.align)):
        assert not ours.exists() or ours.read_bytes() == theirs.read_bytes()
    rerun(layer)
    assert layer.raw.read_bytes() == whole.raw.read_bytes()
    assert layer.align.read_bytes() == whole.align.read_bytes()
    assert not list((tmp_path / "work").rglob("*.partial"))

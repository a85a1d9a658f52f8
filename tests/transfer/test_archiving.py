"""The archive takes a raw HDF5 in place of another only when no acquired byte is lost."""

import os
import shutil

import h5py
import pytest

from scripts.transfer import archiving, hdf5
from scripts.transfer.archiving import Rules
from scripts.transfer.conversion import Layer, LayerError
from scripts.transfer.dat import DatError
from tests.transfer.synthetic_dat import make_dat, noise
from tests.transfer.test_hdf5 import LAYER, convert, tile

PIXELS = {key: noise(i, (12, 14, 1)) for i, key in enumerate(("0-0-0", "0-0-1"))}
WHOLE = {key: make_dat(pixels, footer=b"recipe") for key, pixels in PIXELS.items()}


def archived(tmp_path, dats, **rules):
    """Archive a layer of key -> bytes; give it with what `settle_layer` said."""
    root = tmp_path / "archive"
    layer, _ = convert(tmp_path / "new", dats)
    layer = Layer.of([tile(key) for key in dats], layer.dat_root, tmp_path / "new" / "work", root)
    return layer, archiving.settle_layer(layer, Rules(root, **rules))


def in_archive(tmp_path):
    (path,) = (tmp_path / "archive").rglob("*.raw-archive.h5")
    return dict(hdf5.restore(path))


def then(tmp_path, dats):
    """Archive another raw HDF5 of the same layer, made apart from the first."""
    shutil.rmtree(tmp_path / "new")
    return archived(tmp_path, dats)


def named(dats):
    return {f"{LAYER}_{key}.dat": data for key, data in dats.items()}


def test_a_recipe_that_was_cut_off_before_is_added_to_the_archive(tmp_path):
    archived(tmp_path, {**WHOLE, "0-0-0": WHOLE["0-0-0"][:-4]})
    _, said = then(tmp_path, WHOLE)
    assert said == ("1", "")
    assert in_archive(tmp_path) == named(WHOLE)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-4],  # a shorter recipe
        lambda data: data[:-6] + b"Recipe",
        lambda data: data[:-6] + b"Recipe, and more",  # longer, but not the one that was acquired
        lambda data: make_dat(noise(9, (12, 14, 1)), footer=b"recipe, and more"),
    ],
)
def test_other_bytes_never_replace_those_in_the_archive_however_long(tmp_path, change):
    archived(tmp_path, WHOLE)
    with pytest.raises(LayerError, match="lacks or changes 0-0-0. Both are kept"):
        then(tmp_path, {**WHOLE, "0-0-0": change(WHOLE["0-0-0"])})
    assert in_archive(tmp_path) == named(WHOLE)
    assert list((tmp_path / "new").rglob("*.raw.h5"))


def test_a_late_tile_is_added_and_a_lost_one_is_named(tmp_path):
    archived(tmp_path, {"0-0-0": WHOLE["0-0-0"]})
    then(tmp_path, WHOLE)
    assert in_archive(tmp_path) == named(WHOLE)
    with pytest.raises(LayerError, match="lacks or changes 0-0-0"):
        then(tmp_path, {"0-0-1": WHOLE["0-0-1"]})
    assert in_archive(tmp_path) == named(WHOLE)


def test_a_copy_that_differs_from_its_source_is_not_published(tmp_path, monkeypatch):
    real = shutil.copyfile

    def altered(source, target):
        real(source, target)
        data = bytearray(target.read_bytes())
        data[-1] ^= 1
        target.write_bytes(bytes(data))
        times = source.stat()
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))  # only its bytes tell

    monkeypatch.setattr(shutil, "copyfile", altered)
    with pytest.raises(LayerError, match="the copy in the archive differs"):
        archived(tmp_path, WHOLE, remove_dats=True)
    assert not list((tmp_path / "archive").rglob("*.h5"))
    assert list((tmp_path / "new").rglob("*.raw.h5"))
    assert len(list((tmp_path / "new").rglob("*.dat"))) == len(WHOLE)


def test_a_raw_file_that_gives_no_dat_back_is_not_archived(tmp_path):
    root = tmp_path / "archive"
    layer, _ = convert(tmp_path / "new", WHOLE)
    layer = Layer.of([tile(key) for key in WHOLE], layer.dat_root, tmp_path / "new" / "work", root)
    with h5py.File(layer.raw, "r+") as file:
        del file["0-0-1/footer"]
    with pytest.raises(DatError, match="not a raw tile"):
        archiving.settle_layer(layer, Rules(root, remove_dats=True))
    assert not list(root.rglob("*.h5"))
    assert layer.raw.exists()
    assert len(list(layer.dat_root.rglob("*.dat"))) == len(WHOLE)


def test_dats_stay_unless_they_are_to_be_removed(tmp_path):
    layer, _ = archived(tmp_path, WHOLE)
    assert len(list(layer.dat_root.rglob("*.dat"))) == len(WHOLE)
    layer, _ = archived(tmp_path, WHOLE, remove_dats=True)
    assert not list(layer.dat_root.rglob("*.dat"))
    assert not layer.raw.exists()


def test_a_dat_that_no_hdf5_holds_is_not_removed(tmp_path):
    bad = WHOLE["0-0-1"][:1100]
    layer, _ = archived(tmp_path, {**WHOLE, "0-0-1": bad}, remove_dats=True)
    assert [path.read_bytes() for path in layer.dat_root.rglob("*.dat")] == [bad]


def test_a_layer_whose_conversion_failed_is_left_alone(tmp_path):
    layer, _ = convert(tmp_path, WHOLE)
    where = {"dat_root": layer.dat_root, "work_dir": tmp_path / "work"}
    rules = Rules(tmp_path / "archive", remove_dats=True)
    rows = archiving.settle_layers(
        [tile(key) for key in WHOLE], {LAYER: "disk full"}, rules, **where
    )
    assert [(r["archived"], r["dats_left"], r["status"]) for r in rows] == [("0", "2", "ok")]
    assert layer.raw.exists()


def test_what_is_stored_is_told_from_both_files_and_the_newer_one_rules(tmp_path):
    cut = WHOLE["0-0-0"][:-4]
    layer, _ = archived(tmp_path, {"0-0-0": cut, "0-0-1": WHOLE["0-0-1"]})
    convert(tmp_path / "new", WHOLE)
    stored = archiving.stored_anywhere(layer.name, tmp_path / "new" / "work", tmp_path / "archive")
    assert stored == {key: (f"{LAYER}_{key}.dat", len(data)) for key, data in WHOLE.items()}
    layer.raw.unlink()
    stored = archiving.stored_anywhere(layer.name, tmp_path / "new" / "work", tmp_path / "archive")
    assert stored["0-0-0"] == (f"{LAYER}_0-0-0.dat", len(cut))

import h5py
import numpy as np
import pytest

from scripts.transfer import conversion, dat, hdf5, restore
from scripts.transfer.conversion import Layer, Settings
from scripts.transfer.hdf5 import Storage
from tests.transfer.synthetic_dat import SHARED, make_dat, noise

LAYER = "Merlin-6281_24-03-07_101112"


def tile(key, **more):
    return {"layer_id": LAYER, "tile_key": key, "dat": f"{LAYER}_{key}.dat", **more}


def convert(tmp_path, dats, settings=None, **more):
    """Convert one layer of key -> bytes; give the layer and its rows."""
    root = tmp_path / "dat"
    root.mkdir(parents=True, exist_ok=True)
    for key, data in dats.items():
        (root / f"{LAYER}_{key}.dat").write_bytes(data)
    layer = Layer.of([tile(key) for key in dats], root, tmp_path / "work")
    rows = conversion.convert_layer(layer, settings or Settings(), **more)
    return layer, rows


@pytest.fixture
def real_layer(sample, tmp_path):
    """The real sample, converted with the chunks of the reference's fixture."""
    name = sample.name.removesuffix("_0-0-1.dat")
    row = {"layer_id": name, "tile_key": "0-0-1", "dat": sample.name}
    layer = Layer.of([row], sample.parent, tmp_path)
    conversion.convert_layer(layer, Settings())
    return layer


def attributes(item):
    """Name -> (HDF5 type class, shape, value)."""
    return {
        name: (
            item.attrs.get_id(name).get_type().get_class(),
            item.attrs.get_id(name).dtype,
            item.attrs.get_id(name).shape,
            np.asarray(item.attrs[name]).tolist(),
        )
        for name in item.attrs
    }


@pytest.mark.real
@pytest.mark.parametrize(("which", "suffix"), [("raw", "raw.h5"), ("align", "uint8.h5")])
def test_the_sample_has_groups_and_attributes_as_the_reference_wrote_them(
    real_layer, which, suffix
):
    reference = SHARED / "jeiss-dat" / f"small_21-07-31_152727.{suffix}"
    with h5py.File(getattr(real_layer, which)) as ours, h5py.File(reference) as theirs:
        assert list(ours) == list(theirs) == ["0-0-1"]
        ours, theirs = ours["0-0-1"], theirs["0-0-1"]
        assert attributes(ours) == attributes(theirs)
        for name in set(ours) & set(theirs):
            assert attributes(ours[name]) == attributes(theirs[name]), name
            assert ours[name].dtype == theirs[name].dtype
            assert ours[name].compression == theirs[name].compression == "gzip"
            assert ours[name].compression_opts == 4
            assert not ours[name].shuffle
            assert not ours[name].fletcher32
        full = {"raw": ("c0", "c1", "header", "footer"), "align": ("mipmap.0", "mipmap.1")}[which]
        for name in full[:-1] if which == "align" else full:
            assert np.array_equal(ours[name], theirs[name]), name


@pytest.mark.real
def test_the_sample_has_five_levels_and_no_root_attributes_in_raw(real_layer):
    with h5py.File(real_layer.raw) as raw, h5py.File(real_layer.align) as align:
        assert dict(raw.attrs) == {}
        assert sorted(align["0-0-1"]) == [f"mipmap.{k}" for k in range(6)]
        assert align["0-0-1/mipmap.3"].shape == (1, 12, 12)


@pytest.mark.real
def test_the_sample_is_restored_byte_for_byte_by_the_command(real_layer, sample, tmp_path):
    out = tmp_path / "restored"
    assert restore.main([str(real_layer.raw), str(out)]) == 0
    assert (out / sample.name).read_bytes() == sample.read_bytes()


def test_restore_never_replaces_a_file_that_differs(tmp_path, capsys):
    layer, _ = convert(tmp_path, {"0-0-0": make_dat(noise(0))})
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{LAYER}_0-0-0.dat").write_bytes(b"mine")
    assert restore.main([str(layer.raw), str(out)]) == 1
    assert (out / f"{LAYER}_0-0-0.dat").read_bytes() == b"mine"
    assert "exists and differs" in capsys.readouterr().err


def test_restore_sees_a_difference_of_one_byte(tmp_path, capsys):
    layer, _ = convert(tmp_path, {"0-0-0": make_dat(noise(1))})
    path = tmp_path / "out" / f"{LAYER}_0-0-0.dat"
    path.parent.mkdir()
    altered = bytearray(make_dat(noise(1)))
    altered[2000] ^= 1
    path.write_bytes(altered)
    assert restore.main([str(layer.raw), str(path.parent)]) == 1
    assert "exists and differs" in capsys.readouterr().err
    assert path.read_bytes() == altered


@pytest.mark.parametrize("version", range(1, 11))
@pytest.mark.parametrize("channels", [1, 2])
def test_every_version_is_rebuilt_byte_for_byte(tmp_path, version, channels):
    data = make_dat(noise(version, (9, 11, channels)), version=version)
    layer, _ = convert(tmp_path, {"0-0-0": data})
    assert list(hdf5.restore(layer.raw)) == [(f"{LAYER}_0-0-0.dat", data)]


def test_eight_bit_dats_are_rebuilt_and_inverted_as_those_of_sixteen_bits(tmp_path):
    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30, 1).astype(np.uint8)
    data = make_dat(pixels)
    layer, _ = convert(tmp_path, {"0-0-0": data})
    deep, _ = convert(tmp_path / "deep", {"0-0-0": make_dat(pixels.astype(np.int16))})
    assert list(hdf5.restore(layer.raw)) == [(f"{LAYER}_0-0-0.dat", data)]
    with h5py.File(layer.align) as file, h5py.File(deep.align) as other:
        assert np.array_equal(file["0-0-0/mipmap.0"], other["0-0-0/mipmap.0"])
        assert np.corrcoef(file["0-0-0/mipmap.0"][0].ravel(), pixels.ravel())[0, 1] < -0.99


def test_an_empty_footer_is_kept_as_an_empty_data_set(tmp_path):
    data = make_dat(noise(0), footer=b"")
    layer, _ = convert(tmp_path, {"0-0-0": data})
    with h5py.File(layer.raw) as file:
        assert file["0-0-0/footer"].shape == (0,)
    assert next(iter(hdf5.restore(layer.raw)))[1] == data


def test_chunks_are_limited_to_the_image(tmp_path):
    settings = Settings(storage=Storage(chunk_px=16))
    layer, _ = convert(tmp_path, {"0-0-0": make_dat(noise(0, (40, 10, 1)))}, settings)
    with h5py.File(layer.raw) as raw, h5py.File(layer.align) as align:
        assert raw["0-0-0/c0"].chunks == (16, 10)
        assert align["0-0-0/mipmap.0"].chunks == (1, 16, 10)


def test_the_second_channel_can_be_the_one_of_the_eight_bit_images(tmp_path):
    pixels = noise(3)
    layer, _ = convert(tmp_path, {"0-0-0": make_dat(pixels)}, Settings(channel=1))
    only, _ = convert(tmp_path / "b", {"0-0-0": make_dat(pixels[:, :, 1:])})
    with h5py.File(layer.align) as one, h5py.File(only.align) as two:
        assert np.array_equal(one["0-0-0/mipmap.0"], two["0-0-0/mipmap.0"])


def test_a_raw_tile_with_a_lost_channel_is_refused_by_name(tmp_path):
    layer, _ = convert(tmp_path, {"0-0-0": make_dat(noise(0))})
    with h5py.File(layer.raw, "r+") as file:
        del file["0-0-0/c1"]
    with pytest.raises(dat.DatError, match="_0-0-0.dat: not a raw tile"):
        list(hdf5.restore(layer.raw))


def _without(group, name):
    del group[name]


def _native(group):
    values = group["c0"][()]
    del group["c0"]
    group["c0"] = values.astype("=i2")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda group: None, True),
        (_native, True),  # other files have it so; the values are what is asked for
        (lambda group: group["header"].__setitem__(500, 1), False),
        (lambda group: group["footer"].__setitem__(2, 1), False),
        (lambda group: group["c1"].__setitem__((69, 49), 7), False),  # last of the last strip
        (lambda group: group["c0"].__setitem__((32, 0), 7), False),  # first of the second
        (lambda group: _without(group, "c1"), False),
        (lambda group: _without(group, "footer"), False),
        (
            lambda group: group.move("header", "c0") if _without(group, "c0") is None else None,
            False,
        ),
    ],
)
def test_a_raw_tile_gives_back_a_dat_when_it_would_be_rebuilt_so(tmp_path, change, same):
    data = make_dat(noise(1, (70, 50, 2)))
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        tile = dat.parse(data, "one.dat")
        hdf5.write_raw_tile(file, "0-0-0", "one.dat", tile, Storage(chunk_px=32))
        change(file["0-0-0"])
        assert hdf5.gives_back(file["0-0-0"], data) is same
        if same:
            assert hdf5.rebuild_dat(file["0-0-0"]) == data
        for other in (data[:-1], data + b"x", data[:3000], b""):
            assert not hdf5.gives_back(file["0-0-0"], other)

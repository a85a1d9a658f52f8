"""Arbitrary names and bytes: refused by name, never a hang, never memory beyond the file."""

import struct
import tracemalloc
from datetime import datetime
from pathlib import PurePosixPath

import h5py
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scripts.lib.names import parse_dat, parse_layer
from scripts.transfer import dat, hdf5, headers, restore
from scripts.transfer.dat import DatError
from tests.transfer.synthetic_dat import make_dat, noise

FUZZ = settings(
    max_examples=400,
    deadline=20_000,  # ms per example: a parser that hangs fails here
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
GOOD = make_dat(noise(0, (8, 9, 2)))
# what a parser may use besides the file itself: header fields, messages, the views of the pixels
SPARE_BYTES = 200_000


def outcome(data, name="fuzz.dat"):
    """The tile, or None where the file is refused by name; peak bytes that parsing took."""
    tracemalloc.start()
    try:
        found = dat.parse(data, name)
    except DatError as error:
        assert str(error).startswith(f"{name}: ")  # noqa: PT017 - both outcomes are allowed
        found = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found, peak


def check(data):
    found, peak = outcome(data)
    assert peak < len(data) + SPARE_BYTES
    if found is not None:
        assert found.head + found.pixels.tobytes() + found.footer == data
        assert set(found.header) == {p.name for p in dat.placements(found.header["FileVersion"])}


@FUZZ
@given(st.binary(max_size=3000))
def test_arbitrary_bytes_are_refused_by_name(data):
    check(data)


@FUZZ
@given(st.binary(min_size=1018, max_size=1018), st.integers(0, 65535), st.integers(0, 5000))
def test_arbitrary_headers_of_every_version_are_read_or_refused(rest, version, more):
    check(struct.pack(">IH", dat.MAGIC, version) + rest + bytes(more))


@FUZZ
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=30))
def test_flipped_bytes_never_crash_the_parser(changes):
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    check(bytes(data))


@FUZZ
@given(st.integers(0, len(GOOD)))
def test_every_truncation_is_refused_or_loses_footer_alone(size):
    found, _ = outcome(GOOD[:size])
    pixels_end = 1024 + 8 * 9 * 2 * 2
    assert (found is not None) == (size >= pixels_end)


@FUZZ
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(1, 4))
@example(2**32 - 1, 2**32 - 1, 4)
@example(2**31, 2, 4)
def test_a_header_that_claims_a_huge_image_costs_no_memory(width, height, channels):
    data = bytearray(GOOD)
    struct.pack_into(">II", data, 100, width, height)
    data[32] = channels
    found, peak = outcome(bytes(data))
    assert peak < len(data) + SPARE_BYTES
    assert (found is None) == (
        width * height == 0 or 1024 + width * height * channels * 2 > len(GOOD)
    )


@FUZZ
@given(st.binary(max_size=2500))
def test_inspecting_a_file_on_disk_names_it(tmp_path, data):
    path = tmp_path / "on_disk.dat"
    path.write_bytes(data)
    message = "on_disk.dat: "
    try:
        dat.inspect(path)
    except DatError as error:
        message = str(error)
    assert message.startswith("on_disk.dat: ")


@FUZZ
@given(st.binary(max_size=2500), st.sampled_from(["x.dat", "x.raw.h5", "x.uint8.h5"]))
def test_the_commands_name_a_file_they_cannot_read(tmp_path, capsys, data, name):
    path = tmp_path / name
    path.write_bytes(data)
    capsys.readouterr()
    status = headers.main([str(path), "--all", *(["--aligned"] if len(data) % 2 else [])])
    assert status == 0 or str(path) in capsys.readouterr().err
    if name.endswith(".h5"):
        assert restore.main([str(path), str(tmp_path / "out")]) == 1
        assert str(path) in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------
# names
# ---------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "Merlin-6281",
        "_",
        "-",
        ".",
        "..",
        "24-03-07",
        "24-13-07",
        "101112",
        "256199",
        "0-1-2",
        ".dat",
    ]
    + [
        "0-0-99999999999999999999",
        "٢٤-٠٣-٠٧",
        "²",
        "\n",
        "\0",
        "\t",
        "/",
        " ",
        "^keep",
        "é",
        "\ud800",
    ]
)
NAMES = st.one_of(
    st.text(max_size=80),
    st.lists(PIECES, max_size=12).map("".join),
    st.lists(PIECES, max_size=12).map("_".join),
)


def safe(layer):
    """A layer's folder lies below the root whatever its name is."""
    folder = PurePosixPath("h5/raw") / layer.folder
    assert ".." not in folder.parts
    assert not folder.is_absolute()
    assert len(folder.parts) == 7
    assert layer.stamp.isascii()
    assert layer.scope.isprintable()  # it becomes a cell of a table and part of a path


@FUZZ
@given(NAMES)
@example("Merlin-6281_24-03-07_101112_0-1-2.dat")
@example(".._24-03-07_101112_0-0-0.dat")
@example("x_٢٤-٠٣-٠٧_101112")
@example("a\n_24-03-07_101112_0-0-0.dat")
def test_any_text_is_a_name_or_refused_with_the_text(text):
    for parse in (parse_dat, parse_layer):
        try:
            found = parse(text)
        except ValueError as error:
            assert repr(text) in str(error)  # noqa: PT017 - both outcomes are allowed
            continue
        safe(found if parse is parse_layer else found.layer)


@FUZZ
@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,20}", fullmatch=True),
    st.datetimes(datetime(2001, 1, 1), datetime(2068, 12, 31)),
    st.tuples(*[st.integers(0, 999_999)] * 3),
    st.sampled_from(["", "-InLens", " (2)", ".part"]),
)  # fmt: skip
def test_names_of_the_grammar_give_back_their_parts(scope, time, cell, rest):
    stamp = time.strftime("%y-%m-%d_%H%M%S")
    key = "-".join(map(str, cell))
    found = parse_dat(f"{scope}_{stamp}_{key}{rest}.dat")
    assert (found.layer.scope, found.layer.stamp, found.tile_key) == (scope, stamp, key)
    assert parse_layer(found.layer.layer_id) == found.layer


@pytest.mark.parametrize("text", ["_" * 200_000, "a_24-03-07_1011" * 20_000, "9-" * 100_000])
def test_long_hostile_names_are_refused_at_once(text):
    tracemalloc.start()
    with pytest.raises(ValueError, match="is no tile name"):
        parse_dat(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(text) + SPARE_BYTES


# ---------------------------------------------------------------------------------------------
# the table of headers
# ---------------------------------------------------------------------------------------------


def test_a_hostile_text_stays_one_cell_of_the_table(tmp_path, capsys):
    path = tmp_path / "M_24-01-01_000000_0-0-0.dat"
    path.write_bytes(make_dat(noise(0), notes=b"a\tb\nc\x1b[2J"))
    assert headers.main([str(tmp_path), "--field", "Notes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["tile\tNotes", f"{path.name}\ta b c [2J"]


def test_an_unknown_field_is_named_with_the_nearest_one(capsys):
    assert headers.main(["x.dat", "--field", "XResolutoin"]) == 1
    assert "unknown field 'XResolutoin'; the nearest is XResolution" in capsys.readouterr().err


def test_a_folder_is_read_file_by_file_and_bad_ones_are_named_at_the_end(tmp_path, capsys):
    for i in range(3):
        (tmp_path / f"M_24-01-01_00000{i}_0-0-0.dat").write_bytes(make_dat(noise(0)))
    (tmp_path / "bad.dat").write_bytes(b"")
    (tmp_path / ".copying.dat").write_bytes(b"")
    assert headers.main([str(tmp_path), "--aligned", "--all"]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert err.count("\n") == 1
    assert "bad.dat" in err


def test_check_compares_and_writes_nothing(tmp_path, capsys):
    raw, out = tmp_path / "layer.raw.h5", tmp_path / "out"
    with h5py.File(raw, "w") as file:
        for key, seed in (("0-0-0", 0), ("0-0-1", 1)):
            tile = dat.parse(make_dat(noise(seed)), "x.dat")
            hdf5.write_raw_tile(file, key, f"M_24-01-01_000000_{key}.dat", tile, hdf5.Storage())
    assert restore.main([str(raw), str(out), "--check"]) == 1
    assert capsys.readouterr().err.count("absent") == 2
    assert not out.exists()
    assert restore.main([str(raw), str(raw), str(out)]) == 0
    assert restore.main([str(raw), str(out), "--check"]) == 0
    assert len(list(out.iterdir())) == 2

"""Tile pixels and masks at mipmap levels."""

import h5py
import numpy as np
import pytest

from scripts.lib.drawing import pixels


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 255, (21, 34)).astype(np.uint8)


def stored(path, image, levels):
    with h5py.File(path, "w") as file:
        for level in levels:
            value = image if level == 0 else np.full((1, image.shape[0] >> level, 3), level)
            file[f"/0-0-1/mipmap.{level}"] = value.reshape(-1, *value.shape[-2:])
        file["/0-0-1/c0"] = image.astype(np.int16)
    return f"file://{path}?dataSet=/0-0-1/mipmap.0&z=0"


def test_level_zero_is_read_as_it_is(tmp_path, image):
    url = stored(tmp_path / "a.h5", image, [0])
    read = pixels.read_image(url)
    assert read.dtype == np.uint8
    assert np.array_equal(read, image)


def test_a_plain_two_dimensional_dataset_is_read(tmp_path, image):
    stored(tmp_path / "a.h5", image, [0])
    read = pixels.read_image(f"file://{tmp_path / 'a.h5'}?dataSet=/0-0-1/c0")
    assert read.dtype == np.int16
    assert np.array_equal(read, image)


def test_relative_paths_are_relative_to_the_working_directory(tmp_path, image, monkeypatch):
    stored(tmp_path / "a.h5", image, [0])
    monkeypatch.chdir(tmp_path)
    assert pixels.read_image("file://a.h5?dataSet=/0-0-1/mipmap.0&z=0").shape == image.shape


def test_a_stored_level_is_taken_and_the_next_is_made_from_it(tmp_path, image):
    url = stored(tmp_path / "a.h5", image, [0, 1])
    assert np.all(pixels.read_image(url, 1) == 1)
    made = pixels.read_image(url, 2)
    assert made.dtype == np.float32
    assert np.all(made == 1)


def test_a_missing_level_is_the_float_mean_of_two_by_two(tmp_path, image):
    url = stored(tmp_path / "a.h5", image, [0])
    want = image[:20].reshape(10, 2, 17, 2).mean(axis=(1, 3))
    assert np.array_equal(pixels.read_image(url, 1), want.astype(np.float32))


def test_a_missing_file_dataset_and_form_are_named(tmp_path, image):
    url = stored(tmp_path / "a.h5", image, [0])
    with pytest.raises(FileNotFoundError, match=r"b\.h5"):
        pixels.read_image(url.replace("a.h5", "b.h5"))
    with pytest.raises(FileNotFoundError, match="0-9-9"):
        pixels.read_image(url.replace("0-0-1", "0-9-9"))
    with pytest.raises(ValueError, match="expected file://"):
        pixels.read_image("http://somewhere/a.png")


@pytest.mark.parametrize(
    ("scale", "level"),
    [
        (2, 0),
        (1, 0),
        (0.6, 0),
        (0.5, 1),
        (0.4, 1),
        (0.34, 1),
        (0.25, 2),
        (0.2, 2),
        (0.1, 3),
        (0.05, 4),
    ],
)
def test_level_of_a_scale_is_that_of_the_reference(scale, level):
    assert pixels.level_for(scale) == level


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match="positive"):
        pixels.level_for(scale)


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"compression": "lzf"}, {}])
@pytest.mark.parametrize("shape", [(70, 101), (3, 70, 101)])
def test_a_window_is_the_same_part_of_the_whole_image(tmp_path, options, shape):
    values = np.random.default_rng(1).integers(0, 60000, shape).astype(np.uint16)
    chunks = (1,) * (len(shape) - 2) + (32, 32)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("mipmap.0", data=values, chunks=chunks if options else None, **options)
    whole = values if len(shape) == 2 else values[2]
    url = f"file://{tmp_path}/t.h5?dataSet=/mipmap.0&z=2"
    assert np.array_equal(pixels.read_image(url), whole)
    for rows, columns in [(slice(0, 1), slice(100, 101)), (slice(31, 65), slice(5, 97))]:
        assert np.array_equal(pixels.read_image(url, 0, (rows, columns)), whole[rows, columns])
    part = pixels.read_image(url, 1, (slice(3, 9), slice(20, 50)))  # a level that is not stored
    assert np.array_equal(part, pixels.read_image(url, 1)[3:9, 20:50])


@pytest.mark.parametrize("shape", [(70, 101), (3, 70, 101)])
@pytest.mark.parametrize(("most_bytes", "unpacked"), [(0, 8), (2048, 7), (1 << 20, 4)])
def test_a_place_that_is_read_again_is_unpacked_once_while_there_is_room(
    tmp_path, shape, most_bytes, unpacked, monkeypatch
):
    values = np.random.default_rng(1).integers(0, 60000, shape).astype(np.uint16)
    chunks = (1,) * (len(shape) - 2) + (32, 32)  # 2048 bytes
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("mipmap.0", data=values, chunks=chunks, compression="gzip")
    seen, real = [], pixels._unpacked
    monkeypatch.setattr(pixels, "_unpacked", lambda *given: seen.append(1) or real(*given))
    whole, url = values.reshape(-1, *shape[-2:])[-1], f"file://{tmp_path}/t.h5?dataSet=/mipmap.0"
    url += f"&z={len(values) - 1 if len(shape) == 3 else 0}"
    places = [(0, 5, 0, 40), (3, 9, 40, 64), (2, 3, 0, 1), (40, 64, 70, 101), (40, 41, 70, 96),
              (0, 2, 33, 34)]  # fmt: skip
    with pixels.held_open(most_bytes):
        for y0, y1, x0, x1 in places:
            rows, columns = slice(y0, y1), slice(x0, x1)
            part = pixels.read_image(url, 0, (rows, columns))
            assert np.array_equal(part, whole[rows, columns])
    assert len(seen) == unpacked


def test_files_that_are_held_open_are_opened_once_and_let_go(tmp_path, image, monkeypatch):
    monkeypatch.setattr(pixels, "MOST_HELD", 2)
    urls = [stored(tmp_path / f"{k}.h5", image + k, [0]) for k in range(3)]
    opened, real = [], h5py.File

    def counted(*given):
        opened.append(real(*given))
        return opened[-1]

    monkeypatch.setattr(h5py, "File", counted)
    with pixels.held_open():
        for k in (0, 1, 0, 1, 2, 1, 0):
            assert np.array_equal(pixels.read_image(urls[k]), image + k)
        assert len(opened) == 4
        assert [bool(file) for file in opened] == [False, True, False, True]  # open or not
        with pytest.raises(FileNotFoundError):
            pixels.read_image(urls[0].replace("0.h5", "none.h5"))
    assert not any(opened)
    assert np.array_equal(pixels.read_image(urls[0]), image)
    assert not any(opened)

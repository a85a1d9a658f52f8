"""Files of arrays: what was written is read, whole, and equal arrays are equal bytes."""

from dataclasses import dataclass, fields

import numpy as np
import pytest

from scripts.lib import array_files


@dataclass(frozen=True)
class Pairs:
    """Columns of two pairs."""

    ids: np.ndarray
    shift: np.ndarray


TWO = Pairs(np.array(["a", "bc"]), np.arange(4.0).reshape(2, 2))


@pytest.mark.parametrize("packed", [True, False])
def test_arrays_are_read_as_they_were_written(tmp_path, packed):
    arrays = {"z": np.arange(3), "pixels": np.zeros((2, 500), np.uint8)}
    for name in ("a", "b"):
        array_files.write(tmp_path / name, arrays, packed=packed)
    found = array_files.read(tmp_path / "a")
    assert set(found) == set(arrays)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert ((tmp_path / "a").stat().st_size < 1000) == packed


def test_columns_are_read_as_they_were_written_and_strangers_left_out(tmp_path):
    array_files.write_columns(tmp_path / "a", TWO)
    arrays = array_files.read(tmp_path / "a") | {"of_an_older_version": np.zeros(1)}
    array_files.write(tmp_path / "b", arrays)
    for name in ("a", "b"):
        found = array_files.read_columns(tmp_path / name, Pairs)
        assert all(
            np.array_equal(getattr(found, f.name), getattr(TWO, f.name)) for f in fields(TWO)
        )


def test_objects_are_neither_written_nor_run(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        array_files.read(tmp_path / "x.npz")

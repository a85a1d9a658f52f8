"""Outputs of a job that are kept: all of them are put back, whatever they are called."""

import pytest

from scripts.lib import made_by
from scripts.lib.kept import Kept


@pytest.mark.parametrize("second", ["b/0000.npz", "a/0001.npz", "a/deep/0000.npz"])
def test_outputs_of_one_name_in_several_folders_are_put_back(tmp_path, monkeypatch, second):
    monkeypatch.chdir(tmp_path)
    outputs = ["a/0000.npz", second]
    paths = [tmp_path / each for each in outputs]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([i]))
    Kept.of_tiles(outputs, "tiles", [1], code=made_by.CORRELATIONS).keep()
    for path in paths:
        path.unlink()
    assert not Kept.of_tiles(outputs, "others", [1], code=made_by.CORRELATIONS).restore()
    assert Kept.of_tiles(outputs, "tiles", [1], code=made_by.CORRELATIONS).restore()
    assert [path.read_bytes() for path in paths] == [b"\0", b"\1"]

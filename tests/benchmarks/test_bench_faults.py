"""Faults of an export: processes killed at random moments, then files torn at random places."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.lib.job import UserError
from scripts.lib.volumes import multiscale
from tests.export import kills, test_parts
from tests.export.synthetic import publish
from tests.export.test_export_jobs import coordinates

ROOT = Path(__file__).resolve().parents[2]
LAYERS = range(3, 20)


def stack(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    publish(tmp_path, LAYERS)
    coordinates(LAYERS, shift=0.3)


def test_an_export_killed_anywhere_ends_with_the_same_bytes(bench, tmp_path, monkeypatch):
    stack(tmp_path, monkeypatch)
    count = 100 if bench.measuring else 2
    found = (kill_processes if bench.measuring else interrupt)(count)
    assert found["kills"] == count
    assert found["same_at_the_end"]
    bench.row("export.kills_survived", count, "SIGKILLs", better="higher")
    if bench.measuring:
        assert found["complete"] > 1  # compared byte by byte each time


def kill_processes(count):
    """SIGKILL at random moments, in processes of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.export.kills", str(count), "7"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def interrupt(count):
    """The same by an exception in this process: what a test of every day has time for."""
    kills.export()
    whole = kills.content()
    shutil.rmtree("out")
    rng, write, died = np.random.default_rng(7), multiscale.Level.write, 0
    for _ in range(count):
        left = int(rng.integers(1, 15))

        def dying(self, region, voxels):
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            write(self, region, voxels)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(multiscale.Level, "write", dying)
            try:
                kills.export()
            except KeyboardInterrupt:
                died += 1
    kills.export()
    return {"kills": died, "same_at_the_end": kills.content() == whole}


def test_torn_and_lost_files_are_found_and_written_again(bench, tmp_path, monkeypatch):
    count = 60 if bench.measuring else 2
    stack(tmp_path, monkeypatch)
    test_parts.export("out", **kills.SETTINGS)
    whole = kills.content()
    rng = np.random.default_rng(8)
    blocks = [Path(name) for name in whole if Path(name).name.isdigit()]
    for _ in range(count):
        path = blocks[rng.integers(len(blocks))]
        size = len(whole[str(path)])
        kept = int(rng.integers(-1, size))
        path.write_bytes(whole[str(path)][: max(kept, 0)])
        if kept < 0:
            path.unlink()
        assert check_again()
        test_parts.export("out", again=True, **kills.SETTINGS)
        assert kills.content() == whole
    bench.row("export.torn_files_mended", count, "files", better="higher")


def check_again():
    """Read all blocks back, as `--forcerun check_slab` does; tells whether a fault was named."""
    records = [each for each in Path("out/checked").rglob("*") if each.is_file()]
    for record in [*records, Path("out/volume.json")]:
        record.unlink()
    try:
        test_parts.export("out", again=True, **kills.SETTINGS)
    except UserError as error:
        # the message says what else is to be removed: the pyramid's record when it is a block of it
        if "Remove export/pyramid.json" in str(error):
            Path("out/pyramid.json").unlink()
        return True
    return False

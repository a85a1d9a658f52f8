"""16 bit of two detectors, from the `.dat` files to the promoted volumes and the clean-up."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.lib.volumes import multiscale
from tests.workflow import shown
from tests.workflow.conftest import LIMIT_S, NASTY, ROOT, make_volume

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

ACQUISITION = [
    *("--layers", "6", "--grid", "1", "1", "--tile", "112", "128", "--channels", "2"),
    *("--resin-layers", "0", "--corrupt-layer", "0", "--restart-layer", "0"),
]
SIGNED = 32768  # counts are signed, voxels are not


def voxels(folder, channel, dtype="uint16"):
    """Level 0 of the volume of a channel."""
    end = "" if channel == 0 else f".channel-{channel}"
    target = multiscale.Target(
        "n5", str(folder / f"demo{end}.n5"), f"em/fibsem-{dtype}", "gzip", codec_level=5
    )
    level = multiscale.open_level(target, 0)
    return level.read(tuple(slice(0, n) for n in level.shape_zyx))


def counts(archive, channel):
    """Mean of the raw counts of a channel in all layers."""
    means = []
    for path in sorted(archive.rglob("*.h5")):
        with h5py.File(path) as file:
            means.append(file[f"0-0-0/c{channel}"][()].mean())
    return np.mean(means)


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """Both channels, exported and promoted; the clean-up listed."""
    folder = tmp_path_factory.mktemp("two") / NASTY
    argv = [sys.executable, "-m", "scripts.demo.acquire", str(folder / "acquired"), *ACQUISITION]
    subprocess.run(argv, cwd=ROOT, check=True, timeout=LIMIT_S)
    for name in ("finished", "archive"):
        (folder / name).mkdir()
    made = make_volume(
        folder,
        folder / "acquired",
        acquisition={"rows": 1, "columns": 1},
        chunks={"layers": 8},
        transfer={
            "archive_root": str(folder / "archive"),
            "layers_per_job": 8,
        },
        correct={
            "steps": ["straighten", "16bit", "destreak", "intensity"],
            "16bit": {"channels": [0, 1]},
        },
        export={
            "block_zyx_px": [4, 32, 32],
            "dtype": "both",
            "contrast": {"cell_px": 64},
            "promote_root": str(folder / "finished"),
        },
    )
    for target in ("promote", "cleanup_listing"):
        done = typed(made, target)
        assert done.returncode == 0, done.stdout
    return made


def typed(volume, target, *replaced):
    """Let a shell execute the command that the page shows for a target, on this volume."""
    page = (ROOT / "docs/finish.md").read_text()
    line = next(one for one in shown.of_text(page) if one.startswith(f"snakemake {target} "))
    for old, new in (("config/volumes/mine.yaml", shlex.quote(str(volume.config))), *replaced):
        assert old in line
        line = line.replace(old, new)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=os.environ | {"PATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False,
    )  # fmt: skip


def test_both_channels_are_promoted_in_16_bit_with_their_own_counts(volume):
    finished = volume.folder / "finished"
    assert sorted(path.name for path in finished.iterdir()) == [
        *("demo.channel-1.n5", "demo.channel-1.zarr", "demo.n5", "demo.zarr")
    ]
    shown = [voxels(finished, channel) for channel in (0, 1)]
    inside = np.logical_and(*(each > 0 for each in shown))
    assert inside.mean() > 0.8
    for channel, each in enumerate(shown):
        wanted = counts(volume.folder / "archive", channel)
        assert abs(each[inside].mean() - SIGNED - wanted) < 0.05 * wanted, channel
        eight = voxels(finished, channel, "uint8")
        assert np.array_equal(eight == 0, each == 0)
        assert np.corrcoef(eight[inside], each[inside])[0, 1] > 0.99
        assert 64 < eight[inside].mean() < 192
    # one specimen, seen by a detector of 0.6 of the sensitivity
    first, second = (each[inside].astype(float) - SIGNED for each in shown)
    assert np.corrcoef(first, second)[0, 1] > 0.5


def test_the_clean_up_leaves_the_volumes_and_a_second_run_does_nothing(volume):
    word = (volume.work / "cleanup/word.txt").read_text().strip()
    before = volume.files("demo*/**/*")
    done = typed(volume, "cleanup", ("<word of cleanup/word.txt>", word))
    assert done.returncode == 0, done.stdout
    assert not (volume.work / "h5/align").exists()
    assert Path(volume.work / "demo.channel-1.n5/em/fibsem-uint16").is_symlink()
    assert volume.files("demo*/**/*") == before
    again = volume.snakemake("promote")
    assert again.returncode == 0, again.stdout
    assert "Nothing to be done" in again.stdout

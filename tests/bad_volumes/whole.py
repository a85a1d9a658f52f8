"""Bad volumes that take the whole workflow: acquired, spoilt, run from the files to the report.

A minute or two each, so `make bench` alone runs them.
"""

import json
import subprocess
import sys

import numpy as np

from scripts.lib.verdicts import GOOD
from tests.bad_volumes.cases import REFUSED, ROOT, Told, bad
from tests.workflow.conftest import make_volume

LAYERS = 10
ACQUISITION = [
    *("--layers", str(LAYERS), "--tile", "160", "176", "--seed", "7"),
    *("--resin-layers", "0", "--corrupt-layer", "0", "--restart-layer", "0"),
]
BAD = "look or not good"  # as the other stages see it too
HEADER = 1024  # bytes before the pixels of a .dat


def run(folder, change, **sections):
    """Acquire, change the files, run everything: what the terminal or the report says."""
    acquired = folder / "acquisition"
    argv = [sys.executable, "-m", "scripts.demo.acquire", str(acquired), *ACQUISITION]
    subprocess.run(argv, cwd=ROOT, check=True)
    layers = {}
    for path in sorted((acquired / "dat").glob("*.dat")):
        layers.setdefault(path.name.rsplit("_", 1)[0], []).append(path)
    change(list(layers.values()))
    volume = make_volume(folder / "volume", acquired, **sections)
    done = volume.snakemake()
    if done.returncode:
        return Told(REFUSED, done.stdout)
    verdict = json.loads((volume.work / "report/summary.json").read_text())["verdict"]
    ends = GOOD if verdict["state"] == GOOD else BAD
    return Told(ends, "\n".join(verdict["reasons"]))


def _pixels(path, change):
    data = path.read_bytes()
    at = slice(HEADER, HEADER + 2 * 160 * 176)
    values = np.frombuffer(data[at], ">i2")
    made = np.clip(change(values.astype(int)), -32768, 32767).astype(">i2").tobytes()
    path.write_bytes(data[:HEADER] + made + data[at.stop :])


def _give(paths, others):
    """Give files the pixels of others."""
    read = [path.read_bytes()[HEADER:] for path in others]
    for path, data in zip(paths, read, strict=True):
        path.write_bytes(path.read_bytes()[:HEADER] + data)


@bad(
    "files of two layers that changed places",
    "zcorr",
    REFUSED,
    r"in the wrong order.*: z 5\b(?s:.*)z 5 behind z 6",
    whole=True,
)
def swapped(folder):
    """The pixels of layers 5 and 6 are in each other's files, from the microscope on."""

    def change(layers):
        before = [[path.read_bytes()[HEADER:] for path in layer] for layer in layers[4:6]]
        for layer, pixels in zip(layers[4:6], before[::-1], strict=True):
            for path, data in zip(layer, pixels, strict=True):
                path.write_bytes(path.read_bytes()[:HEADER] + data)

    return run(folder, change)


@bad("a layer that was written twice", "solve", BAD, r"z 5 to 6: the same image twice", whole=True)
def twice(folder):
    """Layer 6 has the pixels of layer 5, from the microscope on."""
    return run(folder, lambda layers: _give(layers[5], layers[4]))


@bad("files under each other's name", "review", BAD, r"z 5: cells 0,0 and 0,1 are exch", whole=True)
def renamed(folder):
    """The files of two cells of layer 5 have each other's name, headers and all."""

    def change(layers):
        one, other = sorted(layers[4])[:2]
        data = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(data)

    return run(folder, change)


@bad("a layer that was not copied", "ingest", BAD, r"ingest: z 4 to 5: a layer seems", whole=True)
def layer_not_copied(folder):
    """The files of the fifth layer are not there: twice the usual time lies between two."""

    def change(layers):
        for path in layers[4]:
            path.unlink()

    return run(folder, change)


@bad("a column that was not copied", "doctor", REFUSED, r"acquisition\.columns", whole=True)
def not_copied(folder):
    """The files of the second column are not there."""

    def change(layers):
        for layer in layers:
            for path in layer:
                if path.stem.endswith("-1"):
                    path.unlink()

    return run(folder, change)


@bad("a detector whose polarity flips", "review", REFUSED, r"contrast flips at z 6", whole=True)
def flipped(folder):
    """From layer 6 on dark is bright."""

    def change(layers):
        for layer in layers[5:]:
            for path in layer:
                _pixels(path, lambda values: 6000 - values)

    return run(folder, change)


@bad("tissue that ends half-way", "review", REFUSED, r"z 6–10 show no tissue", whole=True)
def ends(folder):
    """From layer 6 on the pictures are noise."""

    def change(layers):
        rng = np.random.default_rng(0)
        for layer in layers[5:]:
            for path in layer:
                _pixels(path, lambda values: rng.normal(2500, 150, len(values)))

    return run(folder, change)


@bad(
    "a detector that was off for three layers",
    "review",
    REFUSED,
    r"3 tiles look damaged.*no signal(?s:.*)patch:(?s:.*)z: 5, from: -1.*no signal",
    whole=True,
)
def dead(folder):
    """All pixels of a cell are 0 in layers 5 to 7."""

    def change(layers):
        for layer in layers[4:7]:
            _pixels(sorted(layer)[1], lambda values: 0 * values)

    return run(folder, change, review={"auto": False})


@bad(
    "a detector that was off, with its noise",
    "review",
    REFUSED,
    r"3 tiles look damaged.*times that of tissue.*detector off\?",
    whole=True,
)
def silent(folder):
    """The pixels of a cell are a quarter of the noise of tissue in layers 5 to 7."""

    def change(layers):
        rng = np.random.default_rng(0)
        for layer in layers[4:7]:
            _pixels(sorted(layer)[1], lambda values: rng.normal(2500, 40, len(values)))

    return run(folder, change, review={"auto": False})

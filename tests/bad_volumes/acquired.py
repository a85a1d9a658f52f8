"""Bad volumes whose files are spoilt first, then matched and solved as they are.

Eight layers of 2 x 2 tiles, without the gate of the review: what the solve and its pixels say.
A few seconds each, so `make bench` alone runs them.
"""

import dataclasses

import cv2
import numpy as np

from scripts.lib.job import UserError
from scripts.lib.verdicts import GOOD
from tests.bad_volumes import matched
from tests.bad_volumes.cases import REFUSED, Told, bad
from tests.bad_volumes.finished import SMALL, Finished

SETTINGS = dataclasses.replace(SMALL, layers=8, restart_layer=0, seed=11)
HEIGHT, WIDTH = SETTINGS.tile_height, SETTINGS.tile_width
AT = slice(1024, 1024 + 2 * HEIGHT * WIDTH)  # of the first channel's pixels in a .dat
BAD = "look or not good"
CELLS = ("0-0-0", "0-0-1", "0-1-0", "0-1-1")
TILE = "0-0-1"
LOOSE = r"do not join all 32 tiles.*"


class Files:
    """Pixels of the acquired tiles, by layer from 1 on and by cell."""

    def __init__(self, acquisition):
        paths = sorted((acquisition / "dat").glob("*.dat"))
        times = sorted({path.stem.rsplit("_", 1)[0] for path in paths})
        self.paths = {}
        for path in paths:
            time, cell = path.stem.rsplit("_", 1)
            self.paths[times.index(time) + 1, cell] = path

    def __getitem__(self, place):
        values = np.frombuffer(self.paths[place].read_bytes()[AT], ">i2")
        return values.reshape(HEIGHT, WIDTH).astype(float)

    def __setitem__(self, place, values):
        data = self.paths[place].read_bytes()
        made = np.clip(values, -32768, 32767).astype(">i2").tobytes()
        self.paths[place].write_bytes(data[: AT.start] + made + data[AT.stop :])

    def layer(self, z):
        return {cell: self[z, cell] for cell in CELLS}


def told(folder, change):
    """What is said of the volume when `change` was made to its files."""
    try:
        made = Finished(folder, SETTINGS, matched.matched, change)
    except UserError as error:
        return Told(REFUSED, str(error))
    verdict = made.judged(made.start)[0]["verdict"]
    return Told(GOOD if verdict["state"] == GOOD else BAD, "\n".join(verdict["reasons"]))


def spoilt(name, ends, line, stage="solve"):
    """Register a change of the files as a case."""

    def register(change):
        def make(folder):
            return told(folder, lambda acquisition: change(Files(acquisition)))

        make.__doc__ = change.__doc__
        bad(name, stage, ends, line, whole=True)(make)
        return change

    return register


def _half(values):
    """The tile's lower half, to be written to."""
    return values[HEIGHT // 2 :]


@spoilt("columns that changed places", BAD, r"^solve: z 5: tiles 0-0 and 0-1 lie")
def columns(files):
    """The tiles of layer 5 are in the files of the other column."""
    before = files.layer(5)
    for row in "01":
        files[5, f"0-{row}-0"], files[5, f"0-{row}-1"] = before[f"0-{row}-1"], before[f"0-{row}-0"]


@spoilt("a tile that was written for its neighbour too", BAD, r"^solve: z 5: tiles 0-0 and 0-1 lie")
def neighbour(files):
    """A tile of layer 5 has the pixels of the tile beside it: a hole that nothing else shows."""
    files[5, TILE] = files[5, "0-0-0"]


@spoilt("a mirrored tile", REFUSED, LOOSE + r"_0-0-1\.5\.0")
def mirrored(files):
    """A tile of layer 5 is written from right to left."""
    files[5, TILE] = files[5, TILE][:, ::-1]


@spoilt("a tile whose contrast is the other way round", REFUSED, LOOSE + r"_0-0-1\.5\.0")
def inverted(files):
    """In a tile of layer 5 dark is bright."""
    files[5, TILE] = 6000 - files[5, TILE]


@spoilt("pixels of half the size from a layer on", REFUSED, LOOSE + r"_0-0-0\.5\.0")
def zoomed(files):
    """From layer 5 on the magnification is twice what the headers say."""
    for z in range(5, 9):
        for cell, values in files.layer(z).items():
            middle = values[HEIGHT // 4 : -HEIGHT // 4, WIDTH // 4 : -WIDTH // 4]
            files[z, cell] = cv2.resize(middle, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


@spoilt("a layer whose axes are exchanged", REFUSED, LOOSE + r"_0-0-0\.5\.0")
def transposed(files):
    """The tiles of layer 5 are written column by column."""
    for cell, values in files.layer(5).items():
        files[5, cell] = cv2.resize(values.T, (WIDTH, HEIGHT))


@spoilt("a tile that is half black", BAD, r"^solve: z 5: does not fit between its neighbours")
def black(files):
    """The beam was off for the lower half of a tile of layer 5."""
    values = files[5, TILE]
    _half(values)[:] = values.min()
    files[5, TILE] = values


@spoilt("tiles that are half black from a layer on", BAD, r"^match: z 5-8: .*tiles 0-1 and 1-1")
def black_on(files):
    """The same in all layers from the fifth on."""
    for z in range(5, 9):
        values = files[z, TILE]
        _half(values)[:] = values.min()
        files[z, TILE] = values


@spoilt("a scan that slipped", BAD, r"^solve: z 5( to 6)?: .* do not meet, 5\.[89]")
def slipped(files):
    """The lower half of a tile of layer 5 lies 6 px to the right."""
    values = files[5, TILE]
    _half(values)[:] = np.roll(_half(values), 6, axis=1)
    files[5, TILE] = values


@spoilt("lines that drift", BAD, r"^solve: z 5 to 6: layers do not meet")
def sheared(files):
    """Every line of a tile of layer 5 begins 0.15 px after the one before."""
    rows = [np.roll(row, int(0.15 * y)) for y, row in enumerate(files[5, TILE])]
    files[5, TILE] = np.array(rows)


@spoilt("a tile of two layers", BAD, r"^solve: z [45] to 6: layers do not meet")
def stale(files):
    """The lower half of a tile of layer 5 is still that of layer 2."""
    values = files[5, TILE]
    _half(values)[:] = _half(files[2, TILE])
    files[5, TILE] = values


@spoilt("a run of layers the other way round", BAD, r"^solve: z 4 to 5: .*in the wrong order")
def backwards(files):
    """Layers 4 to 7 are in reverse order."""
    before = {z: files.layer(z) for z in range(4, 8)}
    for z, tiles in before.items():
        for cell in CELLS:
            files[11 - z, cell] = tiles[cell]


@spoilt("a layer that was written three times", BAD, r"^solve: z 4 to 5: the same image twice")
def thrice(files):
    """Layers 5 and 6 have the pixels of layer 4."""
    for z in (5, 6):
        for cell, values in files.layer(4).items():
            files[z, cell] = values


@bad("matches of another volume", "solve", BAD, r"^solve: .*do not meet", whole=True)
def other_matches(folder):
    """The match collection is that of another volume, whose tiles have the same names."""
    own = Finished(folder / "own", SETTINGS)
    other = Finished(folder / "other", dataclasses.replace(SETTINGS, seed=12))
    verdict = own.judged(own.solve(other.start.pairs))[0]["verdict"]
    return Told(GOOD if verdict["state"] == GOOD else BAD, "\n".join(verdict["reasons"]))

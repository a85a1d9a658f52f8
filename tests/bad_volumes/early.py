"""Bad volumes that are told before anything is aligned: config, doctor, transfer, ingest."""

import copy
import logging
import math
import re
from pathlib import Path

import numpy as np
import yaml

from scripts.ingest import validation
from scripts.ingest.headers import with_prior
from scripts.ingest.settings import Settings
from scripts.lib.job import UserError
from scripts.lib.schema import validate
from scripts.match import stage_files
from scripts.transfer import belonging, doctor, space
from tests.bad_volumes.cases import REFUSED, ROOT, Told, bad, inside, refused
from tests.ingest import synthetic_layers
from tests.ingest.synthetic_layers import make_tile
from tests.transfer import faults
from tests.transfer.scopes import dat_bytes, dat_name
from tests.transfer.synthetic_dat import make_dat

SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
EXAMPLE = {
    "volume": "v",
    "work_dir": "w",
    "render": {"owner": "o", "project": "p"},
    "acquisition": {"rows": 1, "columns": 2, "pixel_nm": 8, "z_nm": 8},
    "transfer": {"dat_root": "d"},
}


# ---- config --------------------------------------------------------------------------------------


def checked(change):
    """What the schema says of the example after a change."""
    made = copy.deepcopy(EXAMPLE)
    change(made)
    return refused(UserError, validate, made, SCHEMA)


@bad("a key that does not exist", "config", REFUSED, r"acquisition\.column.*columns")
def unknown_key(_folder):
    """A key `column` in section `acquisition`."""
    return checked(lambda c: c["acquisition"].update(column=2))


@bad("a number that is text", "config", REFUSED, r"acquisition\.rows: expected .*integer.*'two'")
def wrong_type(_folder):
    """`acquisition.rows: two`."""
    return checked(lambda c: c["acquisition"].update(rows="two"))


@bad("a pixel without size", "config", REFUSED, r"acquisition\.pixel_nm: expected .*0")
def no_size(_folder):
    """`acquisition.pixel_nm: 0`."""
    return checked(lambda c: c["acquisition"].update(pixel_nm=0))


@bad("a value that is no number", "config", REFUSED, r"z_nm: expected a finite number, found nan")
def not_finite(_folder):
    """`acquisition.z_nm: .nan`."""
    return checked(lambda c: c["acquisition"].update(z_nm=math.nan))


@bad("a section that is missing", "config", REFUSED, r"acquisition\.rows: missing")
def no_section(_folder):
    """No `acquisition:` at all."""
    return checked(lambda c: c.pop("acquisition"))


@bad("a decision without a reason", "config", REFUSED, r"review\.exclude.*reason")
def no_reason(_folder):
    """An entry of `review.exclude` that does not say why."""
    entry = {"tiles": ["t"]}
    return checked(lambda c: c.update(review={"exclude": [entry]}))


@bad("a step that does not exist", "config", REFUSED, r"correct\.steps.*'sharpen'")
def unknown_step(_folder):
    """`correct.steps: [sharpen]`."""
    return checked(lambda c: c.update(correct={"steps": ["sharpen"]}))


@bad("a stage table that contradicts itself", "config", REFUSED, r"matchMinNumInliers")
def wrong_preset(folder):
    """A negative number of inliers in a table of `config/match_stages`."""
    table = yaml.safe_load((ROOT / "config/match_stages/multi_row.yaml").read_text())
    text = yaml.safe_dump(table).replace("matchMinNumInliers: 25", "matchMinNumInliers: -25")
    folder.mkdir()
    path = folder / "mine.yaml"
    path.write_text(text)
    return refused(UserError, stage_files.read_table, path)


# ---- doctor --------------------------------------------------------------------------------------


def examined(folder, change=None, **sections):
    """What the doctor says of four layers of 1 x 2 tiles, changed."""
    dats = folder / "dat"
    dats.mkdir(parents=True)
    pixels = np.zeros((8, 9, 1), np.int16)
    for layer in range(4):
        for column in range(2):
            name = f"Merlin-1_24-03-07_10000{layer}_0-0-{column}.dat"
            (dats / name).write_bytes(make_dat(pixels))
    if change:
        change(dats)
    made = copy.deepcopy(EXAMPLE)
    for name, values in sections.items():
        made[name] = made.get(name, {}) | values
    validate(made, SCHEMA)
    found = doctor.examine(made, dats, folder)
    return refused(UserError, doctor.require, found)


@bad("a folder that is not there", "doctor", REFUSED, r"transfer\.dat_root.*no such folder")
def no_folder(folder):
    """`transfer.dat_root` names a folder that does not exist."""
    made = copy.deepcopy(EXAMPLE)
    validate(made, SCHEMA)
    folder.mkdir()
    found = doctor.examine(made, folder / "no/such", folder)
    return refused(UserError, doctor.require, found)


@bad("a folder without a file", "doctor", REFUSED, r"transfer\.dat_root.*the folder is there")
def empty_folder(folder):
    """`transfer.dat_root` names an empty folder."""
    return examined(folder, lambda dats: [path.unlink() for path in dats.iterdir()])


@bad("the files of another microscope", "doctor", REFUSED, r"acquisition\.scope.*Merlin-1")
def other_scope(folder):
    """`acquisition.scope` names another microscope than the files do."""
    return examined(folder, acquisition={"scope": "Merlin-2"})


@bad("a range without a layer", "doctor", REFUSED, r"acquisition\.first_dat and last_dat")
def empty_range(folder):
    """`acquisition.first_dat` lies behind the last file."""
    return examined(folder, acquisition={"first_dat": "Merlin-1_25-01-01_000000"})


def second(folder, *, layer=None, **sections):
    """What the doctor says of a volume in the working directory of the first one."""
    before = copy.deepcopy(EXAMPLE)
    validate(before, SCHEMA)

    def change(dats):
        belonging.remember(before, dats, folder)
        for path in sorted(dats.iterdir()):
            other = make_dat(np.ones((8, 9, 1), np.int16))
            (
                path if layer is None else path.with_name(path.name.replace("_1000", layer))
            ).write_bytes(other)
            if layer is not None:
                path.unlink()

    return examined(
        folder,
        change if not sections else lambda d: belonging.remember(before, d, folder),
        **sections,
    )


@bad(
    "a second volume in the same working directory",
    "doctor",
    REFUSED,
    r"work_dir: expected .*the layers .*_090003.*, found that of the layers .*_100003",
)
def second_volume(folder):
    """`work_dir` is that of another acquisition, owner and project are the same."""
    return second(folder, layer="_0900")


@bad(
    "a second volume under the same names",
    "doctor",
    REFUSED,
    r"work_dir: .*same names and other bytes",
)
def second_of_same_names(folder):
    """The same, and its files have the same names."""
    return second(folder)


@bad(
    "a second project in the same working directory",
    "doctor",
    REFUSED,
    r"work_dir: .*volume o/q, found that of the volume o/p",
)
def second_project(folder):
    """`work_dir` is that of another project."""
    return second(folder, render={"owner": "o", "project": "q"})


@bad("a grid with a column too few", "doctor", REFUSED, r"acquisition\.columns(?s:.*)columns: 2")
def few_columns(folder):
    """`acquisition.columns: 1` of 1 × 2 tiles."""
    return examined(folder, acquisition={"columns": 1})


@bad("a grid with a column too many", "doctor", REFUSED, r"acquisition\.columns(?s:.*)columns: 2")
def many_columns(folder):
    """`acquisition.columns: 3` of 1 × 2 tiles."""
    return examined(folder, acquisition={"columns": 3})


@bad("a grid with a row too many", "doctor", REFUSED, r"acquisition\.rows(?s:.*)rows: 1")
def many_rows(folder):
    """`acquisition.rows: 2` of 1 × 2 tiles."""
    return examined(folder, acquisition={"rows": 2})


@bad("another pixel size than that of the headers", "doctor", REFUSED, r"acquisition\.pixel_nm")
def other_pixel(folder):
    """`acquisition.pixel_nm: 4`, headers say 8."""
    return examined(folder, acquisition={"pixel_nm": 4})


@bad("a detector that was off", "doctor", REFUSED, r"transfer\.channel")
def no_channel(folder):
    """`transfer.channel: 1` of files with a single channel."""
    return examined(folder, transfer={"channel": 1})


@bad("headers that are not there", "doctor", REFUSED, r"transfer\.dat_root")
def no_header(folder):
    """Every file has a length of 0."""
    return examined(folder, lambda dats: [path.write_bytes(b"") for path in dats.iterdir()])


@bad("decisions that do not fit the grid", "doctor", REFUSED, r"review\.exclude\[0\]")
def other_grid(folder):
    """`review.exclude` names cell 0,2 of a grid of two columns."""
    return examined(folder, review={"exclude": [{"cells": ["0,2"], "reason": "r"}]})


@bad("a decision about a tile of another time", "doctor", REFUSED, r"exclude.0.: .*Is 2.* meant")
def other_tile(folder):
    """`review.exclude` names a tile whose time and z no layer has."""
    named = {"tiles": ["24-03-07_235959_0-0-1.77.0"], "reason": "r"}
    return examined(folder, review={"exclude": [named]})


@bad("a disk that will not hold it", "doctor", REFUSED, r"work_dir")
def no_room(folder):
    """The files need more room than the disk has."""
    return examined(folder, transfer={"free_space_gb": 1e9})


# ---- transfer ------------------------------------------------------------------------------------


def _damage(damage):
    def make(folder):
        logging.disable(logging.CRITICAL)
        try:
            tried = faults.damaged(damage, folder)
        finally:
            logging.disable(logging.NOTSET)
        return Told(REFUSED, tried.ended.removeprefix("named: "))

    make.__doc__ = "As in [faults](faults.md): every other tile is converted."
    return make


for _one in faults.DAMAGES:
    if _one.named:
        bad(_one.name, "transfer", REFUSED, re.escape(_one.named).replace("\\ ", " "))(
            _damage(_one)
        )


@bad("a disk that is full", "transfer", REFUSED, r"not enough disk space")
def full_disk(folder):
    """The disk has 2,000 bytes left when a layer is to be converted."""
    volume = faults.Volume(folder)
    for column in range(2):
        volume.scope.acquire(dat_name(0, f"0-0-{column}"), dat_bytes(column))
    free = space.free_bytes
    space.free_bytes = lambda _path: 2000
    try:
        return Told(REFUSED, volume.run())
    finally:
        space.free_bytes = free


# ---- ingest --------------------------------------------------------------------------------------

CELLS = ((0, 0), (0, 1))


def ingested(folder, change=None, *, config=None, rows=None):
    """What ingest says of nine layers of 1 x 2 tiles, changed; rows are those of its table."""
    volume = synthetic_layers.Volume([0] + [40] * 8, cells=CELLS)
    if change:
        change(volume.tiles)
    table = volume.rows
    if rows:
        rows(table)
    headers = [
        {"layer_id": row["layer_id"], "tiles": ",".join("k" * int(row["tiles"])), "problem": ""}
        for row in table
        if row["align_h5"]
    ]
    settings = {"scan_correction": None, "mask": None, "tile_overlap_um": 2} | (config or {})
    expected = validation.Expected(
        settings=Settings.of(**settings), rows=1, columns=2, pixel_nm=8.0
    )
    with inside(folder):
        Path("h5").mkdir()
        for z in range(1, 10):
            Path(f"h5/{z}.h5").touch()
        found = validation.find(table, headers, with_prior(volume.parts()), expected)
    return refused(UserError, validation.require, [one.row({}) for one in found], "the page")


def _put(z, column, **fields):
    def change(tiles):
        tiles[z][column] = make_tile(0, column, **fields)

    return change


@bad("a scan correction that does not exist", "ingest", REFUSED, r"'no\.such' is not known")
def unknown_correction(folder):
    """`ingest.scan_correction.class_name: no.such`."""
    return ingested(folder, config={"scan_correction": {"class_name": "no.such", "data": "1 2"}})


@bad("a file that vanished", "ingest", REFUSED, r"h5/gone\.h5: there is no such file")
def gone_file(folder):
    """The HDF5 of a layer was removed behind the transfer's back."""
    return ingested(folder, rows=lambda table: table[8].update(align_h5="h5/gone.h5"))


@bad("a tile outside of the grid", "ingest", REFUSED, r"row 1, column 0 lies outside of the grid")
def outside_tile(folder):
    """A layer has a tile of a second row."""
    return ingested(folder, lambda tiles: tiles[7].append(make_tile(1, 0)))


@bad("a picture smaller than its header says", "ingest", REFUSED, r"expects mipmap\.0 of shape")
def torn_picture(folder):
    """A tile of 9 × 7 px whose header says 100 × 80."""
    return ingested(folder, _put(2, 0, shape=(1, 7, 9)))


@bad("levels that are missing", "ingest", REFUSED, r"of 4 mipmap levels only 2 are")
def few_levels(folder):
    """An HDF5 whose conversion was cut off between levels."""
    return ingested(folder, _put(3, 1, stored=4, levels=2))


@bad("pixels that are no 8-bit pixels", "ingest", REFUSED, r"expected 8-bit pixels")
def wrong_depth(folder):
    """A tile without a grey range."""
    return ingested(folder, _put(8, 0, low=float("nan")))


@bad("a header without a pixel size", "ingest", REFUSED, r"PixelSize of the header is 0 nm")
def zero_pixel(folder):
    """The header says 0 nm."""
    return ingested(folder, _put(4, 0, pixel_nm=0.0))


@bad(
    "a pixel size that changes half-way",
    "ingest",
    REFUSED,
    r"z 5 .*PixelSize of the header is 4 nm",
)
def changed_pixel(folder):
    """From layer 5 on the headers say 4 nm, `acquisition.pixel_nm` 8."""

    def change(tiles):
        for z in range(5, 10):
            tiles[z] = [make_tile(0, column, pixel_nm=4.0) for column in range(2)]

    return ingested(folder, change)


@bad("a header in another unit", "ingest", REFUSED, r"looks like µm")
def other_unit(folder):
    """The header says 0.008."""
    return ingested(folder, _put(4, 0, pixel_nm=0.008))


@bad("a stage that jumps away", "ingest", REFUSED, r"stage position x = 2000000 px")
def far_stage(folder):
    """A tile lies two million px from the others by its header."""
    return ingested(folder, _put(6, 0, first_x=2e6))


@bad("a tile of another specimen", "ingest", REFUSED, r"SampleID is 'mouse', expected 'fly'")
def other_sample(folder):
    """The header of a tile names another sample."""
    return ingested(folder, _put(5, 1, sample=b"mouse"))


@bad("a mask that hides everything", "ingest", REFUSED, r"hides all of an image")
def wide_mask(folder):
    """`ingest.mask.left_px: 100` of tiles 100 px wide."""
    mask = [{"z_first": 1, "z_last": 1, "left_px": 100, "top_px": None}]
    return ingested(folder, config={"mask": mask})


@bad("a clock that was set back", "ingest", REFUSED, r"expected a time after that of")
def clock_back(folder):
    """A layer has the time of the one before."""
    return ingested(folder, rows=lambda table: table[8].update(gap_before_s="0"))


@bad("a tile that is there twice", "ingest", REFUSED, r"tile 0-0-0 occurs more than once")
def double_tile(folder):
    """A layer lists a tile two times."""
    return ingested(folder, lambda tiles: tiles[1].append(tiles[1][0]))


@bad("a layer that is there twice", "ingest", REFUSED, r"z 1 occurs 2 times in the layer table")
def double_layer(folder):
    """The layer table has z 1 two times."""
    return ingested(folder, rows=lambda table: table.append(dict(table[0])))


@bad("a volume without a tile", "ingest", REFUSED, r"no layer has a readable tile")
def no_tile(folder):
    """No tile of any layer could be read."""
    return ingested(folder, lambda tiles: tiles.update({z: [] for z in tiles}))

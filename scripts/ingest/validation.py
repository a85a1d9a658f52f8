"""What must hold before a stack is published: every problem of the volume, tile by tile.

A problem of severity ``error`` stops the publication; a ``note`` is shown and stops nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.ingest import missing, order
from scripts.ingest.align import tile_keys
from scripts.ingest.declarations import MOVED
from scripts.ingest.headers import Part, Prior
from scripts.ingest.mask_files import misfits
from scripts.ingest.positions import Pattern, placed
from scripts.ingest.settings import Settings
from scripts.lib import commands
from scripts.lib.arrays import Bool, Int64
from scripts.lib.job import UserError

COLUMNS = ("severity", "check", "z", "layer_id", "tile", "problem")
ERROR, NOTE = "error", "note"
# plausible tiles (px), as the reference's validator has it, but for the least size: tests are small
MOST_PX = 99_999
FARTHEST_PX = 999_999
_MOST_NAMED = 5
REMEDY = f"It is made anew by: {commands.again('convert_layers', 'transfer')}"
# what each check is about, and what to do
CHECKS = {
    "settings": ("The config", "Mend the section ingest of the config."),
    "file": ("Align HDF5 files that cannot be used", REMEDY + "."),
    "cells": (
        "Layers without all of their cells",
        "An error: convert the layer anew, or mend acquisition.rows and columns. A note: the hole "
        "is declared by the layer table; nothing to do if the tile is lost for good.",
    ),
    "shape": (
        "Images that are not what their header says",
        f"The file was not made by this version, or is damaged. {REMEDY}.",
    ),
    "pixel": (
        "Pixel sizes that differ from acquisition.pixel_nm",
        "Mend acquisition.pixel_nm (nm), allow more with ingest.pixel_deviation_pct, or end the "
        "volume before the change with acquisition.last_dat.",
    ),
    "bounds": (
        "Positions and sizes that are not plausible",
        "Look at FirstX and FirstY of the header; a layer with a wrong header can be left out with "
        "an entry {drop: …} in ingest.layers.",
    ),
    "mask": (
        "Masks that hide a whole image, or are of another size than their tiles",
        "Mend ingest.mask (px); an entry of its own for each size of tiles.",
    ),
    "sample": (
        "Tiles of another sample",
        "Files of another sample lie in the same folder: narrow acquisition.first_dat, last_dat "
        "or scope. If the name alone was changed, list both in ingest.sample_ids.",
    ),
    "time": (
        "Layers that are not later than the one before",
        "Two scopes, or a clock that was set back: set acquisition.scope, leave one of the "
        "layers out with an entry {drop: …, keep_z: false} in ingest.layers, or put it where it "
        "belongs with {move: …, after: …}.",
    ),
    "order": (
        "Layers out of the order in which the microscope counted its slices (FIBSliceNum)",
        "A clock was set back. Paste the entries under ingest: layers:, or say where one of the "
        "layers belongs with an entry of your own, and the others stay.",
    ),
    "missing": (
        "Layers of which no file is there",
        "Bring the files; if there are none, the entries of ingest.layers keep their places in z.",
    ),
    "unique": ("Tiles or layers that occur twice", "Remove ingest/layers.tsv and ingest again."),
    "empty": ("Nothing to publish", "See transfer/layers.tsv for what became of the .dat files."),
    "constant": (
        "Images of one grey level",
        "Nothing to do yet: the review proposes a patch, or to leave them out where none is near.",
    ),
    "apart": (
        "Tiles that do not overlap their neighbours",
        "They can be joined through other layers only; look at ingest.tile_overlap_um for headers "
        "before version 9.",
    ),
    "stage": (
        "Stage positions that break the pattern",
        "Nothing to do where the wide search finds the tiles, or the stage was moved on purpose; "
        "positions: ingest.stage_offsets; files under each other's name: ingest.exchange.",
    ),
    "uncorrected": (
        "Layers without scan correction",
        "Add a range to ingest.scan_correction, if the correction was meant for all layers.",
    ),
}
Row = Mapping[str, str]
Missing = Callable[[Mapping[int, float]], Iterable[missing.Missing]]


@dataclass(frozen=True)
class Expected:
    """What the config says about every tile."""

    rows: int
    columns: int
    pixel_nm: float
    settings: Settings
    pixel_deviation_pct: float = 10.0
    sample_ids: Sequence[str] = ()  # none: that of the first tile


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or worth a look."""

    check: str
    problem: str
    z: int | None = None
    tile: str = ""
    severity: str = ERROR

    def row(self, layer_ids: Mapping[int, str]) -> dict[str, Any]:
        """Return the row of `ingest/problems.tsv`.

        Parameters
        ----------
        layer_ids
            Layer id by z.

        Returns
        -------
        dict
            `COLUMNS`.
        """
        layer_id = "" if self.z is None else layer_ids.get(self.z, "")
        values = (self.severity, self.check, self.z, layer_id, self.tile, self.problem)
        return dict(zip(COLUMNS, values, strict=True))


def find(
    layers: Sequence[Row],
    headers: Sequence[Row],
    days: Iterable[tuple[Part, Prior]],
    expected: Expected,
    absent: Sequence[str] | None = None,
    lacking: Missing = lambda _numbers: (),
) -> list[Problem]:
    """Check the layer table, the header table and all tiles; errors first, then by check and z.

    Parameters
    ----------
    layers
        The layer table.
    headers
        Rows of the header table.
    days
        Parts in order of z, with their prior tiles.
    expected
        What the config says.
    absent
        Files of the layer table that are not there; None looks for them.
    lacking
        Layers that are missing, from the slice numbers by z.

    Returns
    -------
    list of Problem
        What is wrong, or worth a look.
    """
    problems = [Problem("settings", text) for text in expected.settings.problems()]
    problems += _table(layers)
    gone = absent_files(layers) if absent is None else absent
    problems += _files(layers, headers, set(gone))
    samples = {text.encode() for text in expected.sample_ids}
    tiles, pattern = 0, Pattern()
    slices: dict[int, float] = {}
    for part, prior in days:
        slices |= order.slices(part)
        samples = samples or {bytes(part.tiles["sample"][0])}
        tiles += len(part)
        problems += _cells(part, layers, expected)
        problems += _tiles(part, expected, samples)
        problems += _notes(part, prior, expected.settings)
        pattern.add(part, expected.settings)
    problems += (Problem("stage", text, z, severity=NOTE) for z, text in pattern.findings())
    problems += [Problem("order", text, z) for z, text in order.entries(layers, slices)]
    problems += [Problem("missing", one.text, one.z, severity=NOTE) for one in lacking(slices)]
    if tiles == 0 and not problems:
        problems.append(Problem("empty", "no layer has a readable tile"))
    checks = list(CHECKS)
    return sorted(problems, key=lambda p: (p.severity, checks.index(p.check), p.z or 0, p.tile))


def rows(problems: Iterable[Problem], layers: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows of `ingest/problems.tsv`.

    Parameters
    ----------
    problems
        What was found.
    layers
        The layer table.

    Returns
    -------
    list of dict
        Rows of `COLUMNS`.
    """
    ids = {int(row["z"]): row["layer_id"] for row in layers}
    return [problem.row(ids) for problem in problems]


def usable(layers: Sequence[Row], headers: Sequence[Row]) -> list[Row]:
    """Return the rows of the layer table whose file was read.

    Parameters
    ----------
    layers
        The layer table.
    headers
        Rows of the header table.

    Returns
    -------
    list of dict
        In the order of `layers`.
    """
    good = {row["layer_id"] for row in headers if not row["problem"]}
    return [row for row in layers if row["layer_id"] in good]


def require(rows: Sequence[Row], page: str) -> None:
    """Stop when there is an error among the rows of `ingest/problems.tsv`.

    Parameters
    ----------
    rows
        Rows of ``ingest/problems.tsv``.
    page
        Path of the page that shows them all.

    Raises
    ------
    UserError
        With the name of the page that shows them all, and the first few.
    """
    errors = [row for row in rows if row["severity"] == ERROR]
    if not errors:
        return
    checks = list(dict.fromkeys(row["check"] for row in errors))
    shown = [f"{_where(row)}{row['problem']}" for row in errors[:_MOST_NAMED]]
    rest = len(errors) - len(shown)
    shown += [f"and {rest} more"] if rest > 0 else []
    advice = [f"{CHECKS[check][0]}: {CHECKS[check][1]}" for check in checks[:3]]
    text = [f"v1_acquire is not published: {len(errors)} problem(s), all of them in {page}:"]
    entries = order.pasted(row["problem"] for row in errors if row["check"] == "order")
    raise UserError("\n  ".join([*text, *shown]) + "\n" + "\n".join([*advice, *entries]))


def _where(row: Row) -> str:
    tile = f" tile {row['tile']}" if row["tile"] else ""
    return f"z {row['z']} ({row['layer_id']}){tile}: " if row["z"] else ""


# ---------------------------------------------------------------------------------------------
# tables and files
# ---------------------------------------------------------------------------------------------


def _table(layers: Sequence[Row]) -> Iterator[Problem]:
    for name in ("z", "layer_id"):
        counts = Counter(row[name] for row in layers if row[name])
        for value, n in counts.items():
            if n > 1:
                yield Problem("unique", f"{name} {value} occurs {n} times in the layer table")
    for before, row in zip(layers, layers[1:], strict=False):
        decided = any(one["declared"].startswith(MOVED) for one in (before, row))
        if row["gap_before_s"] and int(row["gap_before_s"]) <= 0 and not decided:
            text = f"expected a time after that of {before['layer_id'] or 'the layer before'}"
            yield Problem("time", f"{text}, found {row['gap_before_s']} s", int(row["z"]))


def absent_files(layers: Sequence[Row]) -> list[str]:
    """Return the align HDF5 files of the layer table that are not there.

    Parameters
    ----------
    layers
        The layer table.

    Returns
    -------
    list of str
        Paths as the table has them.
    """
    there: dict[str, set[str]] = {}  # names by folder: a tenth of the time of a look at each file
    gone = []
    for path in (row["align_h5"] for row in layers):
        folder, _, name = path.rpartition("/")
        if folder not in there:
            there[folder] = _names(Path(folder))
        if name and name not in there[folder]:
            gone.append(path)
    return gone


def _files(
    layers: Sequence[Row], headers: Sequence[Row], gone: Collection[str]
) -> Iterator[Problem]:
    """Return what is wrong with whole files; they exist now, and hold what the transfer wrote."""
    known = {row["layer_id"]: row for row in headers}
    for row in layers:
        if not row["align_h5"]:
            continue
        header = known.get(row["layer_id"])
        z, count = int(row["z"]), 0
        if header is None:
            yield Problem("file", f"{row['align_h5']}: its headers are not cached", z)
        elif header["problem"]:
            yield Problem("file", f"{header['problem']}. {REMEDY}", z)
        else:
            count = header["tiles"].count(",") + 1
            if row["align_h5"] in gone:
                yield Problem("file", f"{row['align_h5']}: there is no such file. {REMEDY}", z)
            if count != int(row["tiles"]):
                text = f"transfer/layers.tsv says {row['tiles']} tile(s), the file holds {count}"
                yield Problem("cells", f"{row['align_h5']}: {text}", z)


def _names(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries}


def _cells(part: Part, layers: Sequence[Row], expected: Expected) -> Iterator[Problem]:
    row, column = part.tiles["row"], part.tiles["column"]
    text = (
        f"row {{row}}, column {{column}} lies outside of the grid of {expected.rows} x "
        f"{expected.columns} tiles (acquisition.rows, columns)"
    )
    outside = (row >= expected.rows) | (column >= expected.columns)
    yield from _each(part, outside, "cells", text, row=row, column=column)
    cells = np.column_stack([part.z, part.tiles["section"], row, column]).astype(np.int64)
    cells = cells[np.lexsort(cells.T)]
    for z, section, r, c in cells[1:][(cells[1:] == cells[:-1]).all(axis=1)].tolist():
        yield Problem("unique", f"tile {section}-{r}-{c} occurs more than once", z)
    first, last = (int(part.z[0]), int(part.z[-1])) if len(part) else (0, -1)
    for layer in layers[max(0, first - 1) : last]:
        if layer["missing"] and layer["status"] == "partial":
            n = layer["missing"].count(",") + 1
            text = f"no tile in {n} cell(s): {layer['missing']}"
            yield Problem("cells", text, int(layer["z"]), severity=NOTE)


# ---------------------------------------------------------------------------------------------
# tiles: each check is a mask over the tiles of a day
# ---------------------------------------------------------------------------------------------


def _each(
    part: Part,
    wrong: Bool,
    check: str,
    text: str,
    severity: str = ERROR,
    **columns: NDArray[Any],
) -> Iterator[Problem]:
    """Return a problem for each tile where `wrong`; `text` is formatted with its columns."""
    indices = np.flatnonzero(wrong)
    keys = tile_keys(part.tiles[indices])
    for index, key in zip(indices.tolist(), keys, strict=True):
        values = {name: _plain(column[index]) for name, column in columns.items()}
        yield Problem(check, text.format(**values), int(part.z[index]), key, severity)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a number, bytes or a row of numbers
    value = value.tolist()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return tuple(value) if isinstance(value, list) else value


def _tiles(part: Part, expected: Expected, samples: set[bytes]) -> Iterator[Problem]:
    yield from _shapes(part)
    yield from _pixel_sizes(part, expected)
    yield from _places(part, expected)
    yield from _masks(part, expected.settings)
    found = part.tiles["sample"]
    foreign = ~np.isin(found, np.array(sorted(samples), found.dtype))
    names = ", ".join(repr(sample.decode(errors="replace")) for sample in sorted(samples))
    names = names.replace("{", "{{").replace("}", "}}")
    yield from _each(
        part, foreign, "sample", f"SampleID is {{found!r}}, expected {names}", found=found
    )


def _shapes(part: Part) -> Iterator[Problem]:
    tiles = part.tiles
    stated = np.column_stack([np.ones_like(tiles["width"]), tiles["height"], tiles["width"]])
    wrong = (tiles["shape"] != stated).any(axis=1)
    text = "the header expects mipmap.0 of shape {stated}, found {found}"
    yield from _each(part, wrong, "shape", text, stated=stated, found=tiles["shape"])
    odd = ~wrong & (tiles["stored"] != tiles["levels"])
    text = "of {stored} mipmap levels only {good} are each half as large as the one before"
    yield from _each(part, odd, "shape", text, stored=tiles["stored"], good=tiles["levels"])
    yield from _each(part, np.isnan(tiles["low"]), "shape", "expected 8-bit pixels")


def _pixel_sizes(part: Part, expected: Expected) -> Iterator[Problem]:
    size, wanted = part.tiles["pixel_nm"], expected.pixel_nm
    near = np.abs(size - wanted) <= expected.pixel_deviation_pct / 100 * wanted
    guess = np.array([_unit(ratio) for ratio in (size[~near] / wanted).tolist()] or [""])
    where = np.cumsum(~near) - 1  # position of a tile among those that are wrong
    text = (
        f"PixelSize of the header is {{size:g}} nm, acquisition.pixel_nm is {wanted:g} nm{{unit}}"
    )
    yield from _each(part, ~near, "pixel", text, size=size, unit=guess[where])


# header / config -> which of them is in another unit
_UNITS = {
    1e3: "acquisition.pixel_nm looks like µm",
    0.1: "acquisition.pixel_nm looks like Å",
    1e-3: "the header looks like µm",
}


def _unit(ratio: float) -> str:
    """Guess a mistaken unit."""
    near = [words for factor, words in _UNITS.items() if abs(ratio / factor - 1) < 0.2]
    return f": {near[0]}" if near else ""


def _places(part: Part, expected: Expected) -> Iterator[Problem]:
    for name in ("width", "height"):
        size = part.tiles[name]
        text = f"{name} {{size}} px: expected 2 to {MOST_PX}"
        yield from _each(part, (size < 2) | (size > MOST_PX), "bounds", text, size=size)
    at = placed(part, expected.settings)
    for name, along in zip("xy", at.T, strict=True):
        text = f"stage position {name} = {{at}} px: expected at most {FARTHEST_PX} from 0"
        yield from _each(part, np.abs(along) > FARTHEST_PX, "bounds", text, at=along)


def _masks(part: Part, settings: Settings) -> Iterator[Problem]:
    tiles = part.tiles
    for wrong, text in misfits(part, settings.masks):
        yield from _each(part, wrong, "mask", text, width=tiles["width"], height=tiles["height"])


# ---------------------------------------------------------------------------------------------
# notes
# ---------------------------------------------------------------------------------------------


def _notes(part: Part, prior: Prior, settings: Settings) -> Iterator[Problem]:
    tiles = part.tiles
    constant = tiles["low"] == tiles["high"]
    words = "no signal: the 8-bit image is {low:g} throughout (detector off?)"
    yield from _each(part, constant, "constant", words, NOTE, low=tiles["low"])
    yield from _apart(part, settings)
    if settings.corrections:
        inside = [
            (part.z >= each.z_first) & (part.z <= each.z_last) for each in settings.corrections
        ]
        bare = np.unique(part.z[~np.any(inside, axis=0)]).tolist()
        text = "no range of ingest.scan_correction holds this layer"
        yield from (Problem("uncorrected", text, z, severity=NOTE) for z in bare)


def _apart(part: Part, settings: Settings) -> Iterator[Problem]:
    """Compare each tile with the one to its left and the one above it, in its own layer."""
    tiles = part.tiles
    at = placed(part, settings)
    cells = np.column_stack([part.z, tiles["row"], tiles["column"]]).astype(np.int64)
    for axis, (name, side) in enumerate((("left", "width"), ("upper", "height"))):
        beside = _positions(cells, cells - np.array([0, axis, 1 - axis]))
        gap = at[:, axis] - (at[beside, axis] + tiles[side][beside])
        text = f"{{gap}} px away from its {name} neighbour"
        yield from _each(part, (beside >= 0) & (gap >= 0), "apart", text, NOTE, gap=gap)


def _positions(among: Int64, wanted: Int64) -> Int64:
    """Return the row of `among` that equals each row of `wanted`, -1 where none does."""
    keys, searched = (rows @ (1 << 40, 1 << 20, 1) for rows in (among, wanted))
    order = np.argsort(keys, kind="stable")
    near = order[np.searchsorted(keys, searched, sorter=order).clip(max=len(keys) - 1)]
    absent = (keys[near] != searched) | (wanted < 0).any(axis=1)
    return np.where(absent, -1, near)

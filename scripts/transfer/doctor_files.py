"""The doctor's look at `.dat` files: names against the grid, headers against the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.transfer.dat import DatError, Header
from scripts.transfer.finding import ERROR, NOTE, Case, Finding, Layers
from scripts.transfer.gate import Allowed, too_many
from scripts.transfer.layers import DatFile, Limits

LAST_DAT = "acquisition.last_dat"
MOST_HEADERS = 200
LAYERS_PLACED = 3  # layers, the first ones, whose tiles all tell where the stage was
# stray files may lie outside of the grid; in a larger share of the layers the grid is wrong
MOST_STRAY_SHARE = 0.01
NM_PER_MM = 1e6
LEAST_LAYERS = 5
# the focus follows the face within tens of per cent; a wrong z_nm is wrong by a factor
MOST_THICKNESS_RATIO = 2.0
_HOLES = "Copy them again, or go on with holes"
_MOST_NAMED = 3


def later(named: Sequence[DatFile], limits: Limits) -> Iterator[Finding]:
    """Tell of layers after the last one that the config names: they are left out.

    Parameters
    ----------
    named
        All files with names of tiles.
    limits
        Of the volume.

    Yields
    ------
    Finding
        One at most.
    """
    last = limits.last
    if last is None:
        return
    scope = limits.scope or last.scope
    after = {
        each.name.layer: each.found.path
        for each in named
        if each.name.layer.order > last.order and each.name.layer.scope == scope
    }
    if after:
        newest = max(after, key=lambda layer: layer.order)
        found = f"{len(after)} layer(s) after it, up to {newest.layer_id}"
        change = "They are left out. While imaging goes on: last_dat: null; else name the last file"
        yield Finding(NOTE, LAST_DAT, found, "the last layer there is", change, after[newest])


def grid(case: Case) -> Iterator[Finding]:
    """Compare rows and columns with the names of the files.

    Parameters
    ----------
    case
        The volume.

    Yields
    ------
    Finding
        Of rows, of columns.
    """
    for key, at in (("rows", "row"), ("columns", "column")):
        stated = case.config["acquisition"][key]
        first: dict[int, str] = {}
        count: dict[int, int] = {}
        for files in case.layers.values():
            for file in files:
                first.setdefault(getattr(file.name, at), file.found.path)
            for index in {getattr(file.name, at) for file in files}:
                count[index] = count.get(index, 0) + 1
        # one layer may be unfinished
        most = max(MOST_STRAY_SHARE * len(case.layers), 0)
        real = [index for index, n in count.items() if n > most]
        size = max(real, default=0) + 1
        name, change = f"acquisition.{key}", f"Set {key}: {size}"
        if size > stated:
            found = f"{key} 0 to {size - 1} in the names of the files"
            yield Finding(ERROR, name, found, f"{stated} as configured", change, first[size - 1])
        elif size < stated and not case.filled_later:
            severity = ERROR if len(case.layers) > 1 else NOTE
            found = f"only {key} 0 to {size - 1} in {len(case.layers)} layer(s)"
            yield Finding(severity, name, found, f"{stated} as configured", change)


def sample(layers: Layers) -> list[DatFile]:
    """Return at most `MOST_HEADERS` files, evenly spread, the first and last among them.

    Parameters
    ----------
    layers
        Files by layer.

    Returns
    -------
    list of DatFile
        In order of the layers.
    """
    files = [file for each in layers.values() for file in each]
    if len(files) <= MOST_HEADERS:
        return files
    last = len(files) - 1
    return [files[round(i * last / (MOST_HEADERS - 1))] for i in range(MOST_HEADERS)]


def headers(case: Case) -> Iterator[Finding]:
    """Compare the config with the headers of some files.

    Parameters
    ----------
    case
        The volume.

    Yields
    ------
    Finding
        Of files that cannot be read, pixel size, channels, thickness and overlap.
    """
    read: list[tuple[str, Header]] = []
    unread: list[str] = []
    chosen = sample(case.layers)
    for file in chosen:
        try:
            read.append((file.found.path, case.inspect(file)[0]))
        except DatError as error:
            unread.append(str(error))
    if unread:
        severity = NOTE if read or case.converted else ERROR
        found = f"{len(unread)} of {len(chosen)} looked at cannot be read: {_first(unread)}"
        transfer = case.config["transfer"]
        allowed = Allowed(transfer["max_bad_share"], transfer["max_bad_tiles"])
        # a few of a volume's files say little of all: what is sure follows where all are read
        whole = len(chosen) == sum(map(len, case.layers.values()))
        over = too_many(len(unread), len(chosen), allowed) if whole else ""
        change = f"The transfer would stop: {over}" if over else _HOLES
        yield Finding(severity, "transfer.dat_root", found, "whole .dat files", change)
    dropped = {str(entry.get("drop")) for entry in case.config["ingest"]["layers"]}
    mine = [(path, h) for path, h in read if not any(each in path for each in dropped)]
    yield from _pixel_size(case, mine)
    yield from _channels(case, mine)
    yield from _bits(case, mine)
    yield from _thickness(case, mine)
    yield from _overlaps(case)


def _first(unread: Sequence[str]) -> str:
    more = len(unread) - _MOST_NAMED
    return "; ".join([*unread[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])


def _pixel_size(case: Case, read: Sequence[tuple[str, Header]]) -> Iterator[Finding]:
    """Tell what ingest would refuse, by the same limit; note what most headers say otherwise."""
    wanted, ingest = case.config["acquisition"]["pixel_nm"], case.config["ingest"]
    sizes = np.array([header["PixelSize"] for _, header in read])
    far = np.flatnonzero(~(abs(sizes - wanted) <= ingest["pixel_deviation_pct"] / 100 * wanted))
    if len(far):
        path, size = read[far[0]][0], sizes[far[0]]
        found = f"PixelSize {size:g} nm in {len(far)} of {len(read)} headers looked at"
        change = f"Set pixel_nm: {size:g}"
        change += ", or end the volume before the change" if len(far) < len(read) else ""
        yield Finding(ERROR, "acquisition.pixel_nm", found, f"{wanted:g} nm", change, path)
    elif len(sizes) and abs(np.median(sizes) - wanted) > ingest["restart"]["pixel_tolerance_nm"]:
        found = f"PixelSize {np.median(sizes):g} nm, the median of {len(read)} headers"
        change = (
            f"Set pixel_nm: {np.median(sizes):g}, unless {wanted:g} was measured: voxels have it"
        )
        yield Finding(NOTE, "acquisition.pixel_nm", found, f"{wanted:g} nm", change)


def _channels(case: Case, read: Sequence[tuple[str, Header]]) -> Iterator[Finding]:
    """Tell of channels that files lack: an error where all do, or where step 16bit would stop."""
    correct = case.config["correct"]
    asked = {"transfer.channel": [case.config["transfer"]["channel"]]}
    if "16bit" in correct["steps"]:
        asked["correct.16bit.channels"] = correct["16bit"]["channels"]
    for key, channels in asked.items():
        most = max(channels, default=0)
        lacking = [(path, header["ChanNum"]) for path, header in read if most >= header["ChanNum"]]
        if not lacking:
            continue
        path, have = min(lacking, key=lambda each: each[1])
        found = f"channel {most}, which {len(lacking)} of {len(read)} headers looked at lack"
        expected = f"0 to {have - 1} as in the header"
        if key == "transfer.channel" and len(lacking) < len(read):
            change = f"Their tiles go to the quarantine; to keep them mend {key}"
            yield Finding(NOTE, key, found, expected, change, path)
        else:
            yield Finding(ERROR, key, found, expected, f"Mend {key}", path)


def _bits(case: Case, read: Sequence[tuple[str, Header]]) -> Iterator[Finding]:
    """Tell what step 16bit would refuse, types that differ, and where it gains nothing."""
    coarse = [path for path, header in read if header["EightBit"]]
    if "16bit" not in case.config["correct"]["steps"] or not coarse:
        return
    found = f"8 bit in {len(coarse)} of {len(read)} headers looked at"
    severity = ERROR if len(coarse) < len(read) else NOTE
    change = "Take 16bit out of correct.steps, or end the volume before the change"
    yield Finding(severity, "correct.steps", found, "images of 16 bit", change, coarse[0])


def _thickness(case: Case, read: Sequence[tuple[str, Header]]) -> Iterator[Finding]:
    """Compare z_nm with the working distance, which grows as the face is milled away."""
    at = {name: index for index, name in enumerate(case.layers)}
    layer_of = {f.found.path: at[name] for name, files in case.layers.items() for f in files}
    seen = {layer_of[path]: header["WD"] * NM_PER_MM for path, header in read}
    layer, distance_nm = np.array(sorted(seen.items()), float).reshape(-1, 2).T
    if len(layer) < LEAST_LAYERS:
        return
    # of neighbours in the sample: a new focus or a restart moves one of many
    step_nm = abs(float(np.median(np.diff(distance_nm) / np.diff(layer))))
    wanted = case.config["acquisition"]["z_nm"]
    if step_nm and not 1 / MOST_THICKNESS_RATIO <= step_nm / wanted <= MOST_THICKNESS_RATIO:
        found = f"a working distance that changes by {step_nm:.1f} nm a layer"
        change = f"Look whether z_nm should be {step_nm:.0f}"
        yield Finding(NOTE, "acquisition.z_nm", found, f"about {wanted:g} nm", change)


def _overlaps(case: Case) -> Iterator[Finding]:
    """Tell of neighbours in a row or column that the stage puts apart, or not in their order."""
    layers = list(case.layers.values())[:LAYERS_PLACED]
    steps = [step for files in layers for step in _steps(placed(case, files))]
    odd = [step for step in steps if not 0 < step.px < step.side_px]
    if odd:
        first, apart = odd[0], all(step.px >= step.side_px for step in steps)
        found = f"{len(odd)} of {len(steps)} that do not, the first of them {first.px:.0f} px apart"
        expected = f"neighbours whose stage positions are less than {first.side_px} px apart"
        severity = ERROR if apart and not case.converted else NOTE
        change = "Mend ingest.tile_overlap_um (headers before version 9), or look at FirstX, FirstY"
        yield Finding(severity, f"acquisition.{first.key}", found, expected, change, first.path)


@dataclass(frozen=True)
class Step:
    """From a tile to the next of its row or column: positions and the side of the tile, px."""

    key: str
    path: str
    px: float
    side_px: int


@dataclass(frozen=True)
class Placed:
    """A tile where the stage was: path, x and y, width and height, px."""

    path: str
    at: tuple[float, float]
    size: tuple[int, int]


def _steps(tiles: Mapping[tuple[int, int], Placed]) -> Iterator[Step]:
    for (row, column), tile in tiles.items():
        nexts = (("columns", 0, (row, column + 1)), ("rows", 1, (row + 1, column)))
        for key, axis, beside in nexts:
            if beside in tiles:
                step = tiles[beside].at[axis] - tile.at[axis]
                yield Step(key, tile.path, step, tile.size[axis])


def placed(case: Case, files: Sequence[DatFile]) -> dict[tuple[int, int], Placed]:
    """Return the tiles of a layer where the stage was.

    Parameters
    ----------
    case
        The volume.
    files
        Files of the layer; those that cannot be read are left out.

    Returns
    -------
    dict
        By row and column.
    """
    found = {}
    for file in files:
        try:
            header = case.inspect(file)[0]
        except DatError:
            continue  # reported by `headers`
        size = header["XResolution"], header["YResolution"]
        if "FirstX" in header:
            at = header["FirstX"], header["FirstY"]
        else:  # as ingest places tiles of old headers
            overlap_px = case.config["ingest"]["tile_overlap_um"] * 1000 / header["PixelSize"]
            at = file.name.column * (size[0] - overlap_px), file.name.row * (size[1] - overlap_px)
        found[file.name.row, file.name.column] = Placed(file.found.path, at, size)
    return found

"""What can be known of a volume before anything is converted: config against folders and files.

Names and sizes of all `.dat` files are looked at, and the headers of a few hundred spread over the
volume. An error would end the run later, and ends it now; a note stops nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.lib.job import UserError
from scripts.lib.names import LayerName
from scripts.transfer import scan, space
from scripts.transfer.dat import DatError, Header, inspect
from scripts.transfer.layers import DatFile, Limits, group, name_files

ERROR, NOTE = "error", "note"
MOST_HEADERS = 200
# stray files may lie outside of the grid; in a larger share of the layers the grid is wrong
MOST_STRAY_SHARE = 0.01
# FIB-SEM images of 16 bit compress to 0.5 to 0.9 of their size: less than this never happens
LEAST_RAW_SHARE = 0.3
Layers = Mapping[LayerName, Sequence[DatFile]]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (error) or worth a look (note), and the line to change."""

    severity: str
    key: str
    found: str
    expected: str
    change: str
    file: str = ""

    def text(self) -> str:
        """Return the line that a person reads.

        Returns
        -------
        str
            Severity, key, what was expected and found, what to change.
        """
        where = f" ({self.file})" if self.file else ""
        said = f"expected {self.expected}, found {self.found}{where}"
        return f"{self.severity}: {self.key}: {said}. {self.change}"


@dataclass(frozen=True)
class Case:
    """A volume: its config, where its `.dat` files lie, and whether layers were converted."""

    config: Mapping[str, Any]
    dat_root: Path
    work_dir: Path
    converted: bool

    @property
    def filled_later(self) -> bool:
        """Tell whether it is no fault that there is no `.dat` file.

        Returns
        -------
        bool
            True while a scope fills the folder, and after conversion.
        """
        return self.converted or self.config["transfer"]["scope"] is not None


def examine(config: Mapping[str, Any], dat_root: Path, work_dir: Path) -> list[Finding]:
    """Return all findings, errors first.

    Parameters
    ----------
    config
        Config of the volume, with defaults.
    dat_root
        Folder of the ``.dat`` files.
    work_dir
        The working directory.

    Returns
    -------
    list of Finding
        Nothing is changed; of at most `MOST_HEADERS` files the headers are read.
    """
    records = ("transfer/plan.tsv", "transfer/layers.tsv")
    converted = any((work_dir / name).exists() for name in records)
    case = Case(config, dat_root, work_dir, converted)
    findings = [*_work_dir(case), *_decisions(config)]
    if not dat_root.is_dir() or not os.access(dat_root, os.R_OK | os.X_OK):
        return _ordered([*findings, *_no_folder(case)])
    found = scan.dat_files(dat_root)
    named, misfits = name_files(found)
    if misfits:
        findings.append(_misnamed([each.found.path for each in misfits]))
    try:
        limits = Limits.of(config["acquisition"])
    except UserError as error:
        bad = Finding(ERROR, "acquisition", str(error), "a range of layers", "Mend these lines")
        return _ordered([*findings, bad])
    layers = {name: files for name, files in group(named).items() if limits.hold(name)}
    if not layers:
        return _ordered([*findings, *_no_layers(case, named)])
    findings += _grid(case, layers)
    findings += _headers(case, layers)
    if not converted:
        findings += _space(case, sum(f.found.size for files in layers.values() for f in files))
    return _ordered(findings)


def _ordered(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda each: (each.severity, each.key, each.file))


def records(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Return the findings for a JSON file.

    Parameters
    ----------
    findings
        What was found.

    Returns
    -------
    list of dict
        JSON values.
    """
    return [asdict(each) for each in findings]


def require(findings: Sequence[Finding]) -> None:
    """Stop when there is an error.

    Parameters
    ----------
    findings
        What was found.

    Raises
    ------
    UserError
        With all findings.
    """
    errors = sum(each.severity == ERROR for each in findings)
    if errors:
        lines = [f"{errors} fault(s) known before anything is done:", *(f.text() for f in findings)]
        raise UserError("\n  ".join(lines))


# ---------------------------------------------------------------------------------------------
# folders
# ---------------------------------------------------------------------------------------------


def _work_dir(case: Case) -> Iterator[Finding]:
    there = case.work_dir
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        expected = "a folder that can be written"
        yield Finding(ERROR, "work_dir", f"{there}: no permission", expected, "Change work_dir")


def _no_folder(case: Case) -> Iterator[Finding]:
    if case.filled_later and not case.dat_root.exists():
        return
    root = case.dat_root
    found = "no permission to read it" if root.is_dir() else "a file" if root.exists() else ""
    above = root
    while not above.exists():
        above = above.parent
    found = found or f"no such folder; {above} is the last part of it that exists"
    change = "Mend transfer.dat_root"
    yield Finding(ERROR, "transfer.dat_root", found, f"the folder {root}", change)


def _no_layers(case: Case, named: Sequence[DatFile]) -> Iterator[Finding]:
    if case.filled_later:
        return
    acquisition, root = case.config["acquisition"], case.dat_root
    if not named:
        found = "the folder is there, and no .dat file of a tile in or below it"
        change = "Mend transfer.dat_root, or bring the files"
        yield Finding(ERROR, "transfer.dat_root", found, f".dat files below {root}", change)
        return
    scopes = sorted({file.name.layer.scope for file in named})
    if acquisition["scope"] not in (None, *scopes):
        found, expected = str(acquisition["scope"]), f"one of {', '.join(scopes)}, as in the names"
        yield Finding(ERROR, "acquisition.scope", found, expected, f"Set scope: {scopes[0]}")
        return
    ends = [min(named, key=_time).name.layer.layer_id, max(named, key=_time).name.layer.layer_id]
    found = f"{acquisition['first_dat']} to {acquisition['last_dat']}, which hold no file"
    key = "acquisition.first_dat and last_dat"
    yield Finding(ERROR, key, found, f"layers of {' to '.join(ends)}", "Mend these lines")


def _time(file: DatFile) -> tuple[str, str]:
    return file.name.layer.order


def _misnamed(paths: Sequence[str]) -> Finding:
    found = f"{len(paths)} file(s) with another name"
    change = "Move them away: the transfer ends with them in the way"
    return Finding(NOTE, "transfer.dat_root", found, "names of tiles", change, paths[0])


def _space(case: Case, dat_bytes: int) -> Iterator[Finding]:
    """Compare the least that the raw HDF5 files can take with what is free."""
    need = int(dat_bytes * LEAST_RAW_SHARE)
    words = space.shortage(case.work_dir, need, case.config["transfer"]["free_space_gb"])
    if words and not case.config["transfer"]["remove_dats"]:
        expected = f"room for the HDF5 files of {dat_bytes / space.GB:.3f} GB of .dat files"
        change = "Change work_dir to a larger disk, or free some space"
        yield Finding(ERROR, "work_dir", words, expected, change)


# ---------------------------------------------------------------------------------------------
# grid
# ---------------------------------------------------------------------------------------------


def _grid(case: Case, layers: Layers) -> Iterator[Finding]:
    for key, at in (("rows", "row"), ("columns", "column")):
        stated = case.config["acquisition"][key]
        first: dict[int, str] = {}
        count: dict[int, int] = {}
        for files in layers.values():
            for file in files:
                first.setdefault(getattr(file.name, at), file.found.path)
            for index in {getattr(file.name, at) for file in files}:
                count[index] = count.get(index, 0) + 1
        # one layer may be unfinished
        most = max(MOST_STRAY_SHARE * len(layers), 0)
        real = [index for index, n in count.items() if n > most]
        size = max(real, default=0) + 1
        name, change = f"acquisition.{key}", f"Set {key}: {size}"
        if size > stated:
            found = f"{key} 0 to {size - 1} in the names of the files"
            yield Finding(ERROR, name, found, f"{stated} as configured", change, first[size - 1])
        elif size < stated and not case.filled_later:
            severity = ERROR if len(layers) > 1 else NOTE
            found = f"only {key} 0 to {size - 1} in {len(layers)} layer(s)"
            yield Finding(severity, name, found, f"{stated} as configured", change)


# ---------------------------------------------------------------------------------------------
# headers
# ---------------------------------------------------------------------------------------------


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


def _headers(case: Case, layers: Layers) -> Iterator[Finding]:
    read: list[tuple[str, Header]] = []
    unread: list[str] = []
    chosen = sample(layers)
    for file in chosen:
        try:
            read.append((file.found.path, inspect(case.dat_root / file.found.path)[0]))
        except DatError as error:
            unread.append(str(error))
    if unread:
        severity = NOTE if read or case.converted else ERROR
        found = f"{len(unread)} of {len(chosen)} looked at cannot be read: {unread[0]}"
        change = "Bring them again, or go on with holes"
        yield Finding(severity, "transfer.dat_root", found, "whole .dat files", change)
    dropped = {str(entry.get("drop")) for entry in case.config["ingest"]["layers"]}
    mine = [(path, h) for path, h in read if not any(each in path for each in dropped)]
    yield from _pixel_size(case, mine)
    yield from _channels(case, mine)


def _pixel_size(case: Case, read: Sequence[tuple[str, Header]]) -> Iterator[Finding]:
    """Tell what ingest would refuse: the same limit."""
    wanted = case.config["acquisition"]["pixel_nm"]
    limit = case.config["ingest"]["pixel_deviation_pct"] / 100 * wanted
    far = [(path, h["PixelSize"]) for path, h in read if not abs(h["PixelSize"] - wanted) <= limit]
    if far:
        path, size = far[0]
        found = f"PixelSize {size:g} nm in {len(far)} of {len(read)} headers looked at"
        change = f"Set pixel_nm: {size:g}, or end the volume before the change"
        yield Finding(ERROR, "acquisition.pixel_nm", found, f"{wanted:g} nm", change, path)


def _channels(case: Case, read: Sequence[tuple[str, Header]]) -> Iterator[Finding]:
    if not read:
        return
    path, header = min(read, key=lambda each: each[1]["ChanNum"])
    have, correct = header["ChanNum"], case.config["correct"]
    asked = {"transfer.channel": [case.config["transfer"]["channel"]]}
    if "16bit" in correct["steps"]:
        asked["correct.16bit.channels"] = correct["16bit"]["channels"]
    for key, channels in asked.items():
        if max(channels, default=0) >= have:
            found, expected = f"channel {max(channels)}", f"0 to {have - 1} as in the header"
            yield Finding(ERROR, key, found, expected, f"Mend {key}", path)


# ---------------------------------------------------------------------------------------------
# decisions
# ---------------------------------------------------------------------------------------------


def _decisions(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Tell of entries of section `review` that no tile of the grid can answer to."""
    rows, columns = (config["acquisition"][key] for key in ("rows", "columns"))
    known = {f"{row},{column}" for row in range(rows) for column in range(columns)}
    for kind in ("exclude", "keep", "patch", "bridge"):
        for number, entry in enumerate(config["review"][kind]):
            key = f"review.{kind}[{number}]"
            cells = entry.get("cells", [entry["cell"]] if "cell" in entry else [])
            expected = f"cells of a grid of {rows} x {columns}"
            for cell in sorted(set(cells) - known):
                yield Finding(ERROR, key, f"cell {cell}", expected, "Mend the cell")
            for tile in entry.get("tiles", ()):
                if _cell_of(tile) not in known:
                    yield Finding(ERROR, key, f"tile {tile}", expected, "Mend the id")
            if entry.get("z_first", 0) > entry.get("z_last", float("inf")):
                found = f"z {entry['z_first']:g} to {entry['z_last']:g}"
                yield Finding(ERROR, key, found, "z_first up to z_last", "Swap them")


def _cell_of(tile_id: str) -> str:
    """Return ``row,column`` of ``<yy-mm-dd_HHMMSS>_<section>-<row>-<column>.<z>.0``."""
    parts = tile_id.rpartition("_")[2].partition(".")[0].split("-")
    return ",".join(parts[1:]) if len(parts) == 3 else ""

"""The doctor's look at foreign sources: names against the pattern, holes, mixtures, sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripts.lib.names import LayerName
from scripts.transfer import doctor_files
from scripts.transfer.dat import DatError, Header
from scripts.transfer.finding import ERROR, NOTE, Case, Finding
from scripts.transfer.foreign import ForeignFiles, z_of
from scripts.transfer.layers import Misfit
from scripts.transfer.name_pattern import KEY, NamePattern
from scripts.transfer.original import file_of

_SHOWN = 3  # files that are named
_HOLES_SHOWN = 5
SOURCE = "transfer.source"


def examine(case: Case, misfits: Sequence[Misfit]) -> Iterator[Finding]:
    """Look at the files of a foreign source, as far as their names and headers tell.

    Parameters
    ----------
    case
        The volume, with its layers.
    misfits
        Files that cannot be tiles.

    Yields
    ------
    Finding
        One for each kind of fault.
    """
    yield from _keys(case.config)
    yield from () if misfits and not case.layers else _names(case)
    for each in misfits[:1]:
        found = f"{len(misfits)} file(s) that cannot be, the first of them: {each.reason}"
        yield Finding(ERROR, SOURCE, found, "tiles", "Mend or move them", each.found.path)
    yield from _twice(case)
    yield from _holes(case)
    yield from _mixtures(case)
    yield from _thickness(case)


def _keys(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Tell of keys that mean nothing, or need raw HDF5 files, which are not written."""
    transfer, steps = config["transfer"], config["correct"]["steps"]
    raw = transfer["source"]["keep_raw"]
    if transfer["scope"] is not None:
        said = "a scope that sends .dat files"
        yield Finding(ERROR, "transfer.scope", said, "null with transfer.source", "Set scope: null")
    if transfer["remove_dats"]:
        expected = "false: files of a foreign source are never removed"
        yield Finding(ERROR, "transfer.remove_dats", "true", expected, "Set remove_dats: false")
    if transfer["archive_root"] is not None and not raw:
        found = "an archive, and no raw HDF5 file to put there"
        change = "Set transfer.source.keep_raw: true, or archive_root: null"
        yield Finding(ERROR, "transfer.archive_root", found, "null", change)
    if "16bit" in steps and not raw:
        expected = "raw HDF5 files, which transfer.source.keep_raw: false does not write"
        change = "Set transfer.source.keep_raw: true, or take 16bit out of correct.steps"
        yield Finding(ERROR, "correct.steps", "16bit", expected, change)


def _names(case: Case) -> Iterator[Finding]:
    source = case.config["transfer"]["source"]
    unfit, pattern = case.files.unfit(), source["pattern"]
    shown = ", ".join(unfit[:_SHOWN])
    if not case.layers and not case.filled_later:
        found = f"no {source['kind']} file" if not unfit else f"{len(unfit)} that do not: {shown}"
        change = "Mend the pattern" if unfit else "Mend transfer.dat_root, or bring the files"
        expected = f"files below {case.dat_root} that fit {pattern}"
        yield Finding(ERROR, KEY if unfit else "transfer.dat_root", found, expected, change)
    elif unfit:
        found = f"{len(unfit)} {source['kind']} file(s) that do not, and are passed over: {shown}"
        yield Finding(NOTE, KEY, found, f"names like {pattern}", "Look whether that is meant")


def _twice(case: Case) -> Iterator[Finding]:
    """Tell of slices that two files claim."""
    twice = []
    for files in case.layers.values():
        first: dict[tuple[int, int], str] = {}
        for file in files:
            there = first.setdefault((file.name.row, file.name.column), file.found.path)
            if there != file.found.path:
                twice.append((file, there))
    if not twice:
        return
    file, there = twice[0]
    layer, row, column = file.name.layer, file.name.row, file.name.column
    found = f"z {_number(case, layer)}, row {row}, column {column} in {there} and {file.found.path}"
    more = f" ({len(twice)} such files)" if len(twice) > 1 else ""
    change = "Move the wrong one away, or write what tells them apart into the pattern"
    if NamePattern.of(case.config["transfer"]["source"]["pattern"]).stacks:
        change += ": {z} for single slices, {first_z} for stacks"
    yield Finding(ERROR, KEY, found + more, "one file for each tile", change)


def _number(case: Case, layer: LayerName) -> int:
    """Return the number of a slice as the names of the files have it."""
    return z_of(layer) * int(case.config["transfer"]["source"]["z_step"])


def _holes(case: Case) -> Iterator[Finding]:
    """Tell of numbers between two slices that no file has, and that no entry declares."""
    names = list(case.layers)
    steps = [(a, z_of(b) - z_of(a)) for a, b in zip(names, names[1:], strict=False)]
    declared = {
        str(entry.get("after")): int(entry["gap"])
        for entry in case.config["ingest"]["layers"]
        if "gap" in entry
    }
    holes = [(a, n - 1) for a, n in steps if n - 1 != declared.get(a.layer_id, 0)]
    if not holes or case.converted:
        return
    every = {n for _, n in steps}
    if len(every) == 1 and len(steps) > 1:  # of all slices alike: names count so
        step = next(iter(every)) * int(case.config["transfer"]["source"]["z_step"])
        found, change = f"numbers that rise by {step}", f"Set z_step: {step}"
        yield Finding(ERROR, f"{SOURCE}.z_step", found, "numbers that rise by z_step", change)
        return
    layer, missing = holes[0]
    found = f"{len(holes)} hole(s), the first of {missing} slice(s) after z {_number(case, layer)}"
    entries = "; ".join(
        f"{{gap: {n}, after: {a.layer_id}, reason: not imaged}}" for a, n in holes[:_HOLES_SHOWN]
    )
    change = f"Bring the files, or add to ingest.layers: {entries}"
    yield Finding(ERROR, SOURCE, found, "slices without holes", change)


def _headers(case: Case) -> Iterator[tuple[str, Header]]:
    for file in doctor_files.sample(case.layers):
        try:
            yield file_of(file.found.path), case.inspect(file)[0]
        except DatError:
            continue  # reported with the headers of all volumes


def _mixtures(case: Case) -> Iterator[Finding]:
    read = list(_headers(case))
    sizes = [(path, f"{h['XResolution']} x {h['YResolution']} px") for path, h in read]
    depths = [(path, f"{8 if h['EightBit'] else 16} bit") for path, h in read]
    for values, one in ((sizes, "one size of tiles"), (depths, "one depth")):
        usual = Counter(value for _, value in values).most_common()
        if len(usual) > 1:
            other = next(path for path, value in values if value != usual[0][0])
            found = ", ".join(f"{value} ({n} of those looked at)" for value, n in usual[:_SHOWN])
            change = "End the volume there (z_last), drop the slice, or go on with it"
            yield Finding(NOTE, SOURCE, found, one, change, other)


def _thickness(case: Case) -> Iterator[Finding]:
    """Compare z_nm with what the first file says, by the limit for pixel sizes."""
    files = case.files
    if not case.layers or not isinstance(files, ForeignFiles):
        return
    first = next(iter(case.layers.values()))[0].found.path
    try:
        said = files.facts(first).z_nm
    except DatError:
        return  # reported with the headers
    wanted = case.config["acquisition"]["z_nm"]
    if said and abs(said - wanted) > case.config["ingest"]["pixel_deviation_pct"] / 100 * wanted:
        change = f"Look whether z_nm should be {said:g}"
        found = f"{said:g} nm in the tags of the files"
        yield Finding(NOTE, "acquisition.z_nm", found, f"{wanted:g} nm", change, file_of(first))

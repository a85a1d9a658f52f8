"""What can be known of a volume before anything is converted: config against folders and files.

Names and sizes of all `.dat` files are looked at, and the headers of a few hundred spread over the
volume. An error would end the run later, and ends it now; a note stops nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scripts.lib.job import UserError
from scripts.transfer import (
    belonging,
    doctor_decisions,
    doctor_files,
    doctor_foreign,
    doctor_layers,
    doctor_masks,
    doctor_paths,
    doctor_surroundings,
    name_pattern,
    origin,
    roots,
    space,
    twice,
)
from scripts.transfer.finding import ERROR, FACT, NOTE, Case, Finding
from scripts.transfer.layers import DatFile, Limits, group

# FIB-SEM images of 16 bit compress to 0.5 to 0.9 of their size: less than this never happens
LEAST_RAW_SHARE = 0.3
PLAN = "transfer/plan.tsv"
NEEDS = "space"  # key of the fact


def examine(
    config: Mapping[str, Any],
    dat_root: Path,
    work_dir: Path,
    *,
    ask: bool = False,
    resources: Iterable[Mapping[str, Any]] = (),
) -> list[Finding]:
    """Return all findings, errors first.

    Parameters
    ----------
    config
        Config of the volume, with defaults.
    dat_root
        Folder of the ``.dat`` files.
    work_dir
        The working directory.
    ask
        Whether the service and the scope are asked, too.
    resources
        Of the rules, on a cluster: their queues are looked for.

    Returns
    -------
    list of Finding
        Nothing is changed; of a few hundred files at most the headers are read.
    """
    records = (PLAN, "transfer/layers.tsv")
    converted = any((work_dir / name).exists() for name in records)
    case = Case(config, dat_root, work_dir, converted)
    findings = [
        *_work_dir(case),
        *belonging.names(case),
        *doctor_paths.examine(case),
        *_roots(case),
        *doctor_decisions.examine(config),
        *doctor_masks.examine(case),
        *doctor_surroundings.programs(case),
    ]
    findings += doctor_surroundings.queues(resources)
    if ask:
        findings += [*doctor_surroundings.service(), *doctor_surroundings.scope(case)]
    if dat_root.is_dir() and os.access(dat_root, os.R_OK | os.X_OK):
        case, found = _files(case)
    else:
        found = list(_no_folder(case))
    findings += [*found, *doctor_decisions.of_layers(case), *_space(case)]
    case.close()
    return sorted(findings, key=lambda each: (each.severity, each.key, each.file))


def _files(case: Case) -> tuple[Case, list[Finding]]:
    """Look at the files; gives the case with its layers."""
    try:
        named, misfits = case.files.files()
        limits = Limits.of(case.config["acquisition"])
    except UserError as error:
        key, _, said = str(error).partition(": ")
        known = key if key == name_pattern.KEY else "acquisition"
        what = said if key == name_pattern.KEY else str(error)
        expected = "a pattern" if key == name_pattern.KEY else "a range of layers"
        return case, [Finding(ERROR, known, what, expected, "Mend these lines")]
    layers = {name: files for name, files in group(named).items() if limits.hold(name)}
    case = replace(case, layers=layers)
    findings = [*belonging.files(case, named), *doctor_files.later(named, limits)]
    if case.config["transfer"]["source"] is not None:
        return case, [*findings, *doctor_foreign.examine(case, misfits), *_of_tiles(case)]
    findings += [_misnamed([each.found.path for each in misfits])] if misfits else []
    if not layers:
        return case, [*findings, *_no_layers(case, named)]
    if said := twice.sentence(case.dat_root, twice.pairs(layers)):
        change = "Look which are the right ones"
        findings.append(Finding(NOTE, "transfer.dat_root", said, "one file for each tile", change))
    return case, [*findings, *doctor_layers.lacking(case), *_of_tiles(case)]


def _of_tiles(case: Case) -> list[Finding]:
    """Look at names and headers of the tiles, if there are any."""
    if not case.layers:
        return []
    sizes = doctor_masks.sizes(case)
    return [*doctor_files.grid(case), *doctor_files.headers(case), *sizes]


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


def worth_a_look(findings: Iterable[Finding], work_dir: Path) -> list[Finding]:
    """Return the notes, as long as they are news; left-out layers and idle decisions always are.

    Parameters
    ----------
    findings
        What was found.
    work_dir
        The working directory.

    Returns
    -------
    list of Finding
        Those two alone once layers were planned: a run has said the others then.
    """
    said = (work_dir / PLAN).exists()
    notes = (each for each in findings if each.severity == NOTE)
    return [each for each in notes if not said or _always(each.key)]


def _always(key: str) -> bool:
    return key == doctor_files.LAST_DAT or key.partition("[")[0] in doctor_decisions.NAMED


def require(findings: Sequence[Finding], others: Sequence[str] = ()) -> None:
    """Stop when there is an error.

    Parameters
    ----------
    findings
        What was found.
    others
        Faults that are known otherwise, a line or more each.

    Raises
    ------
    UserError
        With all findings.
    """
    errors = sum(each.severity == ERROR for each in findings) + len(others)
    if errors:
        told = [f"{ERROR}: {each}" for each in others]
        told += [each.text() for each in findings if each.severity != FACT]
        lines = [f"{errors} fault(s) known before anything is done:", *told]
        raise UserError("\n  ".join(lines))


# ---------------------------------------------------------------------------------------------
# folders
# ---------------------------------------------------------------------------------------------


def _work_dir(case: Case) -> Iterator[Finding]:
    there = space.existing(case.work_dir)
    if not os.access(there, os.W_OK | os.X_OK):
        expected = "a folder that can be written"
        yield Finding(ERROR, "work_dir", f"{there}: no permission", expected, "Change work_dir")


def _roots(case: Case) -> Iterator[Finding]:
    """Tell of HDF5 files that would be made in two places, or among those of others."""
    expected = "the place of this volume's files alone"
    for key, found, change in roots.faults(case.config["transfer"], case.work_dir):
        yield Finding(ERROR, key, found, expected, change)


def _no_folder(case: Case) -> Iterator[Finding]:
    if case.filled_later and not case.dat_root.exists():
        return
    root = case.dat_root
    found = "no permission to read it" if root.is_dir() else "a file" if root.exists() else ""
    found = found or f"no such folder; {space.existing(root)} is the last part of it that exists"
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


def _space(case: Case) -> Iterator[Finding]:
    """Tell what the volume needs, and compare the least and the most of it with what is free."""
    counts = case.counts_bytes
    if not counts:
        return
    need, transfer = space.need(case.config, counts), case.config["transfer"]
    expected = f"room for {need.text()}"
    change = "Change work_dir to a larger disk, or free some space"
    free = space.free_bytes(case.work_dir)
    yield Finding(FACT, NEEDS, need.text(), f"{free / space.GB:.1f} GB are free", "")
    if case.converted or transfer["remove_dats"]:
        return
    # without raw files 8 bits of 16 are written
    least = int(counts * LEAST_RAW_SHARE / (1 if origin.keeps_raw(case.config) else 2))
    made = Path(transfer["raw_h5"] or case.work_dir)  # where the largest of the files are made
    if words := space.shortage(made, least, transfer["free_space_gb"]):
        yield Finding(ERROR, "work_dir", words, expected, change)
    elif need.most_bytes > free - transfer["free_space_gb"] * space.GB:
        yield Finding(NOTE, "work_dir", f"{free / space.GB:.1f} GB free", expected, change)


def needs(findings: Iterable[Finding]) -> str:
    """Return how much space the volume needs.

    Parameters
    ----------
    findings
        What was found.

    Returns
    -------
    str
        In words; empty where nothing is known of it.
    """
    return next((each.found for each in findings if each.key == NEEDS), "")

"""Belonging: which volume a working directory is of, so that no second one is made in it.

The first start leaves ``volume.json`` in the working directory: owner and project, ``dat_root``,
and some tiles by name with a digest of the first bytes of their files. Every start compares. Files
that moved, to an archive or another mount, keep names and bytes and are the same volume.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from scripts.lib.files import read_json, read_table, write_json
from scripts.lib.job import UserError
from scripts.transfer.finding import ERROR, Case, Finding
from scripts.transfer.layers import DatFile, Limits, group
from scripts.transfer.original import file_of

RECORD = "volume.json"
_PLAN = "transfer/plan.tsv"
_RECEIPT = "stacks/v1_acquire.json"  # tells owner and project of what was begun without a record
MOST_TILES = 8  # that are remembered
HEAD_BYTES = 1 << 16  # of a file: a .dat's header, and pixels enough to tell two acquisitions apart
MOST_CHANGED_SHARE = 0.5  # of the remembered tiles: single ones are copied, or imaged, again
_NAMED = 2
_SAME = ("owner", "project")


def names(case: Case) -> Iterator[Finding]:
    """Tell of a working directory with the stacks of another owner or project.

    Parameters
    ----------
    case
        The volume.

    Yields
    ------
    Finding
        One at most.
    """
    there, mine = _identity(case.work_dir), _named(case.config["render"])
    if there and _named(there) != mine:
        expected = f"an empty folder or that of the volume {mine}"
        yield _refused(case, f"that of the volume {_named(there)}", expected)


def files(case: Case, named: Sequence[DatFile]) -> Iterator[Finding]:
    """Tell of a working directory that was made of other files.

    Parameters
    ----------
    case
        The volume, with the layers within its limits.
    named
        All of its files with names of tiles.

    Yields
    ------
    Finding
        One at most; none where there is nothing to compare.
    """
    record, known = _record(case.work_dir), _known_layers(case.work_dir)
    mine = {name.layer_id for name in case.layers}
    if known and mine and not known & mine and not _newer_alone(case, record, known, named):
        expected = f"an empty folder or that of the layers {_some(mine)}"
        yield _refused(case, f"that of the layers {_some(known)}", expected)
        return
    wanted = dict(record.get("tiles", {}))
    # of a file that is not whole nobody knows what it was: the examination names it
    whole = [f for f in named if _name(f) in wanted and case.files.is_whole(f.found.path)]
    there = {_name(f): _head(case, f) for f in whole}
    there = {name: head for name, head in there.items() if head}
    changed = [name for name, head in there.items() if head != wanted[name]]
    if len(changed) > MOST_CHANGED_SHARE * len(there):
        found = f"that of files with the same names and other bytes ({_some(changed)})"
        yield _refused(case, found, f"an empty folder or that of the files in {case.dat_root}")


def remember(config: Mapping[str, Any], dat_root: Path, work_dir: Path) -> None:
    """Leave a record of the volume, or what it lacked because few layers were there.

    Parameters
    ----------
    config
        Config of the volume, with defaults.
    dat_root
        Folder of the ``.dat`` files.
    work_dir
        The working directory; made if absent.
    """
    record = _record(work_dir)
    if len(record.get("tiles", {})) >= MOST_TILES:
        return
    case = Case(config, dat_root, work_dir, converted=False)
    try:
        tiles = _tiles(case) if dat_root.is_dir() else {}
    except UserError:
        tiles = {}  # of a pattern that the examination has named
    finally:
        case.close()
    who = {key: config["render"][key] for key in _SAME}
    old = record.get("tiles", {})
    new = old | dict(
        islice((kv for kv in tiles.items() if kv[0] not in old), MOST_TILES - len(old))
    )
    made = {**who, "dat_root": str(dat_root), "tiles": new}
    if made != record:
        work_dir.mkdir(parents=True, exist_ok=True)
        write_json(work_dir / RECORD, made)


def _tiles(case: Case) -> dict[str, str]:
    """Return some whole tiles, spread over the layers, with digests of their files."""
    limits = Limits.of(case.config["acquisition"])
    layers = [each for name, each in group(case.files.files()[0]).items() if limits.hold(name)]
    step = max(1, (len(layers) - 1) // (MOST_TILES - 1))
    made = {}
    for each in layers[::step][:MOST_TILES]:
        whole = next((file for file in each if case.files.is_whole(file.found.path)), None)
        if whole is not None and (head := _head(case, whole)):
            made[_name(whole)] = head
    return made


def _name(file: DatFile) -> str:
    return f"{file.name.layer.layer_id}_{file.name.tile_key}"


def _head(case: Case, file: DatFile) -> str:
    """Return the digest of the first bytes of a file; of a folder of chunks, of its first chunk."""
    path = case.dat_root / file_of(file.found.path)
    try:
        while path.is_dir():
            path = min(p for p in path.iterdir() if p.name[0] != "." and p.suffix != ".json")
        with path.open("rb") as opened:
            return sha256(opened.read(HEAD_BYTES)).hexdigest()
    except (OSError, ValueError):  # it cannot be read, which is reported elsewhere; no chunk in it
        return ""


def _newer_alone(
    case: Case, record: Mapping[str, Any], known: set[str], named: Sequence[DatFile]
) -> bool:
    """Whether the known files have left their folder, and later ones of the same scope came."""
    if known & {file.name.layer.layer_id for file in named}:
        return False
    if record.get("dat_root", str(case.dat_root)) != str(case.dat_root):
        return False
    scope, _, last = max(known, key=lambda one: one.partition("_")[2]).partition("_")
    return all(layer.scope == scope and layer.stamp > last for layer in case.layers)


def _known_layers(work_dir: Path) -> set[str]:
    plan = work_dir / _PLAN
    rows = read_table(plan) if plan.exists() else []
    tiles = _record(work_dir).get("tiles", {})
    return {row["layer_id"] for row in rows} | {name.rpartition("_")[0] for name in tiles}


def _record(work_dir: Path) -> dict[str, Any]:
    path = work_dir / RECORD
    return dict(read_json(path)) if path.exists() else {}


def _identity(work_dir: Path) -> dict[str, Any]:
    receipt = work_dir / _RECEIPT
    return _record(work_dir) or (dict(read_json(receipt)) if receipt.exists() else {})


def _named(render: Mapping[str, Any]) -> str:
    return f"{render['owner']}/{render['project']}"


def _some(names: Collection[str]) -> str:
    """Return the first and the last of some names."""
    ends = dict.fromkeys([min(names), max(names)])
    return f"{' to '.join(ends)} ({len(names)} in all)" if len(names) > _NAMED else ", ".join(ends)


def _refused(case: Case, found: str, expected: str) -> Finding:
    render = case.config["render"]
    mine = json.dumps({key: render[key] for key in _SAME})
    change = (
        "Give each volume a work_dir of its own, or mend render.owner and project,"
        " transfer.dat_root, acquisition.first_dat and last_dat (files may move to another folder"
        f" as they are). If it is the same volume all the same: let {case.work_dir / RECORD} hold"
        f" {mine} alone"
    )
    return Finding(ERROR, "work_dir", found, expected, change, str(case.work_dir))

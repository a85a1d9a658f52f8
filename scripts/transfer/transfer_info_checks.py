"""What a person has to look at before a volume_transfer_info JSON becomes a volume's YAML."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scripts.lib.names import dat_or_none
from scripts.transfer import layers, transfer_info
from scripts.transfer.transfer_info import ARCHIVE, CORRECT

Info = Mapping[str, Any]

UNREAD = ("IMPORT_H5_ALIGN_INTO_RENDER", "ARCHIVE_DAT")  # declared, but no script ever acts on them
_NAME = re.compile(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*")
_HOST = re.compile(r"[A-Za-z0-9.-]+")
_LONGEST = 100  # letters of owner, project and stack: render-ws joins them to names of at most 120


@dataclass(frozen=True)
class Remark:
    """One line about a file; `person` tells whether somebody has to decide."""

    text: str
    person: bool = True


def remarks(info: Info, now: datetime) -> list[Remark]:
    """Return all remarks about one JSON.

    Parameters
    ----------
    info
        Checked by the schema, with all defaults filled in.
    now
        Local time, after which no layer can have been imaged.

    Returns
    -------
    list of Remark
        By section of the JSON.
    """
    parts: tuple[Callable[[Info], Iterator[Remark]], ...] = (
        _sections,
        _tasks,
        _names,
        _grid,
        _fill,
        _others,
    )
    return [remark for part in parts for remark in part(info)] + list(_range(info, now))


def _sections(info: Info) -> Iterator[Remark]:
    needed = {
        "scope_data_set": "grid, voxel size and range of the volume are not known",
        "cluster_root_paths": "today's scripts skip a config without it",
        "render_data_set": "owner and project in render-ws are not known",
    }
    for section, why in needed.items():
        if info[section] is None:
            yield Remark(f"{section}: missing: {why}")
    if transfer_info.dat_root(info) is None:
        yield Remark(
            "cluster_root_paths.raw_dat: missing: the folder of the .dat files is not known"
        )
    if ARCHIVE in info["transfer_tasks"] and not (info["archive_root_paths"] or {}).get("raw_h5"):
        yield Remark(f"archive_root_paths.raw_h5: missing, but {ARCHIVE} is among the tasks")


def _tasks(info: Info) -> Iterator[Remark]:
    tasks = info["transfer_tasks"]
    for task in sorted({task for task in tasks if tasks.count(task) > 1}):
        yield Remark(f"transfer_tasks: {task} is listed {tasks.count(task)} times", person=False)
    for task in UNREAD:
        if task in tasks:
            yield Remark(f"transfer_tasks: {task} is read by no script of today's", person=False)
    for task in (transfer_info.RAW, transfer_info.ALIGN):
        if task not in tasks:
            yield Remark(f"transfer_tasks: no {task}; this workflow always does it", person=False)
    if CORRECT in tasks:
        data = transfer_info.CORRECTION["data"]
        yield Remark(f"{CORRECT} means ingest.scan_correction {data} for every scope", person=False)


def _names(info: Info) -> Iterator[Remark]:
    found = info["render_data_set"]
    if found is None:
        return
    for key in ("owner", "project", "stack"):
        if not _NAME.fullmatch(found[key]):
            fit = re.sub(r"[^A-Za-z0-9]+", "_", found[key]).strip("_")
            yield Remark(
                f"render_data_set.{key}: render-ws refuses {found[key]!r}: expected letters and "
                f"digits with single underscores inside" + (f", e.g. {fit}" if fit else "")
            )
    if sum(len(found[key]) for key in ("owner", "project", "stack")) > _LONGEST:
        yield Remark(f"render_data_set: owner, project and stack are above {_LONGEST} letters")
    if found["stack"] != transfer_info.STACK:
        yield Remark(
            f"render_data_set.stack: expected {transfer_info.STACK}, which this workflow writes, "
            f"found {found['stack']}: may a {transfer_info.STACK} of the project be replaced?"
        )
    if found["connect"] is None:
        yield Remark(
            "render_data_set.connect: null, so the embedded render-ws is used", person=False
        )
    elif not _HOST.fullmatch(found["connect"]["host"]):
        yield Remark(f"render_data_set.connect.host: no host name: {found['connect']['host']!r}")


def _grid(info: Info) -> Iterator[Remark]:
    scope = info["scope_data_set"]
    if scope is None:
        return
    ends = {f"scope_data_set.{key}": scope[key] for key in ("first_dat_name", "last_dat_name")}
    grid = layers.Grid(scope["rows_per_z_layer"], scope["columns_per_z_layer"])
    yield from map(Remark, layers.not_the_corners(ends, grid))


def _fill(info: Info) -> Iterator[Remark]:
    fill, scope = info["fill_info"], info["scope_data_set"]
    if fill is None or scope is None:
        return
    count = scope["rows_per_z_layer"] * scope["columns_per_z_layer"]
    beyond = [index for index in fill["tile_indexes"] if index >= count]
    if beyond:
        yield Remark(f"fill_info.tile_indexes: {beyond} lie beyond the {count} tiles of a layer")


def _others(info: Info) -> Iterator[Remark]:
    roots, found = info["cluster_root_paths"] or {}, info["render_data_set"]
    align = roots.get("align_h5") or ""
    if align.rstrip("/").endswith("_c1"):
        yield Remark(
            f"cluster_root_paths.align_h5: {align} looks like the images of channel 1: add "
            f"transfer.channel: 1 to the YAML if it is"
        )
    if found is not None and info["scope_data_set"] is not None:
        several = info["scope_data_set"]["rows_per_z_layer"] > 1
        if several != bool(found["mask_height"]):
            yield Remark(
                f"render_data_set.mask_height: {found['mask_height']} is unusual for "
                f"{'several rows' if several else 'one row'} of tiles",
                person=False,
            )


def _range(info: Info, now: datetime) -> Iterator[Remark]:
    scope = info["scope_data_set"]
    if scope is None:
        return
    bad = False
    for key in ("first_dat_name", "last_dat_name"):
        if scope[key] is not None and dat_or_none(scope[key]) is None:
            bad = True
            yield Remark(f"scope_data_set.{key}: no name of a .dat file: {scope[key]!r}")
    first, last = dat_or_none(scope["first_dat_name"]), dat_or_none(scope["last_dat_name"])
    if scope["first_dat_name"] is None:
        yield Remark("scope_data_set.first_dat_name: null: the acquisition has not started")
    elif first and first.layer.time > now:
        yield Remark(
            f"scope_data_set.first_dat_name: {scope['first_dat_name']} lies in the future: the "
            f"acquisition has not started"
        )
    if scope["last_dat_name"] is None and not bad:
        yield Remark("scope_data_set.last_dat_name: null: still imaging", person=False)
    if first and last and first.layer.scope != last.layer.scope:
        yield Remark(
            f"scope_data_set: first and last dat are of two scopes, {first.layer.scope} and "
            f"{last.layer.scope}"
        )
    elif first and last and first.layer.order > last.layer.order:
        yield Remark("scope_data_set: first_dat_name is later than last_dat_name")


def nearest_task(task: str, known: Sequence[str]) -> str:
    """Return the known task that was meant most likely.

    Parameters
    ----------
    task
        A name that is not known.
    known
        The names that are.

    Returns
    -------
    str
        One of `known`.
    """
    return difflib.get_close_matches(task, known, n=1, cutoff=0.0)[0]


def overlaps(infos: Mapping[str, Info]) -> dict[str, list[Remark]]:
    """Return remarks by file about ranges of the same data set and scope that share a layer.

    Parameters
    ----------
    infos
        JSON by name of the file.

    Returns
    -------
    dict
        Remarks by name of the file.
    """
    ranges = {name: found for name, info in infos.items() if (found := _layers(info))}
    out: dict[str, list[Remark]] = {}
    names = list(ranges)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if ranges[a][0] == ranges[b][0] and _share(ranges[a][1:], ranges[b][1:]):
                for one, other in ((a, b), (b, a)):
                    text = f"scope_data_set: its range shares layers with that of {other}"
                    out.setdefault(one, []).append(Remark(f"{text} ({ranges[a][0][0]})"))
    return out


def _layers(info: Info) -> tuple[tuple[str, str], str, str] | None:
    """Return (data set, scope), stamps of the first and the last layer; None when not known."""
    scope = info["scope_data_set"]
    first = dat_or_none(scope["first_dat_name"]) if scope else None
    if scope is None or first is None:
        return None
    last = dat_or_none(scope["last_dat_name"])
    end = last.layer.stamp if last else "99-99-99"
    return (scope["data_set_id"], first.layer.scope), first.layer.stamp, end


def _share(a: tuple[str, str], b: tuple[str, str]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]

"""Flow: what the rules ask before any job runs, from the config and from tables of plans."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_cells
from scripts.lib.job import UserError

Config = Mapping[str, Any]
Masks = Config | Sequence[Config] | None  # one entry, or some for ranges of z and cells
# the pyramid of so many layers is one job: 10 to 20 CPU minutes of a volume 10,000 px wide
SPAN_LAYERS = 1024
_EMBEDDED = "sqlite:///"
QUIET_TIME_S = 3600  # of the newest layer, where a microscope still sends
RUNS = {
    "single_tile": ["cross"],
    "single_row": ["montage", "cross"],
    "multi_row": ["montage_top_bottom", "montage_left_right", "cross"],
}


def column(table: str | Path, name: str) -> list[str]:
    """Return the distinct values of a column of a TSV table.

    Parameters
    ----------
    table
        Path of the table; its first line names the columns.
    name
        Name of the column.

    Returns
    -------
    list of str
        In order of appearance.
    """
    path = Path(table).resolve()
    status = path.stat()
    return list(_column(path, name, (status.st_ino, status.st_size, status.st_mtime_ns)))


@functools.lru_cache(maxsize=16)
def _column(path: Path, name: str, _as_it_is: tuple[int, ...]) -> tuple[str, ...]:
    """Read a column once for all rules and jobs that ask: large plans take half a second."""
    return tuple(dict.fromkeys(cell for cell, _ in read_cells(path, (name, name))))


def layout(rows: int, columns: int) -> str:
    """Return the name of a grid of tiles.

    Parameters
    ----------
    rows, columns
        Tiles of a layer.

    Returns
    -------
    str
        ``single_tile``, ``single_row`` or ``multi_row``: a key of `RUNS`.
    """
    if rows > 1:
        return "multi_row"
    return "single_row" if columns > 1 else "single_tile"


def resolved(root: Path, path: str | None) -> str | None:
    """Return an absolute path.

    Parameters
    ----------
    root
        Folder at which relative paths start.
    path
        Path of the config, or None; ``~`` is the home folder.

    Returns
    -------
    str or None
        None stays None.
    """
    return None if path is None else str((root / Path(path).expanduser()).resolve())


def resolved_scope(root: Path, scope: Config | None) -> Config | None:
    """Return section ``transfer.scope`` with absolute folders, when they are of this computer.

    Parameters
    ----------
    root
        Folder at which relative paths start.
    scope
        The section, or None where nothing is copied.

    Returns
    -------
    mapping or None
        Unchanged when the folders are those of another host.
    """
    if scope is None or scope["host"] is not None:
        return scope
    names = ("root_dat_path", "keep_path", "lock")
    return {**scope, **{name: resolved(root, scope[name]) for name in names}}


def resolved_masks(root: Path, masks: Masks) -> Masks:
    """Return ``ingest.mask`` with absolute paths of pictures.

    Parameters
    ----------
    root
        Folder at which relative paths start.
    masks
        One entry, a list of them, or None.

    Returns
    -------
    mapping, list of mapping, or None
        Unchanged where there is no picture.
    """
    if masks is None or isinstance(masks, Mapping):
        return masks and _resolved_mask(root, masks)
    return [_resolved_mask(root, each) for each in masks]


def _resolved_mask(root: Path, entry: Config) -> Config:
    image = entry.get("image")
    return entry if image is None else {**entry, "image": resolved(root, image)}


def mask_images(masks: Masks) -> list[str]:
    """Return the pictures that ``ingest.mask`` names.

    Parameters
    ----------
    masks
        One entry, a list of them, or None.

    Returns
    -------
    list of str
        Each once, in order.
    """
    entries = [masks] if isinstance(masks, Mapping) else masks or []
    return sorted({str(each["image"]) for each in entries if each.get("image") is not None})


def takeover(root: Path, config: Config) -> dict[str, Any]:
    """Return section ``takeover`` with absolute paths, once it is known to make sense.

    Parameters
    ----------
    root
        Folder at which relative paths start.
    config
        The config, with defaults.

    Returns
    -------
    dict
        ``align_h5``, ``raw_h5``, ``zcoords``: absolute, or None; ``render``: None, or with an
        owner.

    Raises
    ------
    UserError
        When there is nothing to make the volume of, or a key needs another.
    """
    section, render = config["takeover"], config["render"]
    paths = {name: resolved(root, section[name]) for name in ("align_h5", "raw_h5", "zcoords")}
    if paths["align_h5"] is None and config["transfer"]["dat_root"] is None:
        raise UserError(
            "transfer.dat_root: missing, expected the folder of the .dat files, or"
            " takeover.align_h5, that of align HDF5 that are there already"
        )
    source = section["render"]
    if source is None:
        return {**paths, "render": None}
    source = {**source, "owner": source["owner"] or render["owner"], "url": _url(root, source)}
    if (source["owner"], source["project"]) == (render["owner"], render["project"]):
        raise UserError(
            f"takeover.render.project: found {source['project']}, which is render.project, expected"
            " another: what is taken over is copied, never written; rename render.project"
        )
    own = [f"{render['project']}_v1{suffix}" for suffix in ("", "_review", "_set_aside")]
    if source["matches"] in own and source["owner"] == render["owner"]:
        raise UserError(
            f"takeover.render.matches: found {source['matches']}, the collection of render.project"
            f" {render['project']} itself, expected another: rename render.project"
        )
    if source["stack"] and not source["matches"]:
        raise UserError(
            "takeover.render.matches: missing, expected the collection that the stack"
            f" {source['stack']} was solved with: review and report are made of it"
        )
    if source["stack"] and config["review"]["auto"]:
        raise UserError(
            "review.auto: found true, expected false with takeover.render.stack: which tiles stay"
            f" and which are patched is as in {source['stack']}, and by review.exclude and patch"
        )
    return {**paths, "render": source}


def by_hand(root: Path, entries: Sequence[Config]) -> list[dict[str, Any]]:
    """Return the entries of ``match.by_hand`` with absolute paths.

    Parameters
    ----------
    root
        Folder at which relative paths start.
    entries
        As configured.

    Returns
    -------
    list of dict
        In the same order; whether there are such files the doctor says, with all that is wrong.
    """
    return [{**one, "landmarks": resolved(root, one["landmarks"])} for one in entries]


def _url(root: Path, source: Config) -> str | None:
    """Return where the service is; a file of an embedded one starts at `root`."""
    url = source["url"]
    if url is None or not url.startswith(_EMBEDDED):
        return url or None
    path = resolved(root, url.removeprefix(_EMBEDDED))
    if not Path(path or "").is_file():
        expected = "expected the database of a render-ws"
        raise UserError(f"takeover.render.url: {expected}, found no {path}")
    return f"{_EMBEDDED}{path}"


def quiet_time_s(transfer: Config) -> float:
    """Return how long the newest layer must be at rest before it is taken for whole.

    Parameters
    ----------
    transfer
        Section ``transfer`` of the config.

    Returns
    -------
    float
        Seconds: as configured, or an hour where a microscope still sends.
    """
    configured: float | None = transfer["quiet_time_s"]
    if configured is not None:
        return configured
    return QUIET_TIME_S if transfer["scope"] else 0


def stage_tables(
    preset: str,
    root: Path,
    read: Callable[[Path], Any],
    *,
    rows: int,
    columns: int,
    project: str = "",
) -> list[Any]:
    """Return the content of the match stage tables to choose from by the size of tiles.

    Parameters
    ----------
    preset
        ``auto``, ``reference``, a name in ``config/match_stages``, or the path of a YAML file.
    root
        Folder of the Snakefile.
    read
        Reads and checks one table.
    rows, columns
        Tiles of a layer.
    project
        ``render.project``: of one tile a layer, ``reference`` takes the table of leaves for a
        project whose name holds ``leaf``.

    Returns
    -------
    list
        The parsed tables: they are a param of rules, so that an edit makes those run again.

    Raises
    ------
    UserError
        When there is no such table.
    """
    grid = layout(rows, columns)
    of_one = "leaf" if "leaf" in project.lower() else "small_cell"
    reference = of_one if grid == "single_tile" else grid
    chosen = {"auto": ["small_tiles", "block"], "reference": [reference]}.get(preset, [preset])
    return [read(_stage_table(name, root)) for name in chosen]


def _stage_table(name: str, root: Path) -> Path:
    own = root / "config" / "match_stages" / f"{name}.yaml"
    path = own if own.exists() else root / name
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in own.parent.glob("*.yaml")))
        raise UserError(
            f"match.preset: found {name!r}, expected auto, reference, {known}, or the path of a"
            " YAML file"
        )
    return path


def rounds(most: int, table_of: Callable[[int], str | Path]) -> list[int]:
    """Return the numbers of the rounds of patches that there is work for, as far as is known.

    Parameters
    ----------
    most
        Setting ``review.patch_rounds``.
    table_of
        Gives the table of patches that stands before round n + 1, for n from 0: where it is not
        made yet, Snakemake's checkpoint stops here.

    Returns
    -------
    list of int
        1, 2 ...
    """
    found: list[int] = []
    while len(found) < most and str(len(found) + 1) in column(table_of(len(found)), "round"):
        found.append(len(found) + 1)
    return found


def spans(chunks: Sequence[str], layers: int) -> dict[str, list[str]]:
    """Return the chunks of each span of about `SPAN_LAYERS` layers.

    Parameters
    ----------
    chunks
        All chunks of a volume, in order.
    layers
        Layers of a chunk.

    Returns
    -------
    dict
        First chunk of a span -> its chunks; empty where one span would hold all.
    """
    size = max(1, SPAN_LAYERS // layers)
    runs = [list(chunks[i : i + size]) for i in range(0, len(chunks), size)]
    return {run[0]: run for run in runs} if len(runs) > 1 else {}


def chunks_around(
    chunks: Sequence[str], chunk: str, layers: int, *, before: int, after: int = 0
) -> list[str]:
    """Return a chunk with those that hold the layers next to it.

    Parameters
    ----------
    chunks
        All chunks of a volume, in order.
    chunk
        One of them.
    layers
        Layers of a chunk.
    before, after
        Layers that are wanted on either side.

    Returns
    -------
    list of str
        In order.
    """
    at = chunks.index(chunk)
    first, last = at - math.ceil(before / layers), at + math.ceil(after / layers)
    return list(chunks[max(0, first) : last + 1])


def chunks_within(table: str | Path, z_px: Sequence[int] | None) -> list[str]:
    """Return the chunks that hold a layer of a range.

    Parameters
    ----------
    table
        ``chunks.tsv``: chunk, z_first, z_last (inclusive).
    z_px
        Half-open range of layers; None is all.

    Returns
    -------
    list of str
        In order.
    """
    rows = zip(*(column(table, name) for name in ("chunk", "z_first", "z_last")), strict=True)
    return [
        chunk
        for chunk, first, last in rows
        if z_px is None or (int(last) >= z_px[0] and int(first) < z_px[1])
    ]


def region_name(export: Config) -> str:
    """Return the name of the region of ``export.box`` and ``export.scale``.

    Parameters
    ----------
    export
        Section ``export`` of the config.

    Returns
    -------
    str
        Another region has another name, and so another folder.
    """
    ranges = (export["box"] or {}).items()
    pieces = [f"{key[0]}{r[0]}to{r[1]}" for key, r in sorted(ranges) if r]
    step = round(1 / export["scale"])
    return "_".join(["region", *pieces, *([f"by{step}"] if step > 1 else [])])


def export_parts(
    config: Config, stacks: Mapping[str, str], channels: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Return the exports beside the whole: further channels, and the region.

    Parameters
    ----------
    config
        The config.
    stacks
        Names of stacks: ``final``, and ``channel_<k>`` of every further channel.
    channels
        Channels of a 16-bit volume; the first is that of the whole.

    Returns
    -------
    dict
        Name -> stack, volume (path without suffix), and what of the stack: box, step_px.
    """
    parts: dict[str, dict[str, Any]] = {
        f"channel_{k}": {
            "stack": stacks[f"channel_{k}"],
            "volume": f"{config['volume']}.channel-{k}",
            "cut": {},
        }
        for k in channels[1:]
    }
    export = config["export"]
    name = region_name(export)
    cut = {"box": export["box"] or {}, "step_px": round(1 / export["scale"])}
    volume = f"exports/{name}/{config['volume']}"
    return parts | {name: {"stack": stacks["final"], "volume": volume, "cut": cut}}

"""What is there now, and whether it is more than the last run knew: the basis of every decision.

Snakemake runs a job again when a param changed. The params made here, *fingerprints*, stay the text
of the last run as long as there is nothing to do, and differ from it as soon as there is. They are
made where Snakemake runs, by rules/transfer.smk, each time the workflow is read; they look at
names, sizes and times alone, and ask the scope for its flags.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from scripts.lib.files import digest, grouped, read_json, read_table
from scripts.lib.job import UserError
from scripts.lib.names import LayerName
from scripts.transfer import origin, planning, scan
from scripts.transfer.flags import choose
from scripts.transfer.layers import DatFile, Grid, Limits, Misfit, fit, group
from scripts.transfer.planning import Due, Hdf5Layers, PreviousRun, Quiet
from scripts.transfer.scope import ScopeError, ScopeSettings, open_scope
from scripts.transfer.taken import without

FOLDER = Path("transfer")
PLAN_STATE = FOLDER / "plan.json"
COPY_STATE = FOLDER / "copy.json"
COPIED = FOLDER / "copied.tsv"
CLEANED = Path("cleanup/removed.tsv")  # align HDF5 were removed on purpose
Clock = Callable[[], float]


@dataclass(frozen=True)
class View:
    """The acquisition as it lies there, and what earlier runs knew of it."""

    layers: Mapping[LayerName, list[DatFile]]
    misfits: list[Misfit]
    previous: PreviousRun
    on_disk: Hdf5Layers
    limits: Limits

    @property
    def todo(self) -> Due:
        """Return what is to be done.

        Returns
        -------
        dict
            A reason by layer id.
        """
        return planning.due(self.previous, self.layers, self.misfits, self.on_disk, self.limits)


def look(
    dat_root: Path,
    acquisition: Mapping[str, Any],
    quiet_time_s: float,
    *,
    work_dir: Path = Path(),
    archive_root: Path | None = None,
    taken: Collection[str] = (),
    source: origin.Source | None = None,
    clock: Clock = time.time,
) -> View:
    """Look at the `.dat` files, the HDF5 files and the tables of earlier runs.

    Parameters
    ----------
    dat_root
        Folder of the ``.dat`` files.
    acquisition
        ``acquisition`` of the config.
    quiet_time_s
        Time without a change after which the newest layer is taken although it is not whole.
    work_dir
        The working directory.
    archive_root
        Walked when it is given; without it the tables tell what is archived.
    taken
        Ids of layers that are taken over: their files are left alone.
    source
        As `origin.section` gives it; None: ``.dat`` files.
    clock
        Seconds since 1970, as file times.

    Returns
    -------
    View
        Of files names, sizes and times alone, but headers of the newest layer, and bytes where two
        are the same tile.

    Raises
    ------
    UserError
        When acquisition.first_dat or last_dat is wrong.
    """
    limits, grid = Limits.of(acquisition), Grid(acquisition["rows"], acquisition["columns"])
    origins = origin.files_of(dat_root, source)
    named, misfits = origins.files()
    mine = {layer: files for layer, files in group(named).items() if limits.hold(layer)}
    mine = without(mine, taken)
    kept, others = fit(mine, grid, origins.same)
    previous = PreviousRun.read(work_dir / FOLDER).without(taken)
    settled = planning.without_growing(
        kept,
        grid,
        Quiet(limits.last is None, quiet_time_s, clock()),
        lambda file: origins.is_whole(file.found.path),
        {row["layer_id"] for row in previous.plan},
    )
    origins.close()
    aligned = _aligned(work_dir, previous)
    raw = scan.names_below(work_dir / "h5/raw", ".raw.h5")
    on_disk = Hdf5Layers(
        # without raw files the source keeps the pixels: it is never removed
        raw=raw if origins.keeps_raw else raw | aligned,
        align=aligned,
        archive=scan.names_below(archive_root, ".raw-archive.h5") if archive_root else frozenset(),
    )
    layers = {layer: list(files) for layer, files in settled.items()}
    return View(layers, [*misfits, *others], previous, on_disk, limits)


def _aligned(work_dir: Path, previous: PreviousRun) -> frozenset[str]:
    """Layers whose align HDF5 is there, or was until the finished volume was cleaned up."""
    there = frozenset(scan.names_below(work_dir / "h5/align", ".uint8.h5"))
    known = {row["layer_id"] for row in previous.plan}
    return there | known if (work_dir / CLEANED).exists() else there


def plan_fingerprint(
    dat_root: Path,
    acquisition: Mapping[str, Any],
    quiet_time_s: float,
    work_dir: Path = Path(),
    taken: Collection[str] = (),
    source: origin.Source | None = None,
) -> str:
    """Return the param of `plan_transfer`: the last one while every layer is as it was left.

    Parameters
    ----------
    dat_root
        Folder of the ``.dat`` files.
    acquisition
        ``acquisition`` of the config.
    quiet_time_s
        As `look` takes it.
    work_dir
        The working directory.
    taken
        Ids of layers that are taken over.
    source
        As `look` takes it.

    Returns
    -------
    str
        One line.
    """
    try:
        view = look(
            *(dat_root, acquisition, quiet_time_s), work_dir=work_dir, taken=taken, source=source
        )
    except UserError as error:
        return str(error)  # the job ends with the same words
    if todo := view.todo:
        return planning.words(todo, view.previous)
    return str(_state(work_dir / PLAN_STATE).get("fingerprint", "nothing there yet"))


def known_dats(
    dat_root: Path, *, work_dir: Path = Path(), archive_root: Path | None = None
) -> dict[str, int]:
    """Return the ``.dat`` files that are here, or safe in an HDF5 file.

    Parameters
    ----------
    dat_root
        Folder of the ``.dat`` files.
    work_dir
        The working directory.
    archive_root
        Walked when it is given.

    Returns
    -------
    dict
        Size in bytes by name, without folder.
    """
    previous = PreviousRun.read(work_dir / FOLDER)
    safe = scan.names_below(work_dir / "h5/raw", ".raw.h5")
    if archive_root:
        safe |= scan.names_below(archive_root, ".raw-archive.h5")
    bad = {(row["layer_id"], row["tile_key"]) for row in previous.quarantine}
    stored = {
        row["dat"].rpartition("/")[2]: int(row["bytes"])
        for row in previous.plan
        if row["layer_id"] in safe and (row["layer_id"], row["tile_key"]) not in bad
    }
    return stored | {
        found.path.rpartition("/")[2]: found.size for found in scan.dat_files(dat_root)
    }


# ---------------------------------------------------------------------------------------------
# the scope
# ---------------------------------------------------------------------------------------------


def copy_fingerprint(
    scope: Mapping[str, Any], acquisition: Mapping[str, Any], work_dir: Path = Path()
) -> str:
    """Return the param of `copy_dats`: the last one while nothing waits on the scope.

    When imaging is over (`last_dat` is set) and a run has seen that nothing is missing up to there,
    the scope is not asked any more.

    Parameters
    ----------
    scope
        ``transfer.scope`` of the config.
    acquisition
        ``acquisition`` of the config.
    work_dir
        The working directory.

    Returns
    -------
    str
        One line.
    """
    state = _state(work_dir / COPY_STATE)
    try:
        waiting = _waiting(scope, acquisition, state, _failed(work_dir / COPIED))
    except (ScopeError, UserError) as error:
        waiting = str(error)
    if waiting:
        return f"{waiting} (visit {int(state.get('visits', 0)) + 1})"
    return str(state.get("fingerprint", "no flags"))


def scope_fault(
    scope: Mapping[str, Any], acquisition: Mapping[str, Any], work_dir: Path = Path()
) -> str:
    """Return why the scope cannot be asked.

    Parameters
    ----------
    scope
        Section ``transfer.scope``.
    acquisition
        Section ``acquisition``.
    work_dir
        The working directory.

    Returns
    -------
    str
        Empty where it answers, or has nothing more to give.
    """
    state = _state(work_dir / COPY_STATE)
    try:
        _waiting(scope, acquisition, state, _failed(work_dir / COPIED))
    except (ScopeError, UserError) as error:
        return str(error)
    return ""


def _waiting(
    scope: Mapping[str, Any],
    acquisition: Mapping[str, Any],
    state: Mapping[str, Any],
    failed: int,
) -> str:
    """Say what waits on the scope; the empty text when nothing does."""
    limits, settings = Limits.of(acquisition), ScopeSettings.of(scope)
    over = limits.last is not None and not failed and not state.get("problems")
    if over and state.get("complete_to") == acquisition["last_dat"]:
        return ""
    flags, _ = choose(open_scope(settings).flag_names(), settings.data_set_id)
    mine = [flag.file_name for flag in flags if limits.hold(flag.tile.layer)]
    if mine:
        return f"flags: {len(mine)} ({digest(mine)[:12]})"
    if failed or state.get("problems"):
        return "the last visit failed"
    if limits.last is not None and settings.missing_check:
        return f"nothing looked for up to {acquisition['last_dat']} yet"
    return ""


def _failed(copied: Path) -> int:
    if not copied.exists():
        return 0
    return sum(row["status"] == "failed" for row in read_table(copied))


def _state(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.exists() else {}


def nothing(
    dat_root: str,
    acquisition: Mapping[str, Any],
    misfits: int,
    source: origin.Source | None = None,
    reason: str = "",
) -> str:
    """Say that there is no tile of the volume, and what to change.

    Parameters
    ----------
    dat_root
        Folder of the ``.dat`` files.
    acquisition
        ``acquisition`` of the config.
    misfits
        Number of files there that are no tile.
    source
        As `look` takes it.
    reason
        Why the first of the misfits is none.

    Returns
    -------
    str
        Message for a person.
    """
    limits = ", ".join(
        f"{key} {acquisition.get(key)}" for key in ("first_dat", "last_dat", "scope")
    )
    if source is not None:
        said = f", e.g. {reason}" if reason else ""
        return (
            f"transfer.source: expected {source['kind']} files of the volume in or below "
            f"{dat_root} that fit {source['pattern']!r}, found none "
            f"({misfits} that cannot be tiles{said}). Limits of acquisition: {limits}"
        )
    return (
        f"transfer.dat_root: expected .dat files of the volume in or below {dat_root}, found none "
        f"({misfits} file(s) with other names or outside of the grid), nor HDF5 files made of "
        f"such. Limits of acquisition: {limits}. While imaging goes on, the newest layer waits for "
        f"transfer.quiet_time_s unless it is whole"
    )


def chunk_digest(plan: Path, chunk: str) -> str:
    """Return the digest of a chunk's rows in the plan.

    Parameters
    ----------
    plan
        ``transfer/plan.tsv``.
    chunk
        Its name.

    Returns
    -------
    str
        Hexadecimal; empty when there is no plan, or no such chunk in it.
    """
    if not plan.exists():
        return ""
    return _digests(plan, plan.stat().st_mtime_ns).get(chunk, "")


@lru_cache(maxsize=4)
def _digests(plan: Path, _modified_ns: int) -> dict[str, str]:
    chunks = grouped(read_table(plan), "chunk")
    return {chunk: digest(rows) for chunk, rows in chunks.items()}

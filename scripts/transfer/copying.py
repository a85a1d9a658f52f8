"""Copy from the scope, such that no crash between any two steps loses a byte or a file.

Of each flagged file, in acquisition order: fetch under a temporary name, compare the size with the
scope and with the header (and a hash, if asked for), flush, rename, and only then remove the flag.
A flag that is still there is work that is still to do; there is no other memory. The `.dat` files
on the scope are never touched.
"""

from __future__ import annotations

import filecmp
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from scripts.lib.files import atomic_path, remove_partials
from scripts.lib.names import DatName, LayerName, dat_or_none
from scripts.transfer import dat, space
from scripts.transfer.dat import DatError
from scripts.transfer.flags import Flag, order
from scripts.transfer.scope import Scope, ScopeError, sha256_of

log = logging.getLogger(__name__)

COPIED_COLUMNS = ("layer_id", "tile_key", "dat", "bytes", "sha256", "status", "reason")
_MOST_FAULTS = 3  # of the connection, one after another: then the scope is taken for gone
Row = dict[str, str]


class CopyError(Exception):
    """One file that could not be copied; what is here and what is there stays as it is."""


@dataclass(frozen=True)
class CopyTask:
    """One file to fetch: where it is on the scope, how long, its flag (None: it has none)."""

    tile: DatName
    dat_name: str
    source: str
    size: int | None  # bytes; None: a flag without a file
    flag: str | None

    def target(self, dat_root: Path) -> Path:
        """Return the final path.

        Hour folders bound the number of files in each.

        Parameters
        ----------
        dat_root
            Folder of the ``.dat`` files.

        Returns
        -------
        Path
            ``<dat_root>/<yyyy>/<mm>/<dd>/<HH>/<name>``.
        """
        return dat_root / self.tile.layer.time.strftime("%Y/%m/%d/%H") / self.dat_name


@dataclass(frozen=True)
class Rules:
    """How to copy."""

    dat_root: Path
    hashed: bool = False
    max_s: float | None = None  # no file is begun later than this
    reserve_gb: float = 0


@dataclass
class Outcome:
    """What became of the tasks: a row each, those left for the next run, and general faults."""

    rows: list[Row] = field(default_factory=list)
    left: list[CopyTask] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------
# what to fetch
# ---------------------------------------------------------------------------------------------


def flagged(flags: Sequence[Flag], root: str, sizes: Mapping[str, int]) -> list[CopyTask]:
    """Return a copy task for each flag.

    Parameters
    ----------
    flags
        Keep flags, in acquisition order.
    root
        Image folder on the scope, the one above ``Y<yyyy>``.
    sizes
        Bytes by path, of the files that are there.

    Returns
    -------
    list of CopyTask
        In the order of the flags.
    """
    paths = [flag.path_below(root) for flag in flags]
    return [
        CopyTask(flag.tile, flag.dat_name, path, sizes.get(path), flag.file_name)
        for flag, path in zip(flags, paths, strict=True)
    ]


def days(first: LayerName, last: LayerName) -> list[str]:
    """Return the day folders from the day of one layer to the day after that of another.

    Parameters
    ----------
    first, last
        Layers, the first not later.

    Returns
    -------
    list of str
        ``Y<yyyy>/M<mm>/D<dd>``.
    """
    start, end = first.time.date(), last.time.date()
    count = (end - start).days + 2
    return [(start + timedelta(days=i)).strftime("Y%Y/M%m/D%d") for i in range(count)]


def missing(
    on_scope: Mapping[str, int],
    *,
    flags: Iterable[str],
    here: Mapping[str, int],
    wanted: Callable[[DatName], bool],
) -> list[CopyTask]:
    """Return a copy task per file of the scope that has neither a flag nor a whole copy here.

    Parameters
    ----------
    on_scope
        Path -> size (bytes) of the `.dat` files there.
    flags
        Names of the `.dat` files that have a flag.
    here
        Name -> size (bytes) of the `.dat` files that are here, or in HDF5 here.
    wanted
        Tells whether a tile belongs to the volume and is over: one that is being written has no
        flag yet, and is not missing.

    Returns
    -------
    list of CopyTask
        In acquisition order.
    """
    known = {name.lower() for name in flags}  # the scope's file system ignores case
    found: dict[str, CopyTask] = {}
    for path, size in sorted(on_scope.items()):
        name = Path(path).name
        tile = dat_or_none(name)
        if tile is None or name.lower() in known:
            continue
        if wanted(tile) and here.get(name) != size:
            found.setdefault(name, CopyTask(tile, name, path, size, None))
    return sorted(found.values(), key=lambda task: order(task.tile))


# ---------------------------------------------------------------------------------------------
# fetching
# ---------------------------------------------------------------------------------------------


def copy_all(
    scope: Scope,
    tasks: Sequence[CopyTask],
    rules: Rules,
    *,
    here: Mapping[str, int],
    seen: Mapping[str, int],
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Fetch files in order until the time is up; one that fails does not stop the others.

    Parameters
    ----------
    scope
        Where the files are.
    tasks
        What to fetch, in order.
    rules
        Where to, how, and how long.
    here
        Name -> size (bytes) of what is here already.
    seen
        Name -> size (bytes) of files that an earlier run found incomplete: one that has not grown
        since is as complete as it will ever be.
    clock
        Seconds that never go back.

    Returns
    -------
    Outcome
        Rows of `COPIED_COLUMNS`, one for each file that was tried.
    """
    start, outcome, faults = clock(), Outcome(), 0
    for i, task in enumerate(tasks):
        late = rules.max_s is not None and clock() - start > rules.max_s
        full = space.shortage(task.target(rules.dat_root), task.size or 0, rules.reserve_gb)
        if late or full or faults == _MOST_FAULTS:
            outcome.left = list(tasks[i:])
            break
        try:
            row = _copy(scope, task, rules, here, seen)
            faults = 0
        except (CopyError, OSError) as error:
            row = _row(task, "failed", str(error))
        except ScopeError as error:
            row, faults = _row(task, "failed", str(error)), faults + 1
        outcome.rows.append(row)
    outcome.problems += _why_left(outcome.left, rules, faults)
    return outcome


def _why_left(left: Sequence[CopyTask], rules: Rules, faults: int) -> list[str]:
    if not left:
        return []
    if faults == _MOST_FAULTS:
        return [f"{len(left)} file(s) not tried: the scope failed {faults} times in a row"]
    need = sum(task.size or 0 for task in left)
    full = space.shortage(left[0].target(rules.dat_root), left[0].size or 0, rules.reserve_gb)
    if full:
        return [f"{len(left)} file(s) of {need / space.GB:.3f} GB were left on the scope: {full}"]
    log.info("time is up: %d file(s) are left for the next run", len(left))
    return []


def _copy(
    scope: Scope,
    task: CopyTask,
    rules: Rules,
    here: Mapping[str, int],
    seen: Mapping[str, int],
) -> Row:
    if task.size is None:
        if task.dat_name not in here:
            raise CopyError(f"a flag without a file: expected {task.source} on the scope")
        # fetched by a run that ended before it could say so, and purged on the scope since
        _acknowledge(scope, task)
        return _row(task, "there", "")
    target = task.target(rules.dat_root)
    remove_partials(target)
    with atomic_path(target) as partial:
        scope.fetch(task.source, partial)
        digest = _check_whole(scope, task, partial, hashed=rules.hashed)
        reason = _incomplete(task, partial)
        if reason and seen.get(task.dat_name) != task.size:
            raise CopyError(f"{reason}; tried again in the next run")
        _check_replaces(target, partial)
    _acknowledge(scope, task)
    if reason:
        return _row(task, "broken", f"as on the scope: {reason}", digest)
    return _row(task, "copied", "", digest)


def _check_whole(scope: Scope, task: CopyTask, partial: Path, *, hashed: bool) -> str:
    """Compare a fetched file with the scope; give its hash, when it was asked for."""
    size = partial.stat().st_size
    if size != task.size:
        raise CopyError(f"expected {task.size} bytes as on the scope, fetched {size}")
    if not hashed:
        return ""
    expected, found = scope.sha256(task.source), sha256_of(partial)
    if expected != found:
        raise CopyError(f"expected SHA-256 {expected} as on the scope, fetched {found}")
    return found


def _incomplete(task: CopyTask, partial: Path) -> str:
    try:
        dat.inspect(partial)
    except DatError as error:
        return str(error).replace(partial.name, task.dat_name)
    return ""


def _check_replaces(target: Path, partial: Path) -> None:
    """Check that nothing is lost under the final name: none is there, the same, or a broken one."""
    if not target.exists() or filecmp.cmp(target, partial, shallow=False):
        return
    if dat.is_whole(target) or not dat.is_whole(partial):
        raise CopyError(
            f"expected the bytes of {target}, found others on the scope under the same name; both "
            f"are kept: move {target} away to fetch the other one"
        )


def _acknowledge(scope: Scope, task: CopyTask) -> None:
    if task.flag is not None:
        scope.remove_flag(task.flag)


def _row(task: CopyTask, status: str, reason: str, digest: str = "") -> Row:
    return {
        "layer_id": task.tile.layer.layer_id,
        "tile_key": task.tile.tile_key,
        "dat": task.dat_name,
        "bytes": "" if task.size is None else str(task.size),
        "sha256": digest,
        "status": status,
        "reason": reason and f"{task.dat_name}: {reason}",
    }

"""One visit to the scope: see what waits there, what is missing here, and fetch it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.lib.names import DatName, LayerName, dat_or_none
from scripts.transfer import copying
from scripts.transfer.copying import CopyTask, Outcome, Rules
from scripts.transfer.flags import choose, order
from scripts.transfer.layers import Limits
from scripts.transfer.lock import LockedError, locked
from scripts.transfer.scope import Scope, ScopeError, ScopeSettings, open_scope

log = logging.getLogger(__name__)
Row = dict[str, str]


@dataclass(frozen=True)
class Visit:
    """What a visit led to: one row per file ever copied or failing now, faults, and the state."""

    rows: list[Row]
    problems: list[str]
    complete: bool  # nothing waits and nothing is missing up to the last .dat

    def state(
        self, fingerprint: str, before: Mapping[str, Any], last_dat: str | None
    ) -> dict[str, Any]:
        """Return what the next reading of the workflow wants to know.

        Parameters
        ----------
        fingerprint
            Param of the job.
        before
            The state that the last visit left.
        last_dat
            End of the volume; None: imaging goes on.

        Returns
        -------
        dict
            Content of ``transfer/copy.json``.
        """
        return {
            "fingerprint": fingerprint,
            "visits": int(before.get("visits", 0)) + 1,
            "problems": self.problems,
            "complete_to": last_dat if self.complete else None,
        }


def visit(
    settings: ScopeSettings,
    limits: Limits,
    rules: Rules,
    *,
    here: Mapping[str, int],
    before: Sequence[Row],
) -> Visit:
    """Copy what waits on the scope; a fault is reported in the result, never raised.

    Parameters
    ----------
    settings
        How to reach the scope.
    limits
        Which layers belong to the volume.
    rules
        Where to copy, how, and how long.
    here
        Name -> size (bytes) of the `.dat` files that are here, or in HDF5 here.
    before
        Rows of the visits before.

    Returns
    -------
    Visit
        Rows of `copying.COPIED_COLUMNS`.
    """
    lock = Path(settings.lock) if settings.lock else rules.dat_root / ".copy.lock"
    try:
        with locked(lock):
            scope = open_scope(settings)
            tasks = copy_tasks(scope, settings, limits, here)
            seen = {row["dat"]: int(row["bytes"]) for row in before if _grows(row)}
            outcome = copying.copy_all(scope, tasks, rules, here=here, seen=seen)
    except (ScopeError, LockedError, OSError) as error:
        return Visit(list(before), [str(error)], complete=False)
    return _close(outcome, before, limits)


def _grows(row: Mapping[str, str]) -> bool:
    return row["status"] == "failed" and row["bytes"] != ""


def _close(outcome: Outcome, before: Sequence[Row], limits: Limits) -> Visit:
    left = {task.dat_name for task in outcome.left}
    # a failure of an earlier visit holds as long as its file waits
    rows = {r["dat"]: r for r in before if r["status"] != "failed" or r["dat"] in left}
    rows |= {row["dat"]: row for row in outcome.rows if row["status"] != "there"}
    failed = any(row["status"] == "failed" for row in outcome.rows)
    complete = limits.last is not None and not (failed or outcome.left or outcome.problems)
    return Visit([rows[name] for name in sorted(rows)], outcome.problems, complete)


def copy_tasks(
    scope: Scope, settings: ScopeSettings, limits: Limits, here: Mapping[str, int]
) -> list[CopyTask]:
    """Return what to fetch in order: flagged files, and missing ones without a flag.

    Parameters
    ----------
    scope
        Where the files are.
    settings
        Image folder, data set, and whether to look for missing files.
    limits
        Which layers belong to the volume.
    here
        Name -> size (bytes) of the ``.dat`` files that are here, or in HDF5 here.

    Returns
    -------
    list of CopyTask
        In acquisition order.
    """
    flags, strange = choose(scope.flag_names(), settings.data_set_id)
    if strange:
        log.warning("%d file(s) that are no keep flags, e.g. %s", len(strange), strange[0])
    mine = [flag for flag in flags if limits.hold(flag.tile.layer)]
    paths = [flag.path_below(settings.root_dat_path) for flag in mine]
    tasks = copying.flagged(mine, settings.root_dat_path, scope.sizes(paths) if paths else {})
    if settings.missing_check:
        tasks += _missing(scope, limits, tasks, here)
    log.info("%d flags of the volume, %d files to fetch", len(mine), len(tasks))
    return sorted(tasks, key=lambda task: order(task.tile))


def _missing(
    scope: Scope, limits: Limits, tasks: Sequence[CopyTask], here: Mapping[str, int]
) -> list[CopyTask]:
    tiles = [task.tile for task in tasks]
    tiles += [tile for name in here if (tile := dat_or_none(name)) and limits.hold(tile.layer)]
    over = max((order(tile) for tile in tiles), default=None)
    first = limits.first or min((t.layer for t in tiles), key=_order, default=None)
    last = limits.last or max((t.layer for t in tiles), key=_order, default=None)
    if first is None or last is None or not (limits.last or tasks):
        return []

    def wanted(tile: DatName) -> bool:
        is_over = limits.last is not None or (over is not None and order(tile) < over)
        return limits.hold(tile.layer) and is_over

    names = [task.dat_name for task in tasks]
    on_scope = scope.dats(copying.days(first, last))
    return copying.missing(on_scope, flags=names, here=here, wanted=wanted)


def _order(layer: LayerName) -> tuple[str, str]:
    return layer.order

"""Pairs and attempts as rows of text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from scripts.lib.service.records import TileSpec
from scripts.match.pairs import Pair
from scripts.match.stages import Attempt

PAIR_COLUMNS = ("p_group", "p_id", "q_group", "q_id", "dz", "p_position", "q_position")
KEY = PAIR_COLUMNS[:4]
RESULT_COLUMNS = (
    *KEY,
    "run",
    "dz",
    "p_cell",
    "q_cell",
    "stage",
    "saved",
    "count",
    "rms_px",
    "coverage_pct",
    "reason",
)

# results, what they are made of, and what they cost: beside the results, since seconds differ
TIMING_COLUMNS = (*RESULT_COLUMNS, "asked", "made_of", "cpu_s")


def pair_row(pair: Pair) -> dict[str, Any]:
    """Return the row of a pair.

    Parameters
    ----------
    pair
        a pair.

    Returns
    -------
    dict
        `PAIR_COLUMNS`; dz in layers.
    """
    return {name: getattr(pair, name) for name in PAIR_COLUMNS}


def read_pair(row: Mapping[str, str]) -> Pair:
    """Read the row of a pair.

    Parameters
    ----------
    row
        `PAIR_COLUMNS`, as text.

    Returns
    -------
    Pair
        The pair.
    """
    return Pair(**{**row, "dz": int(row["dz"])})  # type: ignore[arg-type]


def result_row(attempt: Attempt, run: str, tiles: Mapping[str, TileSpec]) -> dict[str, Any]:
    """Return the row of an attempted pair; figures are empty where no stage saved it.

    Parameters
    ----------
    attempt
        a pair after its stages.
    run
        Name of the run.
    tiles
        Tile specs by tile id.

    Returns
    -------
    dict
        `RESULT_COLUMNS`; rms in full-scale px, cells as ``row,column``.
    """
    pair, out = attempt.pair, attempt.outcome
    saved = attempt.matches is not None
    return {
        "p_group": pair.p_group,
        "p_id": pair.p_id,
        "q_group": pair.q_group,
        "q_id": pair.q_id,
        "run": run,
        "dz": pair.dz,
        "p_cell": _cell(tiles[pair.p_id]),
        "q_cell": _cell(tiles[pair.q_id]),
        "stage": attempt.stage,
        "saved": saved,
        "count": len(out.p) if saved and out.p is not None else 0,
        "rms_px": _figure(out.rms_px, 3) if saved else None,
        "coverage_pct": _figure(out.coverage_pct, 1) if saved else None,
        "reason": attempt.reason,
    }


def key(row: Mapping[str, str]) -> tuple[str, str, str, str]:
    """Return the key of a pair in the collection.

    Parameters
    ----------
    row
        Of any table with the columns of a pair.

    Returns
    -------
    tuple of str
        p group, p id, q group, q id.
    """
    return row["p_group"], row["p_id"], row["q_group"], row["q_id"]


def p_groups(pairs: Iterable[Pair]) -> list[str]:
    """Return the distinct p groups.

    Parameters
    ----------
    pairs
        In any order.

    Returns
    -------
    list of str
        Section ids in text order.
    """
    return sorted({pair.p_group for pair in pairs})


def _cell(tile: TileSpec) -> str:
    return f"{tile.row},{tile.column}"


def _figure(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)

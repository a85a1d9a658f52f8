"""The gate after transfer: what must be mended, in words, before layers are built upon."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.lib.files import digest

Row = Mapping[str, str]
_MOST_NAMED = 20  # lines of one kind in a message


@dataclass(frozen=True)
class Allowed:
    """How many unreadable tiles a volume may have: as a share of all, and in number (None: any)."""

    share: float
    count: int | None


def faults(
    layers: Sequence[Row],
    misfits: Sequence[Row],
    copy_problems: Sequence[str],
    quarantine: Sequence[Row],
    allowed: Allowed,
) -> list[str]:
    """Return what keeps the gate shut.

    Parameters
    ----------
    layers
        Rows of ``transfer/layers.tsv``.
    misfits
        Rows of ``transfer/misfits.tsv``.
    copy_problems
        What went wrong on the scope.
    quarantine
        Rows of ``transfer/quarantine.tsv``.
    allowed
        How many tiles may be unreadable.

    Returns
    -------
    list of str
        A paragraph per kind; [] when it is open.
    """
    failed = [f"{r['layer_id']}: {r['message']}" for r in layers if r["status"] == "failed"]
    strange = [f"{row['dat']}: {row['reason']}" for row in misfits if row["reason"]]
    bad = sum(int(row["bad"]) for row in layers)
    tiles = bad + sum(int(row["tiles"]) for row in layers)
    few = too_many(bad, tiles, allowed)
    return [
        *_paragraph(f"{len(copy_problems)} problem(s) on the scope:", copy_problems),
        *_paragraph(f"{len(failed)} layer(s) failed; the others are done:", failed),
        *_paragraph(f"{len(strange)} .dat file(s) do not fit:", strange),
        *(_paragraph(f"{few}:", [row["reason"] for row in quarantine]) if few else []),
    ]


def too_many(bad: int, tiles: int, allowed: Allowed) -> str:
    """Say that more tiles cannot be read than a volume may have, with the lines that allow it.

    Parameters
    ----------
    bad
        Tiles that cannot be read.
    tiles
        All tiles.
    allowed
        How many may be unreadable.

    Returns
    -------
    str
        Empty where they are few enough.
    """
    limit = allowed.share * tiles
    limit = limit if allowed.count is None else min(limit, allowed.count)
    if bad <= limit:
        return ""
    wanted = {}
    if bad > allowed.share * tiles:
        wanted["max_bad_share"] = f"{min(1.0, math.ceil(1000 * bad / tiles) / 1000):g}"
    if allowed.count is not None and bad > allowed.count:
        wanted["max_bad_tiles"] = str(bad)
    keys = ", ".join(f"{key}: {value}" for key, value in wanted.items())
    return (
        f"{bad} of {tiles} tiles cannot be read; transfer.max_bad_share {allowed.share:g} and "
        f"transfer.max_bad_tiles {'null' if allowed.count is None else allowed.count} allow "
        f"{int(limit)}. Mend them, or go on with holes (transfer: {{{keys}}})"
    )


def _paragraph(head: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    rest = len(lines) - _MOST_NAMED
    shown = [*lines[:_MOST_NAMED], *([f"and {rest} more"] if rest > 0 else [])]
    return ["\n  ".join([head, *shown])]


def receipt(layers: Sequence[Row]) -> dict[str, Any]:
    """Return the figures of a transfer that passed.

    Parameters
    ----------
    layers
        Rows of ``transfer/layers.tsv``.

    Returns
    -------
    dict
        Numbers of layers and of tiles, and of layers by status; the digest of a foreign source.
    """
    states = ("ok", "partial", "empty")
    sources = [row["source_sha256"] for row in layers if "source_sha256" in row]
    of_sources = {"source_sha256": digest(sources)} if sources else {}
    return of_sources | {
        "layers": len(layers),
        "tiles": sum(int(row["tiles"]) for row in layers),
        "bad": sum(int(row["bad"]) for row in layers),
        "status": {state: sum(row["status"] == state for row in layers) for state in states},
    }

"""What the header fields of a volume say: constants, where they changed, and ranges of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.ingest.header_fields import CONSTANTS, PLOTS, UNITS
from scripts.ingest.header_table import HeaderTable
from scripts.lib.arrays import Array, Bool

Json = dict[str, Any]
MOST_CHANGES = 100  # listed per field; the number of all is given


def summarise(table: HeaderTable) -> Json:
    """Return the figures of the page; z in layers, values in the unit given beside them.

    Parameters
    ----------
    table
        Headers of all tiles.

    Returns
    -------
    dict
        JSON values of ``metadata.json``.
    """
    changes = {name: found for name in CONSTANTS if (found := changes_of(table, name))}
    return {
        "tiles": len(table),
        "layers": len(np.unique(table.z)),
        "z": [int(table.z.min()), int(table.z.max())] if len(table) else None,
        "constants": [one for name in CONSTANTS if (one := _constant(table, name))],
        "changed": [
            {"field": name, "count": len(found), "changes": found[:MOST_CHANGES]}
            for name, found in changes.items()
        ],
        "varying": [
            one for plot in PLOTS for name in plot.fields if (one := _varying(table, name))
        ],
        "unreadable": table.unreadable,
        "unlisted": table.unlisted,
    }


def changes_of(table: HeaderTable, name: str) -> list[Json]:
    """Return z, tiles (row-column), value before and after, wherever a tile's value changed.

    A tile is compared with the tile of the same cell in the last layer that has one, so that tiles
    of permanently different sizes are no change. Tiles of a layer with the same change are one.

    Parameters
    ----------
    table
        Headers of all tiles.
    name
        A field.

    Returns
    -------
    list of dict
        ``z``, ``from``, ``to``, ``tiles`` of each change, in order of z; texts, empty where there
        is none.
    """
    codes = table.codes(name)
    found: dict[tuple[int, str, str], list[str]] = {}
    for cell in np.unique(table.cell).tolist():
        mine = np.flatnonzero(table.cell == cell)
        before, after = codes[mine[:-1]], codes[mine[1:]]
        differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
        for k in np.flatnonzero(differs).tolist():
            texts = table.shown(name, before[k]), table.shown(name, after[k])
            found.setdefault((int(table.z[mine[k + 1]]), *texts), []).append(cell)
    return [
        {"z": z, "from": a, "to": b, "tiles": cells}
        for (z, a, b), cells in sorted(found.items(), key=lambda item: item[0][0])
    ]


def _constant(table: HeaderTable, name: str) -> Json | None:
    """Return the values of a constant, the most frequent first; None when no header has it."""
    codes = table.codes(name)
    values, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    if not len(values):
        return None
    order = np.argsort(-counts, kind="stable")[:10]
    texts = [table.shown(name, value) for value in values[order]]
    return {"field": name, "unit": UNITS[name], "values": texts, "count": len(values)}


def _varying(table: HeaderTable, name: str) -> Json | None:
    values = table.number(name)
    finite = np.isfinite(values)
    if not finite.any():
        return None
    low, high = int(np.nanargmin(_only(values, finite))), int(np.nanargmax(_only(values, finite)))
    return {
        "field": name,
        "unit": UNITS[name],
        "min": float(values[low]),
        "median": float(np.median(values[finite])),
        "max": float(values[high]),
        "z_min": int(table.z[low]),
        "z_max": int(table.z[high]),
        "by_tile": differs_in_layer(table, values),
    }


def _only(values: Array, mask: Bool) -> Array:
    return np.where(mask, values, np.nan)


def differs_in_layer(table: HeaderTable, values: Array) -> bool:
    """Tell whether tiles of one layer have different values anywhere.

    Parameters
    ----------
    table
        Headers of all tiles.
    values
        (n,) numbers of a field.

    Returns
    -------
    bool
        False where all are equal; NaN equals NaN.
    """
    same_layer = table.z[1:] == table.z[:-1]
    differs = (values[1:] != values[:-1]) & ~(np.isnan(values[1:]) & np.isnan(values[:-1]))
    return bool((same_layer & differs).any())


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """Return in words which constants changed, and where.

    Parameters
    ----------
    summary
        As `summarise` gives it.

    Returns
    -------
    list of str
        One line per field.
    """
    return [_warning(one) for one in summary["changed"]]


def _warning(one: Mapping[str, Any]) -> str:
    changes: Sequence[Mapping[str, Any]] = one["changes"]
    places = ", ".join(
        f"z {c['z']} ({c['from'] or 'none'} → {c['to'] or 'none'})" for c in changes[:5]
    )
    more = f" and {one['count'] - 5} more" if one["count"] > 5 else ""
    return f"{one['field']} changed at {places}{more}"

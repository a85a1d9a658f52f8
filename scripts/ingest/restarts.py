"""Restarts of the microscope: layers before which something changed.

A restart is a long gap in time, another number of tiles, or a changed header field of a grid cell,
each cell compared with itself in the last layer that has it (so that tiles of permanently different
sizes, or a quarantined tile, are no restart).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.ingest.align import CHECKED
from scripts.ingest.headers import Part, Prior
from scripts.lib.arrays import Bool
from scripts.lib.files import read_table

COLUMNS = ("z", "reason")
GROUP = "restart"
Row = Mapping[str, str]


class Watch:
    """Collects changed header fields while the tiles of the volume pass by, then says the restarts.

    Parameters
    ----------
    pixel_tolerance_nm
        Least change of the pixel size that counts, nm.
    """

    def __init__(self, pixel_tolerance_nm: float = 0.01) -> None:
        self._tolerance_nm = pixel_tolerance_nm
        self._changed: dict[int, str] = {}

    def over(self, days: Iterable[tuple[Part, Prior]]) -> Iterator[tuple[Part, Prior]]:
        """Pass the tiles on and note their changes.

        Parameters
        ----------
        days
            Parts in order of z, with their prior tiles.

        Yields
        ------
        tuple
            What `days` gives.
        """
        for part, prior in days:
            self._changed |= _header_changes(part, prior, self._tolerance_nm)
            yield part, prior

    def found(self, layers: Sequence[Row], max_gap_s: float = 900) -> dict[int, str]:
        """Return z -> reason of every layer with tiles that follows a restart.

        Reasons, the first that holds: ``change_tile_count``, ``acquisition_delay``,
        ``change_header_<field>``.

        Parameters
        ----------
        layers
            The layer table.
        max_gap_s
            Longest time between two layers that is no restart, s.

        Returns
        -------
        dict
            z ascending; the first layer with tiles is no restart.
        """
        found = self._changed | _breaks(layers, max_gap_s)
        first = min((int(row["z"]) for row in layers if _has_tiles(row)), default=0)
        return {z: found[z] for z in sorted(found) if z > first}


def rows(found: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the rows of `ingest/restarts.tsv`.

    Parameters
    ----------
    found
        z -> reason.

    Returns
    -------
    list of dict
        Rows of `COLUMNS`.
    """
    return [{"z": z, "reason": reason} for z, reason in found.items()]


def read(path: str | Path) -> dict[int, str]:
    """Read ``ingest/restarts.tsv``.

    Parameters
    ----------
    path
        The table.

    Returns
    -------
    dict
        z -> reason.
    """
    return {int(row["z"]): row["reason"] for row in read_table(path)}


def groups(layers: Sequence[Row], found: Mapping[int, str]) -> set[int]:
    """Return z of the layers of group "restart": restart layers and the layer with tiles before.

    Parameters
    ----------
    layers
        The layer table.
    found
        z -> reason of the restarts.

    Returns
    -------
    set of int
        z.
    """
    values = [int(row["z"]) for row in layers if _has_tiles(row)]
    before = {b for b, after in zip(values, values[1:], strict=False) if after in found}
    return before | set(found)


def spans(found: Iterable[int], context_layers: int) -> list[tuple[int, int]]:
    """Return first and last z of the layers within `context_layers` of a restart, joined.

    Parameters
    ----------
    found
        z of the restarts.
    context_layers
        Layers before and after each.

    Returns
    -------
    list of tuple
        Both included; z may lie outside of the volume.
    """
    out: list[tuple[int, int]] = []
    for z in sorted(found):
        first, last = z - context_layers, z + context_layers
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], last)
        else:
            out.append((first, last))
    return out


def _has_tiles(row: Row) -> bool:
    return row["status"] != "gap"


def _breaks(layers: Sequence[Row], max_gap_s: float) -> dict[int, str]:
    found = {}
    late, acquired = False, ""
    for row in layers:
        # all of the gap, days included; a delay before a lost layer shows in the next one
        late |= row["gap_before_s"] != "" and float(row["gap_before_s"]) > max_gap_s
        if not _has_tiles(row):
            continue
        if acquired not in ("", row["acquired"]):
            found[int(row["z"])] = "change_tile_count"
        elif late:
            found[int(row["z"])] = "acquisition_delay"
        late, acquired = False, row["acquired"]
    return found


def _header_changes(part: Part, prior: Prior, tolerance_nm: float) -> dict[int, str]:
    names = list(CHECKED)
    differs = np.array(
        [_differs(part.tiles[c], prior.tiles[c], c, tolerance_nm) for c in CHECKED.values()]
    )
    differs &= prior.z > 0
    found: dict[int, str] = {}
    for index in np.flatnonzero(differs.any(axis=0)):
        reason = f"change_header_{names[int(differs[:, index].argmax())].lower()}"
        found.setdefault(int(part.z[index]), reason)
    return found


def _differs(
    new: NDArray[np.generic], old: NDArray[np.generic], column: str, tolerance_nm: float
) -> Bool:
    if new.dtype.kind != "f":
        return np.asarray(new != old)
    if column == "pixel_nm":
        return np.asarray(np.abs(np.subtract(new, old)) >= tolerance_nm)
    # NaN is equal to NaN here: an unset field did not change
    return np.asarray((new != old) & ~(np.isnan(new) & np.isnan(old)))

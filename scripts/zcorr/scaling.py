"""Distances of layers that a person knows better: ``zcorr.scale_z``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.zcorr import zcoords


def scaled(text: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Multiply the distances within ranges of layers; both ends keep their z.

    Parameters
    ----------
    text
        Of ``Zcoords.txt``.
    entries
        ``zcorr.scale_z``: z_first, z_last (inclusive, open where absent), factor.

    Returns
    -------
    str
        Of ``Zcoords.txt``. A distance belongs to a range when both of its layers do; where ranges
        overlap their factors are multiplied.
    """
    rows = np.array([line.split() for line in text.splitlines()], float).reshape(-1, 2)
    z, corrected = rows[:, 0], rows[:, 1]
    step = np.diff(corrected)
    for entry in entries:
        first, last = entry.get("z_first", -np.inf), entry.get("z_last", np.inf)
        inside = (z >= first) & (z <= last)
        step[inside[1:] & inside[:-1]] *= entry["factor"]
    length = step.sum()
    if length > 0:
        step *= (corrected[-1] - corrected[0]) / length
    moved = corrected[:1].tolist() + (corrected[0] + np.cumsum(step)).tolist()
    return zcoords.to_text(np.rint(z).astype(np.int64), np.array(moved))

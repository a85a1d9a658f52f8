"""Pictures of layers that do not fit, each between its neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from scripts.lib.pages import pictures
from scripts.lib.pages.pictures import Shown

_MOST = 12  # layers shown; the table of qc.json names all
_SIDE = 240  # px; three fit beside each other


@dataclass(frozen=True)
class Strip:
    """A layer and its neighbours."""

    words: str
    shown: tuple[Shown, ...]


def of(
    layers: Sequence[Mapping[str, Any]], kept: Iterable[Mapping[str, NDArray[Any]]]
) -> list[Strip]:
    """Return strips of the worst layers, in order of z; `kept` are chunks of small layers.

    Parameters
    ----------
    layers
        Rows of `qc.rows`.
    kept
        ``z`` (n,) and ``pixels`` (n, h, w) uint8 of each chunk.

    Returns
    -------
    list of Strip
        At most `_MOST`, layers and neighbours that were kept.
    """
    bad = [row for row in layers if row["problem"] and row["cc_next"] is not None]
    worst = sorted(sorted(bad, key=lambda row: row["cc_next"])[:_MOST], key=lambda row: row["z"])
    wanted = {row["z"] + d for row in worst for d in (-1, 0, 1)}
    small = _small(kept, wanted)
    return [
        Strip(
            f"z {row['z']}: {row['problem']}",
            tuple(small[z] for z in range(row["z"] - 1, row["z"] + 2) if z in small),
        )
        for row in worst
    ]


def _small(kept: Iterable[Mapping[str, NDArray[Any]]], wanted: set[int]) -> dict[int, Shown]:
    out = {}
    for chunk in kept:
        here = [(i, int(z)) for i, z in enumerate(chunk["z"]) if int(z) in wanted]
        if here:
            pixels = chunk["pixels"]  # read and unpacked at each access of the file
            shrunk = {z: pictures.shrink(pixels[i], _SIDE) for i, z in here}
            out.update({z: pictures.shown(small, f"z {z}") for z, small in shrunk.items()})
    return out

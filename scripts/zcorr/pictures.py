"""Pictures of layers that do not fit, each between its neighbours."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
from numpy.typing import NDArray

from scripts.lib.arrays import Bytes

_MOST = 12  # layers shown; the table of qc.json names all
_SIDE = 240  # px; three fit beside each other


@dataclass(frozen=True)
class Strip:
    """A layer and its neighbours."""

    z: int
    words: str
    shown: tuple[tuple[int, str], ...]  # z, PNG in base64


def of(
    layers: Sequence[Mapping[str, Any]], kept: Iterable[Mapping[str, NDArray[Any]]]
) -> list[Strip]:
    """Return strips of the worst layers, in order of z; `kept` are chunks of small layers."""
    bad = [row for row in layers if row["problem"] and row["cc_next"] is not None]
    worst = sorted(sorted(bad, key=lambda row: row["cc_next"])[:_MOST], key=lambda row: row["z"])
    wanted = {row["z"] + d for row in worst for d in (-1, 0, 1)}
    small = _small(kept, wanted)
    return [
        Strip(
            row["z"],
            row["problem"],
            tuple((z, small[z]) for z in range(row["z"] - 1, row["z"] + 2) if z in small),
        )
        for row in worst
    ]


def _small(kept: Iterable[Mapping[str, NDArray[Any]]], wanted: set[int]) -> dict[int, str]:
    out = {}
    for chunk in kept:
        here = [(i, int(z)) for i, z in enumerate(chunk["z"]) if int(z) in wanted]
        if here:
            pixels = chunk["pixels"]  # read and unpacked at each access of the file
            out.update({z: _png(pixels[i]) for i, z in here})
    return out


def _png(pixels: Bytes) -> str:
    factor = min(1.0, _SIDE / max(pixels.shape))
    h, w = (max(1, round(n * factor)) for n in pixels.shape)
    small = cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".png", small)
    return base64.b64encode(data.tobytes()).decode()

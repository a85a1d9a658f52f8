"""What a step may look at besides the tiles, and what it gives back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib import files

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Evidence:
    """Facts of the acquisition, and files that other jobs left."""

    pixel_nm: float
    z_nm: float
    levels: Path | None = None  # correct/levels.npz: of layers, for step intensity
    maps: tuple[Path, ...] = ()  # correct/maps/{chunk}.npz: of tiles, in order, for the same
    sixteen_bit: Path | None = None  # correct/16bit.npz, where that step came before
    raw_plan: tuple[Any, ...] = ()  # of step 16bit: its files, `sixteen_bit.Raw`


@dataclass(frozen=True)
class Found:
    """What a step found: figures that a person reads, and tables of one row per layer or tile."""

    parameters: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict)


def save_arrays(path: str | Path, arrays: Arrays) -> None:
    """Write arrays as .npz, atomically; equal arrays give equal bytes.

    Parameters
    ----------
    path
        File to write.
    arrays
        By name.
    """
    out = io.BytesIO()
    np.savez_compressed(out, **dict(arrays))  # type: ignore[arg-type]
    files.write_bytes(path, out.getvalue())


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote.

    Parameters
    ----------
    path
        File to read; it is closed again.

    Returns
    -------
    dict
        Arrays by name.
    """
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}

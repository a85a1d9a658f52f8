"""What a step may look at besides the tiles, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

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

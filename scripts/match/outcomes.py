"""What a way to match found of one pair."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.lib.arrays import Array

SIFT_WEIGHT = 1.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a stage found: points (n, 2) in full-scale matching frames, or why it found none."""

    reason: str = ""  # empty when it saves
    p: Array | None = None
    q: Array | None = None
    weight: float | Array = SIFT_WEIGHT  # one for all, or (n,)
    rms_px: float = float("nan")  # of the stage's model, full scale
    coverage_pct: float = float("nan")

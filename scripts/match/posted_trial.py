"""A match trial that somebody asked the service for: one stage on one pair, JSON in and JSON out.

``render_ws`` starts this module as a process of its own for
``POST …/matchTrial``: what is tried is the stage that jobs run, and a process can be stopped.

Standard input: ``tiles`` (render's ResolvedTileSpecCollection with the two tiles), ``p`` and ``q``
(their ids), ``p_position`` (side of the pair on which p lies; empty: not clipped) and ``stage``
(a stage as in a stage table). Standard output: ``matches`` and ``stats``. What is wrong with a
request goes to standard error in a line, with exit code 2.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import cv2
import numpy as np
import orjson

from scripts.lib.job import UserError
from scripts.lib.service.records import TileSet
from scripts.match import presets, stages
from scripts.match.canvases import Canvases
from scripts.match.pairs import Pair
from scripts.match.presets import Stage

MAX_CANVAS_PX = 1 << 23  # of one tile: features take 330 bytes a pixel (`Canvases`)
OPPOSITE = {"": "", "LEFT": "RIGHT", "RIGHT": "LEFT", "TOP": "BOTTOM", "BOTTOM": "TOP"}
_REFUSED = 2
_BUDGET_MB = 1000.0

T = TypeVar("T")


def tried(request: Mapping[str, Any]) -> dict[str, Any]:
    """Match a pair as the request says.

    Parameters
    ----------
    request
        As the module's docstring has it.

    Returns
    -------
    dict
        ``matches``: a list of one record with p and q (2, n) in full-scale px of the matching
        frames and w (n,), empty when the stage does not save the pair; ``stats``: numbers of
        features, of inliers, CPU milliseconds, standard deviations of the matches' displacements in
        px, coverage in per cent, and ``reason``, why the pair is not saved.

    Raises
    ------
    UserError
        When the stage is no stage, or a canvas would be too large.
    """
    tiles = TileSet.from_json(request["tiles"])
    table = {"name": "of the request", "runs": {"trial": {"stages": [request["stage"]]}}}
    (stage,) = presets.read_run(table, "trial").stages
    at = str(request.get("p_position") or "")
    pair = Pair("p", request["p"], "q", request["q"], _distance(tiles), at, OPPOSITE[at])
    canvases = Canvases(tiles, budget_mb=_BUDGET_MB)
    for tile, position in ((pair.p_id, pair.p_position), (pair.q_id, pair.q_position)):
        _check_size(canvases, tile, stage, position)
    return _answer(pair, stage, canvases)


def _distance(tiles: TileSet) -> int:
    z = [tile.z for tile in tiles.tiles]
    return round(max(z) - min(z))


def _check_size(canvases: Canvases, tile_id: str, stage: Stage, position: str) -> None:
    area = canvases.area_px(tile_id, stage, position) * stage.render.scale**2
    if area > MAX_CANVAS_PX:
        raise UserError(
            f"tile {tile_id} at scale {stage.render.scale:g} has {area:,.0f} px, a trial takes"
            f" {MAX_CANVAS_PX:,} at most: ask for a smaller scale, or clip the tiles"
        )


def _answer(pair: Pair, stage: Stage, canvases: Canvases) -> dict[str, Any]:
    stats: dict[str, Any] = {}
    for side, tile, at in (("p", pair.p_id, pair.p_position), ("q", pair.q_id, pair.q_position)):
        canvas, spent = _timed(functools.partial(canvases.get, tile, stage, at))
        stats[f"{side}FeatureCount"] = len(canvas.features.xy)
        stats[f"{side}FeatureDerivationMilliseconds"] = spent
    attempt, spent = _timed(lambda: stages.match_pair(pair, [stage], canvases))
    found, stats["matchDerivationMilliseconds"] = attempt.matches, spent
    if found is None:
        return {
            "matches": [],
            "stats": {**stats, "consensusSetSizes": [], "reason": attempt.reason},
        }
    moved = found.q - found.p
    stats["consensusSetSizes"] = [len(moved)]
    for axis, spread in zip("XY", moved.std(axis=0), strict=True):
        stats[f"consensusSetDelta{axis}StandardDeviations"] = [float(spread)]
        stats[f"aggregateDelta{axis}StandardDeviation"] = float(spread)
    stats["coveragePercentage"] = attempt.outcome.coverage_pct
    # contiguous, as orjson takes them
    matches = {"p": found.p.T.copy(), "q": found.q.T.copy(), "w": np.ascontiguousarray(found.w)}
    return {"matches": [matches], "stats": stats}


def _timed(call: Callable[[], T]) -> tuple[T, int]:
    start = time.process_time()
    value = call()
    return value, round(1000 * (time.process_time() - start))


def main() -> int:
    """Answer the request on standard input.

    Returns
    -------
    int
        Exit code: 0, or 2 for a request that is refused.
    """
    cv2.setNumThreads(1)
    try:
        out = tried(orjson.loads(sys.stdin.buffer.read()))
    except (UserError, ValueError, OSError) as error:
        sys.stderr.write(" ".join(str(error).split()))
        return _REFUSED
    sys.stdout.buffer.write(orjson.dumps(out, option=orjson.OPT_SERIALIZE_NUMPY))
    return 0


if __name__ == "__main__":
    sys.exit(main())

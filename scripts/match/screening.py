"""Whether a pair that a stage failed is worth a stage that costs seconds.

Features are sought in all pixels of a canvas and each is compared with all of the other's: on large
tiles the last stages take a minute for a pair. Tissue is alike at low scale too, where all of this
takes a tenth of a second: the reference begins at a twentieth of the resolution. So a stage whose
predicted cost is beyond its budget is asked only when a look at low scale finds more agreeing
features than chance would.

The cost is predicted from areas, not measured: what becomes of a pair must not depend on the speed
of a machine.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import special  # scipy.stats takes half a second more to import

from scripts.lib.numerics.models import MODELS
from scripts.match import ransac, sift
from scripts.match.canvases import Canvas, Canvases
from scripts.match.pairs import Pair
from scripts.match.presets import Stage

# CPU s on FIB-25 at 8 nm: make bench, test_bench_realsize, 2026-11
FEATURES_S_PER_MPX = 0.6
COMPARING_S_PER_MPX2 = 0.9
LOOK_MPX = 0.25  # of a canvas at low scale, at most: some 500 features of tissue
LEAST_EPSILON_PX = 2.0  # canvas px: a feature is not placed better at low scale
LOG10_CHANCE = -2.0  # that unrelated tiles are taken for related: it costs time, nothing else


def objection(pair: Pair, stage: Stage, canvases: Canvases) -> str:
    """Object to a stage that costs too much for a pair that shows nothing at low scale.

    Parameters
    ----------
    pair
        A pair that an earlier stage failed.
    stage
        The next one.
    canvases
        What the tiles of the job are drawn with.

    Returns
    -------
    str
        Why the stage is not asked; empty when it is.
    """
    if stage.max_cpu_s is None or stage.method != "sift":
        return ""
    areas = [
        canvases.area_px(tile, stage, position) / 1e6
        for tile, position in ((pair.p_id, pair.p_position), (pair.q_id, pair.q_position))
    ]
    scale = math.sqrt(LOOK_MPX / max(areas))
    if cost_s(stage, *areas) <= stage.max_cpu_s or scale >= stage.render.scale:
        return ""
    render = replace(stage.render, scale=scale, with_filter=False)
    low = replace(stage, render=render, min_correlation=None)
    p = canvases.get(pair.p_id, low, pair.p_position)
    q = canvases.get(pair.q_id, low, pair.q_position)
    count, agreeing, log10_chance = _look(low, p, q)
    if log10_chance < LOG10_CHANCE:
        return ""
    return f"unlike({agreeing} of {count} at scale {scale:.3g})"


def cost_s(stage: Stage, p_mpx: float, q_mpx: float) -> float:
    """Predict what a stage costs for a pair whose tiles hold tissue all over.

    Parameters
    ----------
    stage
        A stage of features.
    p_mpx, q_mpx
        Area of the two tiles that it looks at, full-scale Mpx.

    Returns
    -------
    float
        CPU s.
    """
    p, q = (area * stage.render.scale**2 for area in (p_mpx, q_mpx))
    return FEATURES_S_PER_MPX * (p + q) + COMPARING_S_PER_MPX2 * p * q


def _look(stage: Stage, p: Canvas, q: Canvas) -> tuple[int, int, float]:
    """Return candidates, how many agree, and log10 of the chance that as many of them do."""
    chosen = sift.candidates(p.features, q.features, stage.rod)
    epsilon = max(stage.consensus.epsilon_px * stage.render.scale, LEAST_EPSILON_PX)
    how = replace(stage.consensus, epsilon_px=epsilon, min_inliers=1, min_inlier_ratio=0.0)
    places = p.features.xy[chosen[:, 0]], q.features.xy[chosen[:, 1]]
    found = ransac.single_set(*places, how, ransac.generator("look"))
    count, sample = len(chosen), MODELS[how.model].minimum
    if found.most <= sample:
        return count, found.most, 0.0
    # any other candidate agrees by chance; and each sample of them is a model to agree with
    expected = (count - sample) * math.pi * epsilon**2 / (q.shape[0] * q.shape[1])
    with np.errstate(divide="ignore"):  # less than a double holds: impossible
        chance = np.log(special.pdtrc(found.most - sample - 1, expected)) / math.log(10)
    return count, found.most, float(chance) + math.log10(math.comb(count, sample))

"""Stage tables: which tiles are compared and how.

A table is a mapping with ``name``, ``max_tile_px`` (null: any size), ``common`` (fields of every
stage) and ``runs``; a run has ``pairs`` (derivation), ``common`` and ``stages``, applied in order.
Field names are those of the reference's stage files (`MultiStagePointMatchClient` of render), so
that a table can be compared with its source. What each field may hold says
``config/match_stages.schema.yaml``; none is ignored (`stage_files` reads and checks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scripts.lib.schema import refuse
from scripts.match.descriptors import Blobs, Neighborhood
from scripts.match.levels import BlockParams
from scripts.match.pairs import Rules
from scripts.match.ransac import Consensus
from scripts.match.sift import Extraction
from scripts.match.stage_files import SCHEMA, SHAPE, Json, method, part, stages, wrong


@dataclass(frozen=True)
class Rendering:
    """How a canvas is drawn [featureRender]."""

    scale: float = 1.0
    with_filter: bool = True
    without_mask: bool = True
    mask_min_x: float | None = None
    mask_min_y: float | None = None


@dataclass(frozen=True)
class Clip:
    """Part of a canvas that is used in a pair of one layer, full-scale px [featureRenderClip]."""

    width: float | None = None
    height: float | None = None
    overlap_margin: float | None = None  # px around the overlap of the two world boxes


@dataclass(frozen=True)
class Descriptors:
    """A stage's geometric descriptors, and the limits they serve [geometricDescriptorAndMatch]."""

    render: Rendering
    blobs: Blobs = Blobs(dark=True)  # lengths in px of its own canvas
    neighborhood: Neighborhood = Neighborhood()
    consensus: Consensus = Consensus()  # epsilon in full-scale px
    filter: str = "SINGLE_SET"
    block_radius_px: float | None = None  # full scale, around SIFT inliers [fullScaleBlockRadius]
    weight: float = 1.0  # [gdStoredMatchWeight]
    min_combined_inliers: int | None = None
    min_combined_coverage: float | None = None
    regardless_of_sift: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of a run."""

    name: str
    method: str = "sift"
    render: Rendering = Rendering()
    clip: Clip = Clip()
    extraction: Extraction = Extraction()
    block: BlockParams = BlockParams()
    rod: float = 0.92
    search_radius_px: float | None = None  # around the place the stage positions predict
    filter: str = "SINGLE_SET"
    consensus: Consensus = Consensus()  # epsilon in full-scale px
    coverage_radius_px: float = 300.0
    min_coverage: float | None = None
    min_correlation: float | None = None  # of the pixels of the overlap under the model
    descriptors: Descriptors | None = None
    max_neighbor_distance: int | None = None
    max_cpu_s: float | None = None  # predicted, for a pair that shows nothing at low scale
    max_points: int = 100  # of a pair that are kept
    start_position_weight: float | None = None


@dataclass(frozen=True)
class Run:
    """Which tiles a run compares, and how."""

    rules: Rules
    stages: tuple[Stage, ...]


def choose(tables: Sequence[Json], tile_side_px: float) -> Json:
    """Return the first table meant for tiles of this longer side, else the last.

    Parameters
    ----------
    tables
        At least one, in order of preference; ``max_tile_px`` null is any size.
    tile_side_px
        Longer side of the largest tile.

    Returns
    -------
    dict
        One of them.
    """
    for table in tables:
        limit = table.get("max_tile_px")
        if limit is None or tile_side_px <= limit:
            return table
    return tables[-1]


def read_run(table: Json, run: str, z_distance: int | None = None) -> Run:
    """Read one run of a table.

    Parameters
    ----------
    table
        As in its file.
    run
        Name of the run.
    z_distance
        Layers, instead of those of a run over layers; None: those of the table.

    Returns
    -------
    Run
        Rules of derivation, and stages with the common fields laid under theirs.

    Raises
    ------
    UserError
        Names the table and everything in it that is wrong, or that it lacks the run.
    """
    where = f"stage table {table.get('name', '?')!r}"
    refuse(where, wrong(table))
    runs = table["runs"]
    if run not in runs:
        advice = "set match.preset to a table of this layout"
        refuse(where, [f"runs.{run}: missing, found {', '.join(sorted(runs))}; {advice}"])
    rules = Rules(**_read(part(runs[run], "pairs"), "pairs", _RULES))
    if z_distance is not None and rules.z_distance > 0:
        rules = replace(rules, z_distance=z_distance)
    return Run(rules, tuple(_stage(raw) for _, raw in stages(table, run)))


# ---------------------------------------------------------------------------------------------
# fields: the reference's name and ours
# ---------------------------------------------------------------------------------------------

_RULES = {
    "xyNeighborFactor": "xy_neighbor_factor",
    "explicitRadius": "explicit_radius_px",
    "zNeighborDistance": "z_distance",
    "excludeCornerNeighbors": "exclude_corners",
    "excludeCompletelyObscuredTiles": "exclude_obscured",
    "excludeSameLayerNeighbors": "exclude_same_layer",
    "excludeSameSectionNeighbors": "exclude_same_section",
    "excludeSameLayerPairsWithPosition": "exclude_position",
}
_RENDERING = {
    "renderScale": "scale",
    "renderWithFilter": "with_filter",
    "renderWithoutMask": "without_mask",
    "maskMinX": "mask_min_x",
    "maskMinY": "mask_min_y",
}
_CLIP = {"clipWidth": "width", "clipHeight": "height", "overlapMargin": "overlap_margin"}
_EXTRACTION = {
    "minScale": "min_scale",
    "maxScale": "max_scale",
    "steps": "steps",
    "contrastThreshold": "contrast",
    "preblurSigma": "preblur_px",
}
_BLOCK = {
    "searchRadius": "search_px",
    "minOverlapPercentage": "min_overlap_pct",
    "wholeSide": "whole_side_px",
    "blockSide": "block_px",
    "middleSide": "middle_side_px",
    "fineSide": "fine_px",
    "fineArea": "fine_area_mpx",
    "maxEpsilonFullScale": "tolerance_px",
    "modelType": "model",
    "maxChance": "max_chance",
    "minBlocks": "min_blocks",
    "minBlockSharePercentage": "min_agreeing_pct",
    "maxRotation": "max_rotation_deg",
    "maxStrain": "max_strain",
}
_CONSENSUS = {
    "matchModelType": "model",
    "matchRegularizerModelType": "regularizer",
    "matchInterpolatedModelLambda": "regularizer_lambda",
    "matchIterations": "iterations",
    "matchMinInlierRatio": "min_inlier_ratio",
    "matchMinNumInliers": "min_inliers",
    "matchMaxNumInliers": "max_inliers",
    "matchMaxTrust": "max_trust",
}
# of the match block, but the stage's own rather than the consensus search's
_JUDGEMENT = {
    "matchRod": "rod",
    "matchSearchRadius": "search_radius_px",
    "matchFilter": "filter",
    "matchFullScaleCoverageRadius": "coverage_radius_px",
    "matchMinCoveragePercentage": "min_coverage",
    "matchMinCorrelation": "min_correlation",
}
_DESCRIPTORS = {
    "minCombinedInliers": "min_combined_inliers",
    "minCombinedCoveragePercentage": "min_combined_coverage",
    "runGeoRegardlessOfSiftResults": "regardless_of_sift",
}
_NEIGHBORHOOD = {
    "numberOfNeighbors": "neighbors",
    "redundancy": "redundancy",
    "significance": "significance",
    "similarOrientation": "same_orientation",
}
_BLOBS = {
    "sigma": "sigma",
    "threshold": "threshold",
    "lookForMinima": "dark",
    "lookForMaxima": "bright",
}
_STAGE = {
    "maxNeighborDistance": "max_neighbor_distance",
    "maxCpuSeconds": "max_cpu_s",
    "maxPoints": "max_points",
    "startPositionMatchWeight": "start_position_weight",
}
_CAST: dict[str, Callable[[Any], Any]] = {"number": float, "integer": int}


def _read(raw: Json, kind: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Rename the fields of a block and give them their type; absent and null ones are left out."""
    known = SCHEMA["$defs"][kind]["properties"]
    return {
        ours: _CAST.get(known[key]["type"], lambda value: value)(raw[key])
        for key, ours in names.items()
        if raw.get(key) is not None
    }


def _stage(raw: Json) -> Stage:
    match = part(raw, "featureMatchDerivation")
    render = Rendering(**_read(part(raw, "featureRender"), "render", _RENDERING))
    return Stage(
        name=raw["stageName"],
        method=method(raw),
        render=render,
        clip=Clip(**_read(part(raw, "featureRenderClip"), "clip", _CLIP)),
        extraction=Extraction(**_read(part(raw, "featureExtraction"), "extraction", _EXTRACTION)),
        block=BlockParams(**_read(part(raw, "blockMatch"), "block", _BLOCK)),
        consensus=_consensus(match, render.scale),
        descriptors=_descriptors(part(raw, "geometricDescriptorAndMatch"), render),
        **_read(match, "match", _JUDGEMENT),
        **_read(raw, "stage", _STAGE),
    )


def _consensus(raw: Json, scale: float) -> Consensus:
    """Read the search of inliers; the older error limit is in px of the canvas."""
    older = raw.get("matchMaxEpsilon")
    limit = {"epsilon_px": older / scale} if older is not None else {}
    limit |= _read(raw, "match", {"matchMaxEpsilonFullScale": "epsilon_px"})
    return Consensus(**_read(raw, "match", _CONSENSUS), **limit)


def _descriptors(raw: Json, render: Rendering) -> Descriptors | None:
    """Read the block; None when it is absent or switched off."""
    if not raw.get("gdEnabled"):
        return None
    match, shape = part(raw, "matchDerivationParameters"), part(raw, SHAPE)
    own = {key: raw[key] for key in ("renderScale", "renderWithFilter")}
    render = replace(render, **_read(own, "render", _RENDERING))
    apart_px = float(shape.get("fullScaleNonMaxSuppressionRadius") or 0) * render.scale
    blobs = Blobs(
        **_read(shape, "neighborhood", _BLOBS),
        quadratic=shape.get("localization") != "NONE",
        apart_px=apart_px,
    )
    names = {"fullScaleBlockRadius": "block_radius_px", "gdStoredMatchWeight": "weight"}
    return Descriptors(
        render=render,
        blobs=blobs,
        neighborhood=Neighborhood(**_read(shape, "neighborhood", _NEIGHBORHOOD)),
        consensus=_consensus(match, render.scale),
        filter=match.get("matchFilter") or "SINGLE_SET",
        **_read(shape, "neighborhood", names),
        **_read(raw, "descriptors", _DESCRIPTORS),
    )

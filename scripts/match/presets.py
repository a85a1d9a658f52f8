"""Stage tables: which tiles are compared and how, read and checked.

A table is a mapping with ``name``, ``max_tile_px`` (null: any size), ``common`` (fields of every
stage) and ``runs``; a run has ``pairs`` (derivation), ``common`` and ``stages``, applied in order.
Field names are those of the reference's stage files (`MultiStagePointMatchClient` of render), so
that a table can be compared with its source. What each field may hold says
``config/match_stages.schema.yaml``; none is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.lib import yaml_files
from scripts.lib.schema import faults, refuse
from scripts.match.descriptors import Blobs, Neighborhood
from scripts.match.levels import BlockParams
from scripts.match.pairs import Rules
from scripts.match.ransac import Consensus
from scripts.match.sift import Extraction

Json = Mapping[str, Any]

SCHEMA: Json = yaml_files.read(
    Path(__file__).resolve().parents[2] / "config" / "match_stages.schema.yaml"
)


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


def read_table(path: Path) -> Json:
    """Read a table of YAML, or of JSON, and check it.

    Parameters
    ----------
    path
        a YAML file, or one that ends in ``.json``.

    Returns
    -------
    dict
        As in the file, without defaults.

    Raises
    ------
    UserError
        Names the file and everything in it that is wrong: key, what was found, what is expected.
    """
    table = yaml_files.read(path)
    if path.suffix == ".json":
        # YAML 1.1 takes the 1e-6 of JSON for a text
        table = json.loads(yaml_files.text_of(path))
    refuse(str(path), _wrong(table))
    return dict(table)


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
    refuse(where, _wrong(table))
    runs = table["runs"]
    if run not in runs:
        advice = "set match.preset to a table of this layout"
        refuse(where, [f"runs.{run}: missing, found {', '.join(sorted(runs))}; {advice}"])
    rules = Rules(**_read(_part(runs[run], "pairs"), "pairs", _RULES))
    if z_distance is not None and rules.z_distance > 0:
        rules = replace(rules, z_distance=z_distance)
    return Run(rules, tuple(_stage(raw) for _, raw in _stages(table, run)))


# ---------------------------------------------------------------------------------------------
# checks: those of the schema for each field, and those between fields
# ---------------------------------------------------------------------------------------------


def _wrong(table: Any) -> list[str]:  # noqa: ANN401 - whatever stands in the file
    """Return a line for everything in a table that is wrong."""
    lines = faults(_present(table), SCHEMA)
    for run in _part(table, "runs"):
        farthest: int | None = None
        for path, raw in _stages(table, run):
            lines += [f"{path}.{line}" for line in _conflicts(raw)]
            limit = raw.get("maxNeighborDistance")
            if limit is not None and not (isinstance(limit, int) and limit >= 0):
                continue
            if farthest is not None and (limit is None or limit > farthest):
                lines.append(
                    f"{path}.maxNeighborDistance: expected at most the {farthest} of a stage"
                    f" before, which stops farther pairs, found {limit}"
                )
            farthest = farthest if limit is None else limit
    return lines


def _conflicts(raw: Json) -> Iterator[str]:
    """Yield what is wrong between the fields of a stage, path first."""
    if not raw.get("stageName"):
        yield "stageName: missing; expected a name"
    match, inner = _part(raw, "featureMatchDerivation"), _part(raw, "geometricDescriptorAndMatch")
    if _method(raw) == "sift":
        yield from _missing_limit(match, "featureMatchDerivation")
    yield from _lonely(match, "featureMatchDerivation", *_MIXED)
    if inner.get("gdEnabled") is not True:
        return
    path = "geometricDescriptorAndMatch"
    for key in ("renderScale", "renderWithFilter"):
        if inner.get(key) is None:
            yield f"{path}.{key}: missing; expected with gdEnabled: true"
    yield from _lonely(inner, path, "minCombinedInliers", "minCombinedCoveragePercentage")
    match, shape = (_part(inner, k) for k in ("matchDerivationParameters", _SHAPE))
    yield from _missing_limit(match, f"{path}.matchDerivationParameters")
    yield from _lonely(match, f"{path}.matchDerivationParameters", *_MIXED)
    if not (shape.get("lookForMinima") or shape.get("lookForMaxima")):
        yield f"{path}.{_SHAPE}: expected lookForMinima or lookForMaxima, or there are no peaks"


_MIXED = ("matchRegularizerModelType", "matchInterpolatedModelLambda")
_SHAPE = "geometricDescriptorParameters"


def _missing_limit(match: Json, path: str) -> Iterator[str]:
    if match.get("matchMaxEpsilonFullScale") is None and match.get("matchMaxEpsilon") is None:
        yield f"{path}.matchMaxEpsilonFullScale: missing; expected a number (px)"


def _lonely(raw: Json, path: str, one: str, other: str) -> Iterator[str]:
    """Object to one of two fields without the other."""
    absent = [key for key in (one, other) if raw.get(key) is None]
    if len(absent) == 1:
        (there,) = {one, other} - set(absent)
        yield f"{path}.{absent[0]}: missing; expected together with {there}"


def _stages(table: Json, run: str) -> Iterator[tuple[str, Json]]:
    """Yield path and fields of each stage of a run, laid over the common ones."""
    body = _part(_part(table, "runs"), run)
    base = _merged(_part(table, "common"), _part(body, "common"))
    stages = body.get("stages")
    for k, stage in enumerate(stages if isinstance(stages, list) else []):
        yield f"runs.{run}.stages[{k}]", _merged(base, stage if isinstance(stage, Mapping) else {})


def _merged(base: Json, over: Json) -> dict[str, Any]:
    """Return `base` with the values of `over`; mappings are merged, all else is replaced."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return out


def _part(raw: Any, key: str) -> Json:  # noqa: ANN401 - whatever stands in the file
    """Return the mapping under a key, empty when there is none."""
    inner = raw.get(key) if isinstance(raw, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _present(raw: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return a table without its null fields, which are as absent."""
    if isinstance(raw, Mapping):
        return {key: _present(value) for key, value in raw.items() if value is not None}
    return [_present(value) for value in raw] if isinstance(raw, list) else raw


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


def _method(raw: Json) -> str:
    by_place = raw.get("startPositionMatchWeight") is not None
    return raw.get("method") or ("start_position" if by_place else "sift")


def _stage(raw: Json) -> Stage:
    match = _part(raw, "featureMatchDerivation")
    render = Rendering(**_read(_part(raw, "featureRender"), "render", _RENDERING))
    return Stage(
        name=raw["stageName"],
        method=_method(raw),
        render=render,
        clip=Clip(**_read(_part(raw, "featureRenderClip"), "clip", _CLIP)),
        extraction=Extraction(**_read(_part(raw, "featureExtraction"), "extraction", _EXTRACTION)),
        block=BlockParams(**_read(_part(raw, "blockMatch"), "block", _BLOCK)),
        consensus=_consensus(match, render.scale),
        descriptors=_descriptors(_part(raw, "geometricDescriptorAndMatch"), render),
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
    match, shape = _part(raw, "matchDerivationParameters"), _part(raw, _SHAPE)
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

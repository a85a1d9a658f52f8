"""Match · Presets: stage tables, read and checked.

A table is a mapping with ``name``, ``max_tile_px`` (null: any size), ``common`` (fields of every
stage) and ``runs``; a run has ``pairs`` (derivation), ``common`` and ``stages``, applied in order.
Field names are those of the reference's stage files (spec match-review sections 3 to 5), so that a
table can be compared with its source. A field is honored or refused by name: none is ignored.

Fields of our own: ``method``, ``blockMatch``, ``featureExtraction.{contrastThreshold,
preblurSigma}``, ``featureRenderClip.overlapMargin``, ``featureMatchDerivation.{matchSearchRadius,
matchMinCorrelation}``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scripts.lib.job import UserError
from scripts.lib.numerics.models import MODELS
from scripts.match import ransac, sift
from scripts.match.descriptors import Blobs, Neighborhood
from scripts.match.levels import BlockParams
from scripts.match.pairs import POSITIONS, Rules
from scripts.match.ransac import Consensus
from scripts.match.sift import Extraction

Json = Mapping[str, Any]


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
    start_position_weight: float | None = None


@dataclass(frozen=True)
class Run:
    """Which tiles a run compares, and how."""

    rules: Rules
    stages: tuple[Stage, ...]


def choose(tables: Sequence[Json], tile_side_px: float) -> Json:
    """Return the first table meant for tiles of this longer side, else the last."""
    for table in tables:
        limit = table.get("max_tile_px")
        if limit is None or tile_side_px <= limit:
            return table
    return tables[-1]


def read_run(table: Json, run: str, z_distance: int | None = None) -> Run:
    """Read one run of a table; `z_distance`, if given, replaces that of a run over layers.

    Raises
    ------
    UserError
        When the table lacks the run, or holds a field that is unknown, refused or of wrong value;
        the message names table, run, stage and field.
    """
    where = f"stage table {table.get('name', '?')!r}"
    _fields(table, where, {"name", "description", "max_tile_px", "common", "runs"}, {})
    runs = table.get("runs") or {}
    if run not in runs:
        raise UserError(
            f"{where} has no run {run!r}, only {sorted(runs)}: set match.preset to a table of this"
            " layout"
        )
    where = f"{where}, run {run}"
    body = runs[run]
    _fields(body, where, {"pairs", "common", "stages"}, {})
    base = _merged(table.get("common") or {}, body.get("common") or {})
    stages = tuple(_stage(_merged(base, stage), where) for stage in body.get("stages") or ())
    if not stages:
        raise UserError(f"{where} has no stages")
    _check_distances(stages, where)
    rules = _rules(body.get("pairs") or {}, f"{where}, pairs")
    if z_distance is not None and rules.z_distance > 0:
        rules = replace(rules, z_distance=z_distance)
    return Run(rules, stages)


def _check_distances(stages: Sequence[Stage], where: str) -> None:
    farthest: int | None = None
    for stage in stages:
        limit = stage.max_neighbor_distance
        if farthest is not None and (limit is None or limit > farthest):
            raise UserError(
                f"{where}, stage {stage.name}: maxNeighborDistance {limit} is above that of an"
                f" earlier stage ({farthest}), which already stops such pairs"
            )
        farthest = limit


# ---------------------------------------------------------------------------------------------
# fields
# ---------------------------------------------------------------------------------------------

_PAIRS_REFUSED = {
    "useRowColPositions": "rows and columns are always used where a layer has them",
    "excludeSameMfovNeighbors": "it belongs to multi-beam microscopes",
    "excludePairsInMatchCollection": "finished chunks are never matched again, their files tell",
    "existingMatchOwner": "finished chunks are never matched again, their files tell",
    "minExistingMatchCount": "finished chunks are never matched again, their files tell",
    "onlyIncludeTilesFromStack": "all tiles of v1_acquire are compared; use review.exclude",
    "onlyIncludeTilesNearTileIdsJson": "all tiles of v1_acquire are compared",
    "layerShift": "pairs follow the stage positions in v1_acquire",
    "maxPairsPerFile": "chunks.layers sets the size of a job",
}
_RENDER_REFUSED = {
    "renderFilterListName": "named filter lists live in a render server",
    "renderFullScaleWidth": "a canvas has the size of its tile",
    "renderFullScaleHeight": "a canvas has the size of its tile",
    "fillWithNoise": "the reference ignores it as well",
}


def _rules(raw: Json, where: str) -> Rules:
    names = {
        "xyNeighborFactor": ("xy_neighbor_factor", _number),
        "explicitRadius": ("explicit_radius_px", _number),
        "zNeighborDistance": ("z_distance", _whole),
        "excludeCornerNeighbors": ("exclude_corners", _flag),
        "excludeCompletelyObscuredTiles": ("exclude_obscured", _flag),
        "excludeSameLayerNeighbors": ("exclude_same_layer", _flag),
        "excludeSameSectionNeighbors": ("exclude_same_section", _flag),
        "excludeSameLayerPairsWithPosition": ("exclude_position", _one_of(POSITIONS)),
    }
    return Rules(**_read(raw, where, names, _PAIRS_REFUSED))


def _stage(raw: Json, where: str) -> Stage:
    name = str(raw.get("stageName") or "")
    if not name:
        raise UserError(f"{where}: a stage has no stageName")
    where = f"{where}, stage {name}"
    _fields(raw, where, _STAGE_FIELDS, {})
    weight = raw.get("startPositionMatchWeight")
    match = _match(raw.get("featureMatchDerivation") or {}, f"{where}, featureMatchDerivation")
    render = _rendering(raw.get("featureRender") or {}, f"{where}, featureRender")
    legacy = match.pop("legacy_epsilon_px", None)
    if match["epsilon_px"] is None:
        match["epsilon_px"] = None if legacy is None else legacy / render.scale
    method = raw.get("method") or ("sift" if weight is None else "start_position")
    if match["epsilon_px"] is None and method == "sift":
        raise UserError(f"{where}: featureMatchDerivation.matchMaxEpsilonFullScale is required")
    outer = {k: match.pop(k) for k in _OUTER}
    match = {k: v for k, v in match.items() if v is not None}
    return Stage(
        name=name,
        method=method,
        render=render,
        clip=_clip(raw.get("featureRenderClip") or {}, f"{where}, featureRenderClip"),
        extraction=_extraction(raw.get("featureExtraction") or {}, f"{where}, featureExtraction"),
        block=_block(raw.get("blockMatch") or {}, f"{where}, blockMatch"),
        consensus=Consensus(**match),
        descriptors=_descriptors(
            raw.get("geometricDescriptorAndMatch") or {},
            render,
            f"{where}, geometricDescriptorAndMatch",
        ),
        max_neighbor_distance=raw.get("maxNeighborDistance"),
        start_position_weight=weight,
        **{k: v for k, v in outer.items() if v is not None},
    )


# of the match block, but the stage's own rather than the consensus search's
_OUTER = (
    "rod",
    "search_radius_px",
    "filter",
    "coverage_radius_px",
    "min_coverage",
    "min_correlation",
)

_STAGE_FIELDS = {
    "stageName",
    "method",
    "blockMatch",
    "featureRender",
    "featureRenderClip",
    "featureExtraction",
    "featureMatchDerivation",
    "geometricDescriptorAndMatch",
    "maxNeighborDistance",
    "startPositionMatchWeight",
}


def _rendering(raw: Json, where: str) -> Rendering:
    names = {
        "renderScale": ("scale", _positive),
        "renderWithFilter": ("with_filter", _flag),
        "renderWithoutMask": ("without_mask", _flag),
        "maskMinX": ("mask_min_x", _number),
        "maskMinY": ("mask_min_y", _number),
    }
    return Rendering(**_read(raw, where, names, _RENDER_REFUSED))


def _clip(raw: Json, where: str) -> Clip:
    names = {
        "clipWidth": ("width", _positive),
        "clipHeight": ("height", _positive),
        "overlapMargin": ("overlap_margin", _number),
    }
    return Clip(**_read(raw, where, names, {}))


def _extraction(raw: Json, where: str) -> Extraction:
    names = {
        "fdSize": ("fd_size", _whole),
        "minScale": ("min_scale", _positive),
        "maxScale": ("max_scale", _positive),
        "steps": ("steps", _whole),
        "contrastThreshold": ("contrast", _number),
        "preblurSigma": ("preblur_px", _number),
    }
    values = _read(raw, where, names, {})
    size = values.pop("fd_size", sift.DESCRIPTOR_SIZE)
    if size != sift.DESCRIPTOR_SIZE:
        raise UserError(
            f"{where}: fdSize {size} is not available, OpenCV's descriptor has"
            f" {sift.DESCRIPTOR_SIZE}: set fdSize: {sift.DESCRIPTOR_SIZE}"
        )
    return Extraction(**values)


def _block(raw: Json, where: str) -> BlockParams:
    names = {
        "searchRadius": ("search_px", _positive),
        "minOverlapPercentage": ("min_overlap_pct", _positive),
        "wholeSide": ("whole_side_px", _whole),
        "blockSide": ("block_px", _whole),
        "middleSide": ("middle_side_px", _whole),
        "fineSide": ("fine_px", _whole),
        "maxEpsilonFullScale": ("tolerance_px", _positive),
        "modelType": ("model", _one_of(("TRANSLATION", "RIGID", "AFFINE"))),
        "maxChance": ("max_chance", _positive),
        "minBlocks": ("min_blocks", _whole),
        "minBlockSharePercentage": ("min_agreeing_pct", _number),
        "maxRotation": ("max_rotation_deg", _positive),
        "maxStrain": ("max_strain", _positive),
    }
    return BlockParams(**_read(raw, where, names, {}))


def _match(raw: Json, where: str) -> dict[str, Any]:
    models = _one_of(tuple(MODELS))
    names = {
        "matchRod": ("rod", _positive),
        "matchSearchRadius": ("search_radius_px", _positive),
        "matchModelType": ("model", models),
        "matchRegularizerModelType": ("regularizer", models),
        "matchInterpolatedModelLambda": ("regularizer_lambda", _number),
        "matchIterations": ("iterations", _whole),
        "matchMaxEpsilonFullScale": ("epsilon_px", _positive),
        "matchMaxEpsilon": ("legacy_epsilon_px", _positive),
        "matchMinInlierRatio": ("min_inlier_ratio", _number),
        "matchMinNumInliers": ("min_inliers", _whole),
        "matchMaxNumInliers": ("max_inliers", _whole),
        "matchMaxTrust": ("max_trust", _positive),
        "matchFilter": ("filter", _one_of(tuple(ransac.FILTERS))),
        "matchFullScaleCoverageRadius": ("coverage_radius_px", _positive),
        "matchMinCoveragePercentage": ("min_coverage", _number),
        "matchMinCorrelation": ("min_correlation", _number),
    }
    values = _read(raw, where, names, {})
    if ("regularizer" in values) != ("regularizer_lambda" in values):
        raise UserError(
            f"{where}: matchRegularizerModelType and matchInterpolatedModelLambda need each other"
        )
    if values.get("filter") == "CONSENSUS_SETS":
        raise UserError(
            f"{where}: matchFilter CONSENSUS_SETS stores each set under a tile id of its own, which"
            " review and solve do not know: use AGGREGATED_CONSENSUS_SETS or SINGLE_SET"
        )
    return dict.fromkeys((*_OUTER, "epsilon_px")) | values


_GD_FIELDS = {
    "gdEnabled",
    "renderScale",
    "renderWithFilter",
    "renderFilterListName",
    "minCombinedInliers",
    "minCombinedCoveragePercentage",
    "runGeoRegardlessOfSiftResults",
    "geometricDescriptorParameters",
    "matchDerivationParameters",
}


def _descriptors(raw: Json, render: Rendering, where: str) -> Descriptors | None:
    """Read the block; None when it is absent or switched off."""
    _fields(raw, where, _GD_FIELDS, {})
    if not raw.get("gdEnabled"):
        return None
    names = {
        "renderScale": ("scale", _positive),
        "renderWithFilter": ("with_filter", _flag),
        "minCombinedInliers": ("min_combined_inliers", _whole),
        "minCombinedCoveragePercentage": ("min_combined_coverage", _number),
        "runGeoRegardlessOfSiftResults": ("regardless_of_sift", _flag),
    }
    own = {k: v for k, v in raw.items() if k in names or k in _RENDER_REFUSED}
    limits = _read(own, where, names, _RENDER_REFUSED)
    if not {"scale", "with_filter"} <= set(limits):
        raise UserError(f"{where}: renderScale and renderWithFilter are required")
    if ("min_combined_inliers" in limits) != ("min_combined_coverage" in limits):
        raise UserError(
            f"{where}: minCombinedInliers and minCombinedCoveragePercentage need each other"
        )
    render = replace(render, scale=limits.pop("scale"), with_filter=limits.pop("with_filter"))
    match = _match(
        raw.get("matchDerivationParameters") or {}, f"{where}, matchDerivationParameters"
    )
    legacy = match.pop("legacy_epsilon_px", None)
    if match["epsilon_px"] is None and legacy is None:
        raise UserError(f"{where}: matchDerivationParameters.matchMaxEpsilonFullScale is required")
    match["epsilon_px"] = match["epsilon_px"] or legacy / render.scale
    outer = {k: match.pop(k) for k in _OUTER}
    shape = raw.get("geometricDescriptorParameters") or {}
    return Descriptors(
        render=render,
        consensus=Consensus(**{k: v for k, v in match.items() if v is not None}),
        filter=outer["filter"] or "SINGLE_SET",
        **_shape(shape, render.scale, f"{where}, geometricDescriptorParameters"),
        **limits,
    )


def _shape(raw: Json, scale: float, where: str) -> dict[str, Any]:
    """Read what a peak is, and how its neighborhood is compared."""
    names = {
        "numberOfNeighbors": ("neighbors", _whole),
        "redundancy": ("redundancy", _whole),
        "significance": ("significance", _positive),
        "similarOrientation": ("same_orientation", _flag),
        "sigma": ("sigma", _positive),
        "threshold": ("threshold", _positive),
        "localization": ("quadratic", _one_of(("NONE", "THREE_D_QUADRATIC"))),
        "lookForMinima": ("dark", _flag),
        "lookForMaxima": ("bright", _flag),
        "fullScaleNonMaxSuppressionRadius": ("apart_px", _number),
        "fullScaleBlockRadius": ("block_radius_px", _number),
        "gdStoredMatchWeight": ("weight", _positive),
    }
    found = _read(raw, where, names, {})
    if not (found.get("dark") or found.get("bright")):
        raise UserError(f"{where}: set lookForMinima or lookForMaxima, or there are no peaks")
    out = {k: found.pop(k) for k in ("block_radius_px", "weight") if k in found}
    kinds = {f for f in Neighborhood.__dataclass_fields__ if f in found}
    around = {k: found.pop(k) for k in kinds}
    found["quadratic"] = found.get("quadratic") != "NONE"
    found["apart_px"] = found.get("apart_px", 0.0) * scale
    return out | {"blobs": Blobs(**found), "neighborhood": Neighborhood(**around)}


def _read(
    raw: Json,
    where: str,
    names: Mapping[str, tuple[str, Callable[[Any, str], Any]]],
    refused: Mapping[str, str],
) -> dict[str, Any]:
    """Check and rename the fields of a block; absent and null ones are left out."""
    _fields(raw, where, set(names), refused)
    return {
        names[key][0]: names[key][1](value, f"{where}: {key}")
        for key, value in raw.items()
        if value is not None and key in names
    }


def _fields(raw: Json, where: str, known: set[str], refused: Mapping[str, str]) -> None:
    if not isinstance(raw, Mapping):
        raise UserError(f"{where}: expected a mapping, found {raw!r}")
    for key, value in raw.items():
        if key in refused and value is not None:
            raise UserError(f"{where}: {key} is not supported, because {refused[key]}: remove it")
        if key not in known and key not in refused:
            near = difflib.get_close_matches(key, known, 1)
            hint = (
                f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(sorted(known))})"
            )
            raise UserError(f"{where}: unknown field {key!r}{hint}")


def _merged(base: Json, over: Json) -> dict[str, Any]:
    """Return `base` with the values of `over`; mappings are merged, all else is replaced."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return out


def _number(value: Any, where: str) -> float:  # noqa: ANN401 - whatever stands in the file
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UserError(f"{where}: expected a number that is not negative, found {value!r}")
    return float(value)


def _positive(value: Any, where: str) -> float:  # noqa: ANN401 - whatever stands in the file
    if _number(value, where) == 0:
        raise UserError(f"{where}: expected a number above 0, found {value!r}")
    return float(value)


def _whole(value: Any, where: str) -> int:  # noqa: ANN401 - whatever stands in the file
    if _number(value, where) != int(value):
        raise UserError(f"{where}: expected a whole number, found {value!r}")
    return int(value)


def _flag(value: Any, where: str) -> bool:  # noqa: ANN401 - whatever stands in the file
    if not isinstance(value, bool):
        raise UserError(f"{where}: expected true or false, found {value!r}")
    return value


def _one_of(values: Sequence[str]) -> Callable[[Any, str], str]:
    def check(value: Any, where: str) -> str:  # noqa: ANN401 - whatever stands in the file
        if value not in values:
            raise UserError(f"{where}: expected one of {', '.join(values)}, found {value!r}")
        return str(value)

    return check

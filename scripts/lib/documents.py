"""Documents that one stage writes and others read: what is in each, by name."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

# ---------------------------------------------------------------------------------------------
# solve/misalignment.json
# ---------------------------------------------------------------------------------------------


class Place(TypedDict):
    """The worst place of a finding, as in ``solve/misalignment.tsv.gz``."""

    z: str
    other_z: str
    p_id: str
    q_id: str
    x: str  # world px
    y: str


class Misplaced(TypedDict):
    """Places that follow one another, and do not meet or are not known to."""

    kind: str  # step, seam, patch; order, odd, repeat
    z_first: int
    z_last: int
    cells: list[str]
    places: int
    px: float | None  # None = not known
    error_px: float | None
    value: NotRequired[float]  # of the order of layers: a correlation, or a difference of two
    worst: Place


class LeftOver(TypedDict):
    """What is left of misalignment between layers, or at seams; None where nothing is known."""

    places: int
    measured: int
    rms_px: float | None
    error_px: float | None  # standard error of the rms
    rms_nm: float | None
    p95_px: float | None
    max_px: float | None
    alike: NotRequired[float]  # correlation of grey levels, -1 to 1: median, 5th percentile
    alike_p05: NotRequired[float]
    corners_px: NotRequired[float]  # what a corner may be off unseen: median, 95th percentile
    corners_p95_px: NotRequired[float]


class Misalignment(TypedDict):
    """``solve/misalignment.json``."""

    state: str
    reasons: list[str]
    steps: LeftOver
    seams: LeftOver
    findings: list[Misplaced]


# ---------------------------------------------------------------------------------------------
# solve/solve.json
# ---------------------------------------------------------------------------------------------


class Residuals(TypedDict):
    """Quantiles, px; None of nothing."""

    median: float | None
    p90: float | None
    p99: float | None
    max: float | None


class MeanAndSd(TypedDict):
    """Mean and standard deviation over the tiles."""

    mean: float
    sd: float


class RestartOffset(TypedDict):
    """Where the stage lies after a restart, px."""

    z_first: int | float
    dx: float
    dy: float


class RestartStep(TypedDict):
    """Shape of the layers from a restart on."""

    z_first: int | float
    scale_x: float
    scale_y: float
    rotation_mrad: float
    shear: float


class StrainedPair(TypedDict):
    """A pair that is wrong by its residual, and stays since nothing else joins what it joins."""

    p_id: str
    q_id: str
    p_z: int | float
    q_z: int | float
    count: int
    rms_px: float
    typical_px: float


class MisplacedPair(TypedDict):
    """Neighbours in the grid that lie otherwise to each other than the stage says."""

    p_id: str
    q_id: str
    z: int
    p_cell: str
    q_cell: str
    dx_px: float  # world px
    dy_px: float


class WorstTile(TypedDict):
    """A tile whose matches contradict one another."""

    tile_id: str
    share_of_weight_left: float


class WorstLayer(TypedDict):
    """A layer of large residuals."""

    z: int | float
    rms_px: float


class Solve(TypedDict):
    """``solve/solve.json``."""

    model: str
    tiles: int
    layers: int
    pairs: int
    pairs_ignored: int
    pairs_wrong: int
    residual_px: Residuals
    residual_px_by_dz: dict[str, Residuals]
    deviation_from_stage_px: Residuals
    shape: dict[str, MeanAndSd]
    share_of_error_of_wrong_pairs: float
    restart_offsets_px: list[RestartOffset]
    restart_steps: list[RestartStep]
    precision: float
    iterations: dict[str, int]
    strained_pairs: list[StrainedPair]
    misplaced_pairs: NotRequired[list[MisplacedPair]]  # earlier versions looked for none
    worst_tiles: list[WorstTile]
    worst_layers: list[WorstLayer]
    worst_pairs: list[dict[str, Any]]  # cells of ``solve/worst_pairs.tsv``


# ---------------------------------------------------------------------------------------------
# export/volume.json
# ---------------------------------------------------------------------------------------------


class ExportedLevel(TypedDict):
    """A level of the pyramid."""

    level: int
    shape_zyx: list[int]
    blocks: int


class Shown(TypedDict):
    """How neuroglancer shows a volume."""

    state: dict[str, Any]  # the viewer's own JSON
    link: str


class ExportedTarget(TypedDict):
    """One stored volume."""

    format: str
    dtype: str
    path: str  # of the dataset, from the working directory on
    codec: str
    neuroglancer: Shown
    files: NotRequired[list[int]]  # stored, by level


class Exported(TypedDict):
    """``export/volume.json``."""

    volume: str
    stack: str
    dtype: str
    voxels: int
    shape_zyx: list[int]
    block_zyx: list[int]
    voxel_nm_zyx: list[float]
    origin_px_zyx: list[float]
    origin_nm_zyx: list[float]
    levels: list[ExportedLevel]
    shown_values: list[int]
    targets: list[ExportedTarget]

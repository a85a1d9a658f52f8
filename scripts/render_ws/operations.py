"""What the reference's service offers and this one does not, and why.

Paths below ``/render-ws/v1``; ``{name}`` stands for a segment, ``*`` at the end for any more.
"""

from __future__ import annotations

import re

_TRIAL = "SIFT is not run by the service: `snakemake match_trial` tries settings on planned pairs"
_TIERS = "a stack split in tiers for hierarchical alignment; the workflow has no such stacks"
_FIELDS = "a warp field is part of the tile's own transforms here"
_S = "owner/{owner}/project/{project}/stack/{stack}"
ABSENT = {
    "owner/{owner}/matchTrial": _TRIAL,
    "owner/{owner}/matchTrial/{trialId}": _TRIAL,
    f"{_S}/hierarchicalData": _TIERS,
    f"{_S}/tierData": _TIERS,
    f"{_S}/tile/{{tileId}}/tierData": _TIERS,
    f"{_S}/z/{{z}}/affineWarpFieldTransform": _FIELDS,
    f"{_S}/z/{{z}}/affineWarpField*": _FIELDS,
    f"{_S}/largeDataTileSource/*": "sizes and levels are whole numbers",
    "owner/{owner}/movingLeastSquaresTiles*": "derived by clients, which save the tiles",
    "owner/{owner}/snapshots*": "`python -m scripts.render_ws backup` copies the whole database",
    "owner/{owner}/openseadragon*": "the page at the root shows layers",
    "owner/{owner}/renderAndMatch*": _TRIAL,
}
_PATTERNS = {
    re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)).replace(r"\*", ".*")): reason
    for path, reason in ABSENT.items()
}


def why_absent(path: str) -> str:
    """Return why the service has no such path (below its root); nothing when it is not known."""
    for pattern, reason in _PATTERNS.items():
        if pattern.fullmatch(path.strip("/")):
            return reason
    return ""

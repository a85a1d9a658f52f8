"""The operations beside those of the reference: there, other in something, absent and why.

Paths below ``/render-ws/v1``; ``{name}`` stands for a segment, ``*`` at the end for any more.
``python -m scripts.render_ws operations`` prints the table of docs/render-ws.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TRIAL = "pairs of a volume are matched by the workflow; one pair is tried by `matchTrial`"
_TIERS = "a stack split in tiers for hierarchical alignment; the workflow has no such stacks"
_FIELDS = "a warp field is part of the tile's own transforms here"
_S = "owner/{owner}/project/{project}/stack/{stack}"
ABSENT = {
    f"{_S}/hierarchicalData": _TIERS,
    f"{_S}/tierData": _TIERS,
    f"{_S}/tile/{{tileId}}/tierData": _TIERS,
    f"{_S}/z/{{z}}/affineWarpFieldTransform": _FIELDS,
    f"{_S}/z/{{z}}/affineWarpField*": _FIELDS,
    "owner/{owner}/movingLeastSquaresTiles*": "derived by clients, which save the tiles",
    "owner/{owner}/snapshots*": "`python -m scripts.render_ws backup` copies the whole database",
    "owner/{owner}/openseadragon*": "the page at the root shows layers",
    "owner/{owner}/renderAndMatch*": _TRIAL,
}
_EXACT = "exact inverse, not a mesh of triangles (some hundredths of a pixel)"
_DRAWN = "exact inverse, not a mesh; masks without shades; no debug overlay"
# what is other than in the reference, by a pattern of the whole path
DIFFERS = (
    (
        r"POST .*/matchTrial",
        "of tiles alone, in the frame of matching; figures have `reason`, too",
    ),
    (r"(GET|DELETE) .*/matchTrial/.*", "the last 100 are kept, until the service stops"),
    (r"GET /versionInfo", "204: there is no build information"),
    (r"GET /serverProperties", "says what this service keeps, not the reference's settings"),
    (r"GET /namedFilterSpecLists", "one list, `default`"),
    (r"DELETE /imageProcessorCache/allEntries", "does nothing: images are not kept"),
    (r"PUT .*/matchCounts", "does nothing: counts are right at any time"),
    (r".*/world-to-local-coordinates.*", _EXACT),
    (r"GET .*/mapped-to-stack/.*", _EXACT),
    (r"PUT /owner/\{owner\}/local-to-world-coordinates/.*", "`meshCellSize` is of no use"),
    (r".*/largeDataTileSource/.*", f"at most 40 tiles are drawn, else outlines; {_DRAWN}"),
    (r"(?!.*validate-json).*/(\{kind\}|\{end\})", _DRAWN),
    (r".*tile/\{tile_id\}/\{part\}/.*", "the nearest pixel at any scale"),
    (r"GET .*/tileIds", "`matchPattern` is searched for 5 s at most"),
    (r"GET .*/pGroupIds", "sorted; the reference's order is that of its index"),
)
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


def difference(method: str, path: str) -> str:
    """Return how an operation (its path below the service's root) differs from the reference's."""
    for pattern, how in DIFFERS:
        if re.fullmatch(pattern, f"{method} {path}"):
            return how
    return ""


def table() -> Iterator[str]:
    """Return the lines of the table of all operations."""
    from scripts.render_ws import openapi
    from scripts.render_ws.web import ROOT

    yield "| operation | does | beside the reference's |"
    yield "|---|---|---|"
    for path, item in openapi.document()["paths"].items():
        for method, operation in sorted(item.items()):
            below = path.removeprefix(ROOT)
            how = difference(method.upper(), below) or "the same"
            yield f"| {method.upper()} `{_short(below)}` | {operation['summary']} | {how} |"
    for path, why in sorted(ABSENT.items()):
        yield f"| `{_short('/' + path)}` | | absent: {why} |"


def _short(path: str) -> str:
    collection = "/owner/{owner}/matchCollection/{name}"
    return path.replace(f"/{_S}", "S").replace(collection, "C").replace("|", "\\|")

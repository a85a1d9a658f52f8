"""Match trials: a front of the workflow's own matching, which runs in a process of its own."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from scripts.render_ws import model
from scripts.render_ws.errors import BadRequest, NotFound
from scripts.render_ws.model import Json
from scripts.render_ws.stacks import StackKey

TIME_LIMIT_S = 120.0  # two canvases of 8 million px with 100,000 features are matched in 40 s
MOST_KEPT = 100
_MODULE = "scripts.match.posted_trial"
_PROJECT = Path(__file__).resolve().parents[2]
_TILE = re.compile(
    r"/owner/([^/]+)/project/([^/]+)/stack/([^/]+)/tile/([^/]+)/render-parameters/?$"
)
_CLIPPED = {"LEFT": "clipWidth", "RIGHT": "clipWidth", "TOP": "clipHeight", "BOTTOM": "clipHeight"}
_PARTS = {
    "siftFeatureParameters": "featureExtraction",
    "matchDerivationParameters": "featureMatchDerivation",
}
_one_at_a_time = threading.Lock()
_kept: OrderedDict[tuple[str, str, str], Json] = OrderedDict()


class Side(NamedTuple):
    """One tile of a trial, and how its URL asks for it to be drawn."""

    stack: StackKey
    tile_id: str
    rendering: Json


def side(url: Any) -> Side:  # noqa: ANN401 - any JSON value
    """Read a URL of a tile's render parameters; which host it names does not matter.

    Raises
    ------
    BadRequest
        When it is none: layers are not tried.
    """
    text = model.text(url)
    split = urlsplit(text)
    found = _TILE.search(split.path)
    if found is None:
        raise BadRequest(f"{text!r:.300} is no URL of a tile's render-parameters")
    owner, project, stack, tile_id = (unquote(part) for part in found.groups())
    return Side(StackKey(owner, project, stack), tile_id, _rendering(parse_qs(split.query)))


def _rendering(query: dict[str, list[str]]) -> Json:
    """Return what a URL's query says of drawing, as a stage table has it."""

    def said(name: str, default: str) -> str:
        return query.get(name, [default])[-1].lower()

    try:
        scale = float(said("scale", "1"))
    except ValueError as error:
        raise BadRequest(f"scale {query['scale'][-1]!r:.80} is not a number") from error
    with_filter = said("filter", "true") == "true" or "filterListName" in query
    without_mask = said("excludeMask", "true") == "true"
    return {
        "renderScale": scale,
        "renderWithFilter": with_filter,
        "renderWithoutMask": without_mask,
    }


def stage(parameters: Json, rendering: Json) -> tuple[Json, str]:
    """Return a trial's stage as a stage table has it, and the side on which p lies.

    Raises
    ------
    BadRequest
        When a part is no object, or one of position and number of clipped pixels is absent.
    """
    how = model.mapping(parameters.get("featureAndMatchParameters"))
    out: Json = {"stageName": "trial", "featureRender": rendering}
    for theirs, ours in _PARTS.items():
        out[ours] = dict(model.mapping(how.get(theirs)))
    at, clipped = how.get("pClipPosition"), how.get("clipPixels")
    if (at is None) != (clipped is None):
        raise BadRequest("pClipPosition and clipPixels belong together: one of them is absent")
    if at is not None:
        if at not in _CLIPPED:
            raise BadRequest(f"pClipPosition {at!r:.80} is none of {', '.join(_CLIPPED)}")
        out["featureRenderClip"] = {_CLIPPED[at]: clipped}
    points = parameters.get("geometricDescriptorAndMatchFilterParameters")
    if points is not None:
        out["geometricDescriptorAndMatch"] = {"gdEnabled": True, **model.mapping(points)}
    return out, at or ""


def run(request: Json) -> Json:
    """Try a pair; one trial runs at a time.

    Raises
    ------
    BadRequest
        When the request is refused, or takes longer than `TIME_LIMIT_S`.
    """
    command = [sys.executable, "-m", _MODULE]
    try:
        with _one_at_a_time:
            done = subprocess.run(
                command,
                input=orjson.dumps(request),
                capture_output=True,
                timeout=TIME_LIMIT_S,
                check=False,
                cwd=_PROJECT,
            )
    except subprocess.TimeoutExpired as error:
        raise BadRequest(
            f"the trial takes longer than {TIME_LIMIT_S:g} s: ask for a smaller scale"
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
        raise BadRequest(f"the trial cannot be made: {said[-1]:.1000}")
    return dict(orjson.loads(done.stdout))


def keep(database: str, owner: str, trial: Json) -> Json:
    """Give a trial an id and keep it, among the last `MOST_KEPT`, until the service stops."""
    out = {"id": secrets.token_hex(12), **trial}
    _kept[database, owner, out["id"]] = out
    while len(_kept) > MOST_KEPT:
        _kept.popitem(last=False)
    return out


def find(database: str, owner: str, trial_id: str) -> Json:
    """Return a trial.

    Raises
    ------
    NotFound
        When it is not, or no longer, kept.
    """
    try:
        return _kept[database, owner, trial_id]
    except KeyError as error:
        raise NotFound(
            f"match trial {trial_id!r:.80} of {owner} is not here: the last {MOST_KEPT} are kept"
        ) from error


def remove(database: str, owner: str, trial_id: str) -> None:
    """Forget a trial; one that is not there is no fault."""
    _kept.pop((database, owner, trial_id), None)

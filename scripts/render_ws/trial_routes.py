"""Routes of match trials."""

from __future__ import annotations

from flask import Blueprint, Response

from scripts.render_ws import image_urls, model, stacks, tiles, trials
from scripts.render_ws.errors import BadRequest
from scripts.render_ws.model import Json
from scripts.render_ws.trials import Side
from scripts.render_ws.web import OWNER, answer, done, required_body, store

trial = Blueprint("trial", __name__, url_prefix=f"{OWNER}/matchTrial")


@trial.post("")
def post_trial(owner: str) -> Response:
    """Match a pair of tiles with the settings in the body, and keep what was found."""
    model.check_collection_names(owner, "x")
    parameters = dict(model.mapping(required_body("match trial parameters")))
    for name in ("featureAndMatchParameters", "pRenderParametersUrl", "qRenderParametersUrl"):
        if parameters.get(name) is None:
            raise BadRequest(f"the match trial has no {name}")
    p, q = (trials.side(parameters[f"{one}RenderParametersUrl"]) for one in "pq")
    stage, position = trials.stage(parameters, p.rendering)
    pair = {one.tile_id: _tile(one) for one in (p, q)}
    if len(pair) < 2:
        raise BadRequest(f"p and q are both tile {p.tile_id!r:.200}")
    request = {"tiles": {"tileIdToSpecMap": pair}, "p": p.tile_id, "q": q.tile_id}
    found = trials.run({**request, "p_position": position, "stage": stage})
    return answer(trials.keep(str(store().path), owner, {"parameters": parameters, **found}))


def _tile(side: Side) -> Json:
    """Return a tile with all its transforms; its files must be there."""
    with store().reading() as db:
        found = stacks.find(db, side.stack)
        body = tiles.body(db, side.stack, side.tile_id)
        (spec,) = tiles.flatten_all(db, found, [body])
    for level in spec["mipmapLevels"].values():
        for kind in ("image", "mask"):
            if f"{kind}Url" in level:
                image_urls.check(level[f"{kind}Url"])
    return dict(spec)


@trial.get("<trial_id>")
def get_trial(owner: str, trial_id: str) -> Response:
    """Return a match trial: its parameters, matches and figures."""
    return answer(trials.find(str(store().path), owner, trial_id))


@trial.delete("<trial_id>")
def delete_trial(owner: str, trial_id: str) -> Response:
    """Remove a match trial."""
    trials.remove(str(store().path), owner, trial_id)
    return done()

"""Routes of point matches."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from flask import Blueprint, Response, request

from scripts.render_ws import matches, model
from scripts.render_ws.errors import BadRequest
from scripts.render_ws.matches import CollectionKey, Query
from scripts.render_ws.web import (
    COLLECTION,
    collection_key,
    created,
    done,
    flag,
    reading,
    required_body,
    store,
    take_collection,
)

match = Blueprint("match", __name__, url_prefix=COLLECTION)
match.url_value_preprocessor(take_collection)


# -- the collection ----------------------------------------------------------------------------


@match.delete("")
def delete_collection() -> Response:
    """Remove a collection."""
    with store().writing() as db:
        matches.delete(db, collection_key())
    return done()


@match.put("collectionId")
def put_collection_id() -> Response:
    """Rename a collection."""
    value = model.mapping(required_body("collection id"))
    try:
        target = CollectionKey(*(model.text(value[name]) for name in CollectionKey._fields))
    except KeyError as error:
        raise BadRequest(f"the collection id has no {error.args[0]}") from error
    model.check_collection_names(*target)
    with store().writing() as db:
        matches.rename(db, collection_key(), target)
    return done()


@match.put("matches")
def put_matches() -> Response:
    """Save pairs, each replacing the one of the same ids."""
    rows = matches.prepare(request.get_data(cache=False))
    with store().writing() as db:
        matches.save(db, collection_key(), rows)
    return created()


@match.put("pGroup/<group>/matchCounts")
def put_match_counts(group: str) -> Response:
    """Do nothing but check the collection: counts are right at any time."""
    with store().reading() as db:
        matches.find(db, collection_key())
    return created()


# -- groups and pairs --------------------------------------------------------------------------

# path: which columns, and whether only of pairs that carry consensus set data
_GROUPS = {
    "pGroupIds": (("p_group",), False),
    "qGroupIds": (("q_group",), False),
    "groupIds": (("p_group", "q_group"), False),
    "multiConsensusGroupIds": (("p_group", "q_group"), True),
    "multiConsensusPGroupIds": (("p_group",), True),
}
# path, the pairs its names ask for, methods, whether points are given (None: as the request says)
_PAIRS: tuple[tuple[str, Callable[..., Query], str, bool | None], ...] = (
    ("pGroup/<group>/matches", matches.of_p_group, "GET DELETE", None),
    ("pGroup/<group>/matchCounts", matches.of_p_group, "GET", False),
    ("group/<group>/matchesWithinGroup", matches.within, "GET", None),
    ("group/<group>/matchesOutsideGroup", matches.outside, "GET DELETE", None),
    ("group/<a>/matchesWith/<b>", matches.between, "GET DELETE", None),
    ("group/<group>/id/<item>/matchesWith/<other>", matches.of_canvas_and_group, "GET", None),
    (
        "group/<p_group>/id/<p_id>/matchesWith/<q_group>/id/<q_id>",
        matches.of_pair,
        "GET DELETE",
        True,
    ),
    ("group/<group>/id/<item>", matches.of_canvas, "GET DELETE", True),
)


def _groups_route(path: str, columns: tuple[str, ...], consensus: bool) -> None:
    @reading
    def groups(db: sqlite3.Connection) -> object:
        return matches.groups(db, collection_key(), columns, consensus=consensus)

    groups.__doc__ = "Return group ids: " + (
        "of pairs with consensus sets." if consensus else f"{' and '.join(columns)}."
    )
    match.add_url_rule(path, path, groups)


def _pairs_route(
    path: str, query: Callable[..., Query], methods: str, details: bool | None
) -> None:
    @reading
    def get(db: sqlite3.Connection, **names: str) -> object:
        key, merged = collection_key(), request.args.getlist("mergeCollection")
        # a name given again joins nothing again
        keys = list(dict.fromkeys([key, *(CollectionKey(key.owner, name) for name in merged)]))
        wanted = not flag("excludeMatchDetails") if details is None else details
        return matches.select(db, keys, query(**names), details=wanted)

    def delete(**names: str) -> Response:
        with store().writing() as db:
            matches.remove(db, collection_key(), query(**names))
        return done()

    for method, view in (("GET", get), ("DELETE", delete)):
        does = {"GET": "Return", "DELETE": "Remove"}[method]
        view.__doc__ = f"{does} {(query.__doc__ or '').split('. ')[0].removeprefix('Ask for ')}"
        if method in methods:
            match.add_url_rule(path, f"{method} {path}".replace(".", ""), view, methods=[method])


for _path, _how in _GROUPS.items():
    _groups_route(_path, *_how)
for _row in _PAIRS:
    _pairs_route(*_row)

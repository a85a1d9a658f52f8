"""Routes of spec render-ws 2.6: point matches."""

from __future__ import annotations

from flask import Blueprint, Response, request

from scripts.render_ws import matches, model
from scripts.render_ws.errors import BadRequest
from scripts.render_ws.matches import CollectionKey, Query
from scripts.render_ws.web import (
    COLLECTION,
    answer,
    body,
    collection_key,
    created,
    done,
    flag,
    required_body,
    store,
    take_collection,
)

match = Blueprint("match", __name__, url_prefix=COLLECTION)
match.url_value_preprocessor(take_collection)
_BETWEEN = "group/<p_group>/matchesWith/<q_group>"
_PAIR = "group/<p_group>/id/<p_id>/matchesWith/<q_group>/id/<q_id>"


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
    rows = matches.prepare(body())
    with store().writing() as db:
        matches.save(db, collection_key(), rows)
    return created()


@match.put("pGroup/<group>/matchCounts")
def put_match_counts(group: str) -> Response:
    """Do nothing but check the collection: counts are right at any time."""
    with store().reading() as db:
        matches.find(db, collection_key())
    return created()


# -- groups ------------------------------------------------------------------------------------


def _groups(*columns: str, consensus: bool = False) -> Response:
    with store().reading() as db:
        return answer(matches.groups(db, collection_key(), columns, consensus=consensus))


@match.get("pGroupIds")
def p_group_ids() -> Response:
    """Return the groups of the p sides."""
    return _groups("p_group")


@match.get("qGroupIds")
def q_group_ids() -> Response:
    """Return the groups of the q sides."""
    return _groups("q_group")


@match.get("groupIds")
def group_ids() -> Response:
    """Return all groups."""
    return _groups("p_group", "q_group")


@match.get("multiConsensusGroupIds")
def multi_consensus_group_ids() -> Response:
    """Return the groups of pairs that carry consensus set data."""
    return _groups("p_group", "q_group", consensus=True)


@match.get("multiConsensusPGroupIds")
def multi_consensus_p_group_ids() -> Response:
    """Return the p groups of pairs that carry consensus set data."""
    return _groups("p_group", consensus=True)


# -- pairs -------------------------------------------------------------------------------------


def _select(query: Query, *, details: bool) -> Response:
    key = collection_key()
    merged = [CollectionKey(key.owner, name) for name in request.args.getlist("mergeCollection")]
    with store().reading() as db:
        return answer(matches.select(db, [key, *merged], query, details=details))


def _remove(query: Query) -> Response:
    with store().writing() as db:
        matches.remove(db, collection_key(), query)
    return done()


def _wanted() -> bool:
    return not flag("excludeMatchDetails")


@match.get("pGroup/<group>/matches")
def p_group_matches(group: str) -> Response:
    """Return the pairs whose p lies in the group."""
    return _select(matches.of_p_group(group), details=_wanted())


@match.get("pGroup/<group>/matchCounts")
def p_group_match_counts(group: str) -> Response:
    """Return the pairs whose p lies in the group, without points."""
    return _select(matches.of_p_group(group), details=False)


@match.delete("pGroup/<group>/matches")
def delete_p_group_matches(group: str) -> Response:
    """Remove the pairs whose p lies in the group."""
    return _remove(matches.of_p_group(group))


@match.get("group/<group>/matchesWithinGroup")
def matches_within_group(group: str) -> Response:
    """Return the pairs with both sides in the group."""
    return _select(matches.within(group), details=_wanted())


@match.get("group/<group>/matchesOutsideGroup")
def matches_outside_group(group: str) -> Response:
    """Return the pairs with one side in the group."""
    return _select(matches.outside(group), details=_wanted())


@match.delete("group/<group>/matchesOutsideGroup")
def delete_matches_outside_group(group: str) -> Response:
    """Remove the pairs with one side in the group."""
    return _remove(matches.outside(group))


@match.get(_BETWEEN)
def matches_between_groups(p_group: str, q_group: str) -> Response:
    """Return the pairs between two groups."""
    return _select(matches.between(p_group, q_group), details=_wanted())


@match.delete(_BETWEEN)
def delete_matches_between_groups(p_group: str, q_group: str) -> Response:
    """Remove the pairs between two groups."""
    return _remove(matches.between(p_group, q_group))


@match.get("group/<group>/id/<canvas>/matchesWith/<other>")
def matches_of_canvas_with_group(group: str, canvas: str, other: str) -> Response:
    """Return the pairs of one canvas with a group."""
    return _select(matches.of_canvas_and_group(group, canvas, other), details=_wanted())


@match.get(_PAIR)
def matches_of_pair(p_group: str, p_id: str, q_group: str, q_id: str) -> Response:
    """Return a list with the one pair of two canvases, or an empty one."""
    return _select(matches.of_pair((p_group, p_id, q_group, q_id)), details=True)


@match.delete(_PAIR)
def delete_pair(p_group: str, p_id: str, q_group: str, q_id: str) -> Response:
    """Remove the pair of two canvases."""
    return _remove(matches.of_pair((p_group, p_id, q_group, q_id)))


@match.get("group/<group>/id/<canvas>")
def matches_of_canvas(group: str, canvas: str) -> Response:
    """Return the pairs that have the canvas on either side."""
    return _select(matches.of_canvas(group, canvas), details=True)


@match.delete("group/<group>/id/<canvas>")
def delete_canvas(group: str, canvas: str) -> Response:
    """Remove the pairs that have the canvas on either side."""
    return _remove(matches.of_canvas(group, canvas))

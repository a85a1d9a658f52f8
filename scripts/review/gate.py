"""Gate: is the match graph fit to be solved? Checks with thresholds, and what to do about each.

G0 layers in the order of the specimen; G1 no invalid tile, no damaged one undecided; G2 attempted
pairs = planned pairs; G3 share of saved pairs; G4 one cluster; G5 no unconnected tile; G6 longest
edge gap; G7 shares of patched, derived and automatically excluded. A failing check says what is
wrong and where, which decisions mend it, and which setting accepts it; `remedies` puts those of all
checks together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.lib import commands
from scripts.review import damaged, resin
from scripts.review.evidence import Check, Entries, Evidence, Limits, Row, edge_of
from scripts.review.statistics import in_words

NAMED = 5  # tiles named in a message; the table names all
HALF = 0.5  # of all tiles: even a few are not few then


def checks(found: Evidence, limits: Limits) -> list[Check]:
    """Return all checks, G0 to G7.

    Parameters
    ----------
    found
        Figures and tables of the review.
    limits
        Thresholds.

    Returns
    -------
    list of Check
        In the order of the config's keys; those that do not apply are left out.
    """
    return [
        check_order(found.figures.get("order") or {}, limits),
        check_invalid(found.figures.get("invalid_tiles", []), limits),
        check_damaged(found.figures.get("spoilt_tiles", []), found, limits),
        check_attempted(found.figures["pairs_attempted"], found.planned, limits),
        *check_shares(found.figures["saved"], limits),
        *check_connected(found, limits),
        check_edges(found.edges, limits),
        check_edge_shares(found, limits),
        check_patched(found, limits),
        check_derived(
            found.figures, limits, found.edges, found.mend_seams(filter(_bridged, found.edges))
        ),
        *check_auto(found.tiles, limits),
    ]


def check_order(disorder: Mapping[str, Any], limits: Limits) -> Check:
    """Check that layers follow one another as the specimen does (G0).

    Layers of another place may match well enough to be connected: no other check fails then.

    Parameters
    ----------
    disorder
        Of `order.find`.
    limits
        Thresholds.

    Returns
    -------
    Check
        Which accepts as many layers out of place as there are.
    """
    count = len(disorder.get("moves", ()))
    return _count(
        "misplaced_layers",
        count,
        limits.max_misplaced_layers,
        f"{count} layers have to move for the layers to follow one another as the specimen does",
        accept={"max_misplaced_layers": count},
        loss=f"{count} layers stay where they lie, in the wrong order",
    )


def check_invalid(ids: Sequence[str], limits: Limits) -> Check:
    """Check that every tile can be placed (G1).

    Parameters
    ----------
    ids
        Ids of tiles without size, finite place or image.
    limits
        Thresholds.

    Returns
    -------
    Check
        With the lines to add to the config when it fails.
    """
    return _count(
        "invalid_tiles",
        len(ids),
        limits.max_invalid_tiles,
        f"{len(ids)} tiles have no size, no finite place or no image: {_names(ids)}. Exclude them,"
        f" or type: {commands.again('publish_acquire')}",
        mend={"exclude": [_entry(ids, "invalid tile spec")]},
    )


def check_damaged(ids: Sequence[str], found: Evidence, limits: Limits) -> Check:
    """Check that each damaged tile is patched, excluded or kept on purpose (G1).

    Parameters
    ----------
    ids
        Ids of damaged tiles that nobody decided on.
    found
        Patches tell why a tile should be replaced, proposals are quoted.
    limits
        Thresholds.

    Returns
    -------
    Check
        With the lines to add to the config when it fails.
    """
    why = damaged.reasons(found)
    named = [f"{i} ({why[i]})" if i in why else i for i in ids]
    return _count(
        "spoilt_tiles",
        len(ids),
        limits.max_spoilt_tiles,
        f"{len(ids)} tiles look damaged and would go into the solve: {_names(named)}."
        f" {damaged.choices(ids, why)}",
        mend=damaged.mend(ids, found),
    )


def check_attempted(results: int, planned: int, limits: Limits) -> Check:
    """Check that every planned pair has a row, and no other has (G2).

    Parameters
    ----------
    results
        Rows of results.
    planned
        Pairs of the plan.
    limits
        Thresholds.

    Returns
    -------
    Check
        With the lines to add to the config when it fails.
    """
    absent = abs(planned - results)
    message = (
        f"match/results: expected a row for each of the {planned} planned pairs, found"
        f" {results}; type: {commands.again('match_pairs')}"
    )
    good = absent <= limits.max_unattempted_pairs
    return _check(
        "attempted_pairs", results, f"{planned} planned", good, message,
        accept={"max_unattempted_pairs": absent}, loss=f"{absent} pairs are never tried",
    )  # fmt: skip


def check_connected(found: Evidence, limits: Limits) -> list[Check]:
    """Check for one cluster and no unconnected tile, after the decisions (G4, G5).

    Parameters
    ----------
    found
        Figures, tiles and proposals of the review.
    limits
        Thresholds.

    Returns
    -------
    list of Check
        One of each threshold.
    """
    clusters = found.figures["after"]["clusters"]
    lonely = [row["tile_id"] for row in found.tiles if row["state"] == "unconnected"]
    small = [row["tile_id"] for row in found.tiles if row["state"] == "small_cluster"]
    advice = "All of them are in review/tiles.tsv (column state)"
    # where nothing is connected all would be excluded
    mend = found.proposed if clusters else {}
    others = "; ".join(
        f"{one['tiles']} tiles of cells {' '.join(one['cells'][:NAMED])}, z {one['z_first']:g} to"
        f" {one['z_last']:g}"
        for one in clusters[1 : NAMED + 1]
    )
    return [
        _count(
            "clusters",
            len(clusters),
            limits.max_clusters,
            f"the matches join the tiles into {len(clusters)} clusters, expected"
            f" {limits.max_clusters}; {len(small)} tiles are outside the largest: {_names(small)}"
            f" ({others}). {advice}",
            mend=mend,
            accept={"max_clusters": len(clusters)},
            loss="the solve cannot tell where the parts lie to each other",
        ),
        _count(
            "unconnected_tiles",
            len(lonely),
            limits.max_unconnected_tiles,
            f"{len(lonely)} tiles have no match to any other: {_names(lonely)}. {advice}",
            mend=mend,
        ),
    ]


def check_edges(gaps: Sequence[Row], limits: Limits) -> Check:
    """Check the longest run of layers without a match, or a bridge, across an edge (G6).

    Parameters
    ----------
    gaps
        Rows of ``review/edges.tsv``.
    limits
        Thresholds.

    Returns
    -------
    Check
        With the lines to add to the config when it fails.
    """
    worst = max(gaps, key=_left, default=None)
    longest = _left(worst) if worst else 0
    over = [row for row in gaps if _left(row) > limits.max_edge_gap_layers]
    return _count(
        "longest_edge_gap_layers",
        longest,
        limits.max_edge_gap_layers,
        f"{len(over)} edges between neighboring cells have no match for more than"
        f" {limits.max_edge_gap_layers} layers; the longest: {_edge(worst) if worst else ''},"
        f" {longest} layers. All of them are in review/edges.tsv",
        mend={"bridge": [_bridge(row) for row in over]},
        accept={"max_edge_gap_layers": longest},
        loss="the seams there drift apart",
    )


def check_edge_shares(found: Evidence, limits: Limits) -> Check:
    """Check that each edge between neighboring cells has matches in most of its layers (G6).

    Parameters
    ----------
    found
        Edges and tiles of the review.
    limits
        Thresholds.

    Returns
    -------
    Check
        The edges without any match in any layer first.
    """
    seams = found.seams()
    share = {
        key: left / layers
        for key, (left, layers) in seams.items()
        if left == layers or left > limits.few_tiles
    }
    most = limits.max_edge_gap_share
    bad = [key for key in sorted(share, key=lambda key: -share[key]) if share[key] > most]
    named = "; ".join(
        f"cells {k[0]},{k[1]} and {k[2]},{k[3]} in {left} of {layers}"
        for k in bad[:NAMED]
        for left, layers in [seams[k]]
    )
    # without a match in any layer there is nothing to derive others from
    derivable = [key for key in bad if share[key] < 1]
    return _check(
        "edge_gap_share",
        round(max(share.values(), default=0.0), 6),
        f"<= {most:g}",
        not bad,
        f"{len(bad)} edges between neighboring cells have no match in most of their layers:"
        f" {named}. {found.mend_seams(row for row in found.edges if edge_of(row) in bad)}; all gaps"
        " are in review/edges.tsv",
        mend={"bridge": [_bridge(row) for row in found.edges if edge_of(row) in derivable]},
        accept={"max_edge_gap_share": 1},
        loss=f"{len(bad)} seams are held by nothing but the layers' other tiles",
    )


def _left(row: Row) -> int:
    return int(row["layers"]) - _bridged(row)


def _bridged(row: Row) -> int:
    return int(row.get("bridged") or 0)


def _bridge(row: Row) -> dict[str, Any]:
    return {
        "cells": [f"{row['row_a']},{row['column_a']}", f"{row['row_b']},{row['column_b']}"],
        "z_first": float(row["z_first"]),
        "z_last": float(row["z_last"]),
        "reason": f"{row['layers']} layers without a match across this edge",
    }


def check_shares(share: Mapping[str, Mapping[str, int]], limits: Limits) -> list[Check]:
    """Check that enough pairs are saved within layers and between adjacent ones (G3).

    Parameters
    ----------
    share
        ``montage`` and ``dz1`` -> planned and saved pairs.
    limits
        Thresholds.

    Returns
    -------
    list of Check
        One of each threshold.
    """
    wanted = {"montage": limits.min_saved_share_montage, "dz1": limits.min_saved_share_dz1}
    out = []
    for kind, least in wanted.items():
        counts = share.get(kind)
        if counts is None:
            continue
        found = counts["saved"] / counts["planned"]
        message = (
            f"{counts['saved']} of {counts['planned']} {in_words(kind)} were saved"
            f" ({found:.1%}), expected {least:.1%}; where and why pairs failed is in"
            " review/statistics.tsv and match/results (column reason)"
        )
        bad = "failed" if limits.low_share == "fail" else "warning"
        values = f"saved_share_{kind}", round(found, 6), f">= {least:g}"
        accept = {f"min_saved_share_{kind}": int(found * 100) / 100}
        loss = "fewer pairs hold the tiles"
        check = _check(*values, found >= least, message, bad=bad, accept=accept, loss=loss)
        out.append(check)
    return out


def check_patched(found: Evidence, limits: Limits) -> Check:
    """Check the share of tiles that are copies of an adjacent layer's (G7).

    Parameters
    ----------
    found
        Tiles and patches of the review.
    limits
        Thresholds.

    Returns
    -------
    Check
        With the lines to add to the config when it fails.
    """
    made = [row["tile_id"] for row in found.patches if row["state"] == "patched"]
    return _share(
        "patched_share", made, len(found.tiles), limits, "max_patched_share",
        "tiles are copies from an adjacent layer",
        "Their pictures are in review/index.html",
        "are no measured tissue",
    )  # fmt: skip


def check_derived(
    figures: Mapping[str, Any], limits: Limits, gaps: Sequence[Row] = (), advice: str = ""
) -> Check:
    """Check the share of derived pairs among those within layers (G7).

    Parameters
    ----------
    figures
        ``derived_pairs``, and ``saved`` pairs by kind.
    limits
        Thresholds.
    gaps
        Rows of ``review/edges.tsv``: where.
    advice
        What mends these seams.

    Returns
    -------
    Check
        With the lines to add to the config when it fails.
    """
    montage = figures["saved"].get("montage", {}).get("saved", 0)
    derived = int(figures.get("derived_pairs", 0))
    share = derived / max(montage + derived, 1)
    bridged = sorted(filter(_bridged, gaps), key=lambda row: -_bridged(row))
    where = "; ".join(_edge(row) for row in bridged[:NAMED])
    message = (
        f"{derived} of {montage + derived} pairs within layers are derived ({share:.1%}), the limit"
        f" is {limits.max_derived_share:.1%}{f': {where}' if where else ''}; they are in"
        f" review/bridges.tsv. {advice} first"
    )
    most = limits.max_derived_share
    # as for tiles: in a small stack two pairs are many per cent
    good = share <= most or (derived <= limits.few_tiles and share <= HALF)
    return _check(
        "derived_share", round(share, 6), f"<= {most:g}", good, message,
        accept={"max_derived_share": _round_up(share)},
        loss=f"{derived} pairs are interpolated, not measured",
    )  # fmt: skip


def check_auto(tiles: Sequence[Row], limits: Limits) -> list[Check]:
    """Check the shares of tiles that are excluded without being asked (G7).

    Parameters
    ----------
    tiles
        Rows of ``review/tiles.tsv``.
    limits
        Thresholds.

    Returns
    -------
    list of Check
        One of each threshold.
    """
    taken = [row for row in tiles if row["reason"].startswith("auto:")]
    surround = resin.around(tiles) if taken else set()
    lost = [row["tile_id"] for row in taken if row.get("kind") == "tissue"]
    return [
        _share(
            "auto_share",
            [row["tile_id"] for row in taken if row["tile_id"] not in surround],
            len(tiles), limits, "max_auto_share",
            "tiles would be excluded by review.auto, resin around the specimen not counted",
            "If they are tissue, mend the matching (match.preset) first",
            "are left out",
        ),
        _share(
            "lost_tissue_share", lost, len(tiles), limits, "max_lost_tissue_share",
            "tiles would be excluded although they show tissue",
            "Mend the matching (match.preset) first",
            "that show tissue are left out",
        ),
    ]  # fmt: skip


def _check(
    name: str, found: float, expected: str, good: bool, message: str, *, bad: str = "failed",
    mend: Entries | None = None, accept: Mapping[str, float] | None = None, loss: str = "",
) -> Check:  # fmt: skip
    if good:
        return Check(name, found, expected, "passed")
    return Check(name, found, expected, bad, message, mend or {}, accept or {}, loss)


def _count(
    name: str, found: int, most: int, message: str, *,
    mend: Entries | None = None, accept: Mapping[str, float] | None = None, loss: str = "",
) -> Check:  # fmt: skip
    told = {"mend": mend, "accept": accept, "loss": loss}
    return _check(name, found, f"<= {most}", found <= most, message, **told)  # type: ignore[arg-type]


def _share(
    name: str, ids: Sequence[str], of: int, limits: Limits, key: str, what: str, advice: str,
    loss: str,
) -> Check:  # fmt: skip
    share, most = len(ids) / max(of, 1), float(getattr(limits, key))
    # in a small stack two tiles are many per cent, and yet no more than two tiles
    good = share <= most or (len(ids) <= limits.few_tiles and share <= HALF)
    message = (
        f"{len(ids)} of {of} {what} ({share:.1%}), the limit is {most:.1%}: {_names(ids)}. All of"
        f" them are in review/tiles.tsv. {advice}"
    )
    accept = {} if len(ids) == of else {key: _round_up(share)}
    return _check(
        name, round(share, 6), f"<= {most:g}", good, message, accept=accept,
        loss=f"{len(ids)} of {of} tiles {loss}",
    )  # fmt: skip


def _names(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (f", ... ({len(ids)} in all)" if len(ids) > NAMED else "")


def _edge(row: Row) -> str:
    return (
        f"cells {row['row_a']},{row['column_a']} and {row['row_b']},{row['column_b']},"
        f" z {row['z_first']} to {row['z_last']}"
    )


def _entry(ids: Iterable[str], reason: str) -> dict[str, Any]:
    return {"tiles": list(ids), "reason": reason}


def _round_up(share: float) -> float:
    return min(1.0, (int(share * 100) + 1) / 100)

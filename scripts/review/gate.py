"""Gate: is the match graph fit to be solved? Checks with thresholds, and what to do about each.

G1 no invalid tile, no damaged one undecided; G2 attempted pairs = planned pairs; G3 share of saved
pairs; G4 one cluster; G5 no unconnected tile; G6 longest edge gap; G7 shares of patched, derived
and automatically excluded. A failing check says what is wrong, where, and
gives the lines to add to the config of the volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

NAMED = 5  # tiles named in a message; the table names all
Row = Mapping[str, str]


@dataclass(frozen=True)
class Limits:
    """Thresholds of the gate (config section ``review``)."""

    max_invalid_tiles: int = 0
    max_spoilt_tiles: int = 0
    max_unattempted_pairs: int = 0
    min_saved_share_dz1: float = 0.9  # share of pairs of adjacent layers
    min_saved_share_montage: float = 0.5  # share of pairs within a layer
    low_share: str = "warn"  # or "fail"
    max_clusters: int = 1
    max_unconnected_tiles: int = 0
    max_edge_gap_layers: int = 50
    max_patched_share: float = 0.05  # share of all tiles
    max_derived_share: float = 0.1  # share of the pairs within layers
    max_auto_share: float = 0.2  # share of all tiles
    max_lost_tissue_share: float = 0.01  # share of all tiles


@dataclass(frozen=True)
class Check:
    """One check: what was found, what is expected, and what to do when it does not hold."""

    name: str
    found: Any
    expected: str
    status: str  # passed, warning or failed
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the form of ``review/gate.json``.

        Returns
        -------
        dict
            The fields.
        """
        return asdict(self)


@dataclass(frozen=True)
class Evidence:
    """What the gate looks at: figures, tables of the review, and its proposals (YAML)."""

    figures: Mapping[str, Any]  # review/clusters.json
    tiles: Sequence[Row]
    edges: Sequence[Row]
    patches: Sequence[Row]
    proposals: str
    planned: int  # pairs


def checks(found: Evidence, limits: Limits) -> list[Check]:
    """Return all checks, G1 to G7.

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
        check_invalid(found.figures.get("invalid_tiles", []), limits),
        check_damaged(found.figures.get("spoilt_tiles", []), found, limits),
        check_attempted(found.figures["pairs_attempted"], found.planned, limits),
        *check_shares(found.figures["saved"], limits),
        *check_connected(found, limits),
        check_edges(found.edges, limits),
        check_patched(found, limits),
        check_derived(found.figures, limits),
        *check_auto(found.tiles, limits),
    ]


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
        f"{len(ids)} tiles have no size, no finite place or no image: {_names(ids)}. Run again with"
        f" --forcerun publish_acquire; or{_lines(_entry('exclude', ids, 'invalid tile spec'))}",
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
    why = {row["replaces"]: row["reason"] for row in found.patches}
    named = [f"{i} ({why[i]})" if i in why else i for i in ids]
    return _count(
        "spoilt_tiles",
        len(ids),
        limits.max_spoilt_tiles,
        f"{len(ids)} tiles look damaged and would go into the solve: {_names(named)}. They are"
        " shown in review/index.html. Set review.auto: true to replace them, or"
        f"{_lines(found.proposals)}To use them as they are, instead"
        f"{_lines(_entry('keep', ids, 'looked at: usable'))}",
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
        f" {results}; run again with --forcerun match_pairs, or"
        f"{_lines(f'max_unattempted_pairs: {absent}')}"
    )
    good = absent <= limits.max_unattempted_pairs
    return _check("attempted_pairs", results, f"{planned} planned", good, message)


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
    advice = (
        "All of them are in review/tiles.tsv (column state) and shown in review/index.html. Set"
        f" review.auto: true, or{_lines(found.proposals)}"
    )
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
        ),
        _count(
            "unconnected_tiles",
            len(lonely),
            limits.max_unconnected_tiles,
            f"{len(lonely)} tiles have no match to any other: {_names(lonely)}. {advice}",
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

    def _left(row: Row) -> int:
        return int(row["layers"]) - int(row.get("bridged") or 0)

    worst = max(gaps, key=_left, default=None)
    longest = _left(worst) if worst else 0
    over = [row for row in gaps if _left(row) > limits.max_edge_gap_layers]
    entries = "bridge:\n" + "".join(
        f'  - cells: ["{r["row_a"]},{r["column_a"]}", "{r["row_b"]},{r["column_b"]}"]\n'
        f'    z_first: {r["z_first"]}\n    z_last: {r["z_last"]}\n    reason: "seam"\n'
        for r in over
    )
    return _count(
        "longest_edge_gap_layers",
        longest,
        limits.max_edge_gap_layers,
        f"{len(over)} edges between neighboring cells have no match for more than"
        f" {limits.max_edge_gap_layers} layers; the longest: {_edge(worst) if worst else ''},"
        f" {longest} layers. All of them are in review/edges.tsv. To derive matches from the layers"
        f" around,{_lines(entries)}To accept them,{_lines(f'max_edge_gap_layers: {longest}')}",
    )


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
            f"{counts['saved']} of {counts['planned']} {kind} pairs were saved ({found:.1%}),"
            f" expected {least:.1%}; where and why pairs failed is in review/statistics.tsv and"
            " match/results (column reason). To accept,"
            f"{_lines(f'min_saved_share_{kind}: {int(found * 100) / 100:g}')}"
        )
        bad = "failed" if limits.low_share == "fail" else "warning"
        values = f"saved_share_{kind}", round(found, 6), f">= {least:g}"
        out.append(_check(*values, found >= least, message, bad=bad))
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
        "patched_share", made, len(found.tiles), limits.max_patched_share, "max_patched_share",
        "tiles are copies from an adjacent layer",
        "If their pictures in review/index.html are right,",
    )  # fmt: skip


def check_derived(figures: Mapping[str, Any], limits: Limits) -> Check:
    """Check the share of derived pairs among those within layers (G7).

    Parameters
    ----------
    figures
        ``derived_pairs``, and ``saved`` pairs by kind.
    limits
        Thresholds.

    Returns
    -------
    Check
        With the lines to add to the config when it fails.
    """
    montage = figures["saved"].get("montage", {}).get("saved", 0)
    derived = int(figures.get("derived_pairs", 0))
    share = derived / max(montage + derived, 1)
    message = (
        f"{derived} of {montage + derived} pairs within layers are derived ({share:.1%}), the limit"
        f" is {limits.max_derived_share:.1%}; they are in review/bridges.tsv. Mend the matching of"
        f" these seams first; to accept,{_lines(f'max_derived_share: {_round_up(share)}')}"
    )
    most = limits.max_derived_share
    return _check("derived_share", round(share, 6), f"<= {most:g}", share <= most, message)


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
    lost = [row["tile_id"] for row in taken if row.get("kind") == "tissue"]
    return [
        _share(
            "auto_share", [row["tile_id"] for row in taken], len(tiles), limits.max_auto_share,
            "max_auto_share", "tiles would be excluded by review.auto",
            "If they are tissue, mend the matching first; if they are resin,",
        ),
        _share(
            "lost_tissue_share", lost, len(tiles), limits.max_lost_tissue_share,
            "max_lost_tissue_share", "tiles would be excluded although they show tissue",
            "Mend the matching (match.preset) first. To accept,",
        ),
    ]  # fmt: skip


def failure(found: Sequence[Check]) -> str | None:
    """Return what a failing gate says.

    Parameters
    ----------
    found
        All checks.

    Returns
    -------
    str or None
        One paragraph for each check that failed; None when the gate passes.
    """
    failed = [check for check in found if check.status == "failed"]
    if not failed:
        return None
    lines = "\n".join(f"- {check.name}: {check.message.rstrip()}\n" for check in failed)
    return (
        f"the gate before the solve does not open ({len(failed)} of {len(found)} checks); pictures"
        f" are in review/index.html:\n{lines}"
    )


def _check(
    name: str, found: float, expected: str, good: bool, message: str, *, bad: str = "failed"
) -> Check:
    return Check(name, found, expected, "passed" if good else bad, "" if good else message)


def _count(name: str, found: int, most: int, message: str) -> Check:
    return _check(name, found, f"<= {most}", found <= most, message)


def _share(
    name: str, ids: Sequence[str], of: int, most: float, key: str, what: str, advice: str
) -> Check:
    share = len(ids) / max(of, 1)
    message = (
        f"{len(ids)} of {of} {what} ({share:.1%}), the limit is {most:.1%}: {_names(ids)}. All of"
        f" them are in review/tiles.tsv. {advice}{_lines(f'{key}: {_round_up(share)}')}"
    )
    return _check(name, round(share, 6), f"<= {most:g}", share <= most, message)


def _names(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (f", ... ({len(ids)} in all)" if len(ids) > NAMED else "")


def _edge(row: Row) -> str:
    return (
        f"cells {row['row_a']},{row['column_a']} and {row['row_b']},{row['column_b']},"
        f" z {row['z_first']} to {row['z_last']}"
    )


def _entry(key: str, ids: Iterable[str], reason: str) -> str:
    text = ", ".join(f'"{one}"' for one in ids)
    return f'{key}:\n  - tiles: [{text}]\n    reason: "{reason}"\n'


def _lines(text: str) -> str:
    """Return the lines to add, ready to paste."""
    body = "".join(f"  {line}\n" for line in text.splitlines())
    return f" add to the config of the volume:\n\nreview:\n{body}\n"


def _round_up(share: float) -> str:
    return f"{min(1.0, (int(share * 100) + 1) / 100):g}"

"""L4 · Gate: is the match graph fit to be solved? Checks with thresholds, told in words.

G2 attempted pairs = planned pairs; G3 share of saved pairs; G4 one cluster; G5 no unconnected
tile; G6 longest edge gap; and the share of tiles excluded automatically (spec match-review 17).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAMED = 5  # tiles named in a message; the table names all


@dataclass(frozen=True)
class Limits:
    """Thresholds of the gate (config section ``review``)."""

    max_auto_share: float = 0.2  # share of all tiles
    max_edge_gap_layers: int = 50
    min_saved_share_dz1: float = 0.9  # share of pairs of adjacent layers
    min_saved_share_montage: float = 0.5  # share of pairs within a layer
    low_share: str = "warn"  # or "fail"


@dataclass(frozen=True)
class Check:
    """One check: what was found, what is expected, and what to do when it does not hold."""

    name: str
    found: Any
    expected: str
    status: str  # passed, warning or failed
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the form of ``review/gate.json``."""
        return {
            "name": self.name,
            "found": self.found,
            "expected": self.expected,
            "status": self.status,
            "message": self.message,
        }


def shares(
    results: Iterable[Mapping[str, str]], gone: Collection[str]
) -> dict[str, dict[str, int]]:
    """Count planned and saved pairs of tiles that stay, by kind: montage, dz1, dz2 ..."""
    out: dict[str, dict[str, int]] = {}
    for row in results:
        if row["p_id"] in gone or row["q_id"] in gone:
            continue
        dz = float(row["dz"])
        kind = out.setdefault(f"dz{dz:g}" if dz else "montage", {"planned": 0, "saved": 0})
        kind["planned"] += 1
        kind["saved"] += row["saved"] == "1"
    return dict(sorted(out.items()))


def check_attempted(results: int, planned: int) -> Check:
    """Check that every planned pair has a row (G2)."""
    return _check(
        "attempted_pairs",
        results,
        f"{planned} planned",
        results == planned,
        f"match/results: expected a row for each of the {planned} planned pairs, found {results};"
        " run again with --forcerun match_pairs",
    )


def check_connected(tiles: Sequence[Mapping[str, str]], clusters: int, yaml: str) -> list[Check]:
    """Check for one cluster and no unconnected tile, after the decisions (G4, G5)."""
    lonely = [row["tile_id"] for row in tiles if row["state"] == "unconnected"]
    small = [row["tile_id"] for row in tiles if row["state"] == "small_cluster"]
    advice = (
        "All of them are in review/tiles.tsv (column state). Set review.auto: true, or look at them"
        f" and add to the config of the volume:\n\nreview:\n{_indented(yaml)}"
    )
    return [
        _check(
            "clusters",
            clusters,
            "1",
            clusters == 1,
            f"the matches join the tiles into {clusters} clusters, expected 1; {len(small)} tiles"
            f" are outside the largest: {_names(small)}. {advice}",
        ),
        _check(
            "unconnected_tiles",
            len(lonely),
            "0",
            not lonely,
            f"{len(lonely)} tiles have no match to any other: {_names(lonely)}. {advice}",
        ),
    ]


def check_auto(tiles: Sequence[Mapping[str, str]], limits: Limits) -> Check:
    """Check the share of tiles that is excluded without being asked."""
    taken = [row["tile_id"] for row in tiles if row["reason"].startswith("auto:")]
    share = len(taken) / max(len(tiles), 1)
    return _check(
        "auto_share",
        round(share, 6),
        f"<= {limits.max_auto_share:g}",
        share <= limits.max_auto_share,
        f"review.auto would exclude {len(taken)} of {len(tiles)} tiles ({share:.1%}), the limit is"
        f" {limits.max_auto_share:.1%}: {_names(taken)}. All of them are in review/tiles.tsv."
        f" If they are resin, set review.max_auto_share: {_round_up(share)}; if they are tissue,"
        " mend the matching first",
    )


def check_edges(gaps: Sequence[Mapping[str, str]], limits: Limits) -> Check:
    """Check the longest run of layers without a match across an edge (G6)."""
    worst = max(gaps, key=lambda row: int(row["layers"]), default=None)
    longest = int(worst["layers"]) if worst else 0
    over = sum(int(row["layers"]) > limits.max_edge_gap_layers for row in gaps)
    where = _edge(worst) if worst else ""
    return _check(
        "longest_edge_gap_layers",
        longest,
        f"<= {limits.max_edge_gap_layers}",
        not over,
        f"{over} edges between neighboring cells have no match for more than"
        f" {limits.max_edge_gap_layers} layers; the longest: {where}, {longest} layers. All of them"
        f" are in review/edges.tsv. To accept, set review.max_edge_gap_layers: {longest}",
    )


def check_shares(share: Mapping[str, Mapping[str, int]], limits: Limits) -> list[Check]:
    """Check that enough pairs are saved within layers and between adjacent ones (G3)."""
    wanted = {"montage": limits.min_saved_share_montage, "dz1": limits.min_saved_share_dz1}
    out = []
    for kind, least in wanted.items():
        counts = share.get(kind)
        if counts is None:
            continue
        found = counts["saved"] / counts["planned"]
        message = (
            f"{counts['saved']} of {counts['planned']} {kind} pairs were saved ({found:.1%}),"
            f" expected {least:.1%}; why pairs failed is in match/results (column reason)."
            f" To accept, set review.min_saved_share_{kind}: {int(found * 100) / 100:g}"
        )
        name, expected = f"saved_share_{kind}", f">= {least:g}"
        bad = "failed" if limits.low_share == "fail" else "warning"
        out.append(_check(name, round(found, 6), expected, found >= least, message, bad))
    return out


def failure(checks: Sequence[Check]) -> str | None:
    """Give what a failing gate says, None when it passes."""
    failed = [check for check in checks if check.status == "failed"]
    if not failed:
        return None
    lines = "\n".join(f"- {check.name}: {check.message}" for check in failed)
    return (
        f"the gate before the solve does not open ({len(failed)} of {len(checks)} checks):\n{lines}"
    )


def _check(
    name: str, found: object, expected: str, good: bool, message: str, bad: str = "failed"
) -> Check:
    return Check(name, found, expected, "passed" if good else bad, "" if good else message)


def _names(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (f", ... ({len(ids)} in all)" if len(ids) > NAMED else "")


def _edge(row: Mapping[str, str]) -> str:
    return (
        f"cells {row['row_a']},{row['column_a']} and {row['row_b']},{row['column_b']},"
        f" z {row['z_first']} to {row['z_last']}"
    )


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def _round_up(share: float) -> str:
    return f"{min(1.0, (int(share * 100) + 1) / 100):g}"

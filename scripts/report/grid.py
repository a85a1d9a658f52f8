"""Grid: what is missing, not matched or left out, by place in the grid of tiles.

A tile that is missing once is a hole; the same place missing again and again is a column that was
not copied, or a grid that the config has wrong. The same is true of the edges between tiles.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from scripts.lib.names import WIDE_RUN
from scripts.report.gather import Evidence, Table

Cell = str  # "row-column"
Edge = tuple[Cell, Cell]
NEAR = ("excluded", "missing")  # states of the review whose tiles are not asked for
DAMAGED, PATCHED = "damaged", "patched"  # kind and state of the review


@dataclass(frozen=True)
class Share:
    """How many of `total` are counted in `found`, and in which layers those are."""

    found: int
    total: int
    z: tuple[int, ...] = ()
    harmed: int = 0  # of those that are not counted: one of the tiles is damaged, or a patch

    @property
    def pct(self) -> float:
        """Return the share in percent; 0 of nothing.

        Returns
        -------
        float
            0 to 100.
        """
        return 100 * self.found / self.total if self.total else 0.0


@dataclass(frozen=True)
class LeftOut:
    """Pairs of one edge that follow one another and that the solve has left out as wrong."""

    edge: Edge
    dz: int
    z: tuple[int, ...]
    pairs: tuple[tuple[str, str], ...]  # ids (p, q) in order of z
    share: Share  # of all pairs of the edge
    in_a_row: int

    @property
    def kind(self) -> str:
        """Return ``"montage"`` or ``"cross"``.

        Returns
        -------
        str
            Pairs of one layer, or of two.
        """
        return "cross" if self.dz else "montage"


def cell(row: int, column: int) -> Cell:
    """Return the name of a cell.

    Parameters
    ----------
    row, column
        From 0.

    Returns
    -------
    Cell
        ``<row>-<column>``.
    """
    return f"{row}-{column}"


def missing(layers: Table) -> dict[Cell, Share]:
    """Count the layers that lack each cell; those without any tile are gaps, and not counted.

    Parameters
    ----------
    layers
        Table ``layers`` of the evidence.

    Returns
    -------
    dict of Share
        By cell, of those that are missing anywhere.
    """
    there = layers.where((layers["status"] != "gap") & (layers["layer_id"] != ""))
    at: dict[Cell, list[int]] = defaultdict(list)
    for z, keys in zip(there["z"].tolist(), there["missing"].tolist(), strict=True):
        for key in filter(None, keys.split(",")):
            at[key.split("-", 1)[1]].append(z)
    return {name: Share(len(z), len(there), tuple(z)) for name, z in sorted(at.items())}


def absent_lines(found: Mapping[Cell, Share], rows: int, columns: int) -> list[str]:
    """Return the rows and columns of the grid that no layer has.

    Parameters
    ----------
    found
        What `missing` returns.
    rows, columns
        Size of the grid, as configured.

    Returns
    -------
    list of str
        As ``column 2``, rows first.
    """
    gone = {name for name, share in found.items() if share.found == share.total}
    lines = {f"row {r}": {cell(r, c) for c in range(columns)} for r in range(rows)}
    lines |= {f"column {c}": {cell(r, c) for r in range(rows)} for c in range(columns)}
    return [name for name, cells in lines.items() if cells <= gone]


def asked(tiles: Table) -> dict[str, tuple[int, Cell]]:
    """Return z and cell of every tile that ought to match: neither excluded nor resin.

    Parameters
    ----------
    tiles
        Table ``review`` of the evidence.

    Returns
    -------
    dict
        z and cell by tile id.
    """
    kinds = tiles["kind"].tolist() if "kind" in tiles.columns else [""] * len(tiles)
    each = zip(
        tiles["tile_id"].tolist(), tiles["z"].tolist(), tiles["row"].tolist(),
        tiles["column"].tolist(), tiles["state"].tolist(), kinds, strict=True,
    )  # fmt: skip
    return {
        name: (z, cell(row, column))
        for name, z, row, column, state, kind in each
        if state not in NEAR and kind != "resin"
    }


def harmed(tiles: Table) -> set[str]:
    """Return the tiles whose own image, or that of a patch in its place, is why nothing matches.

    Parameters
    ----------
    tiles
        Table ``review`` of the evidence.

    Returns
    -------
    set of str
        Ids.
    """
    kinds = tiles["kind"] if "kind" in tiles.columns else np.full(len(tiles), "")
    return set(tiles["tile_id"][(kinds == DAMAGED) | (tiles["state"] == PATCHED)].tolist())


def edges(evidence: Evidence) -> dict[Edge, Share]:
    """Count, for each edge of the grid, the layers with matches among those with both its tiles.

    Parameters
    ----------
    evidence
        Its tables ``review`` and ``results`` are used.

    Returns
    -------
    dict
        By edge; ``z`` are the layers without matches.
    """
    tiles, bad = asked(evidence["review"]), harmed(evidence["review"])
    damaged = {place for name, place in tiles.items() if name in bad}
    present: dict[Edge, set[int]] = defaultdict(set)
    cells: dict[int, set[Cell]] = defaultdict(set)
    for z, name in tiles.values():
        cells[z].add(name)
    for z, there in cells.items():
        for edge in _neighbors(there):
            present[edge].add(z)
    saved = evidence.results.where((evidence.results["saved"] == 1) & (evidence.results["dz"] == 0))
    for p, q in zip(saved["p_id"].tolist(), saved["q_id"].tolist(), strict=True):
        if p in tiles and q in tiles:
            present[_edge(tiles[p][1], tiles[q][1])].discard(tiles[p][0])
    total = Counter(edge for there in cells.values() for edge in _neighbors(there))
    return {
        edge: Share(
            total[edge] - len(without),
            total[edge],
            tuple(sorted(without)),
            sum(any((z, name) in damaged for name in edge) for z in without),
        )
        for edge, without in sorted(present.items())
        if total[edge]
    }


def _neighbors(cells: set[Cell]) -> Iterator[Edge]:
    for name in cells:
        row, column = map(int, name.split("-"))
        for other in (cell(row, column + 1), cell(row + 1, column)):
            if other in cells:
                yield _edge(name, other)


def _edge(a: Cell, b: Cell) -> Edge:
    return (a, b) if a <= b else (b, a)


def runs(evidence: Evidence) -> dict[str, Share]:
    """Count the saved pairs of near layers by run, among tiles that ought to match.

    A pair that failed and that the wide search saved has matches, whichever run planned it.

    Parameters
    ----------
    evidence
        Its tables ``review`` and ``results`` are used.

    Returns
    -------
    dict
        By run; ``z`` are the lower layers of pairs without matches.
    """
    table, tiles, bad = evidence.results, asked(evidence["review"]), harmed(evidence["review"])
    near = table.where(table["dz"] <= 1)
    late = near.where((near["run"] == WIDE_RUN) & (near["saved"] == 1))
    joined = set(zip(late["p_id"].tolist(), late["q_id"].tolist(), strict=True))
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    lost: dict[str, set[int]] = defaultdict(set)
    each = (near[name].tolist() for name in ("run", "p_id", "q_id", "saved"))
    for run, p, q, saved in zip(*each, strict=True):
        if tiles and (p not in tiles or q not in tiles):
            continue
        saved = saved or (p, q) in joined
        counts[run][0] += saved
        counts[run][1] += 1
        counts[run][2] += not saved and bool({p, q} & bad)
        if not saved and tiles:
            lost[run].add(min(tiles[p][0], tiles[q][0]))
    return {
        run: Share(saved, total, tuple(sorted(lost[run])), damaged)
        for run, (saved, total, damaged) in counts.items()
    }


def left_out(evidence: Evidence) -> list[LeftOut]:
    """Return, for each edge of near layers, the pairs that the solve gave no weight.

    Parameters
    ----------
    evidence
        Its tables ``pairs`` and ``solved`` are used.

    Returns
    -------
    list of LeftOut
        The longest row of such pairs of each edge that has any.
    """
    table = evidence["pairs"].where(evidence["pairs"]["dz"] <= 1)
    place = _places(evidence["solved"])
    edges: dict[tuple[Edge, int], list[tuple[int, str, str, bool]]] = defaultdict(list)
    each = (table[name].tolist() for name in ("p_id", "q_id", "dz", "weight"))
    for p, q, dz, weight in zip(*each, strict=True):
        if p in place and q in place:
            edge = _edge(place[p][1], place[q][1])
            z = min(place[p][0], place[q][0])
            edges[edge, dz].append((z, p, q, weight == 0))
    made = (_left_out(edge, dz, sorted(pairs)) for (edge, dz), pairs in sorted(edges.items()))
    return [one for one in made if one is not None]


def _places(tiles: Table) -> dict[str, tuple[int, Cell]]:
    names = (tiles[name].tolist() for name in ("tile_id", "z", "row", "column"))
    return {name: (z, cell(row, column)) for name, z, row, column in zip(*names, strict=True)}


def _left_out(edge: Edge, dz: int, pairs: list[tuple[int, str, str, bool]]) -> LeftOut | None:
    wrong = [pair for pair in pairs if pair[3]]
    if not wrong:
        return None
    groups = (list(group) for bad, group in itertools.groupby(pairs, lambda p: p[3]) if bad)
    longest = max(groups, key=len)
    share = Share(len(wrong), len(pairs), tuple(pair[0] for pair in wrong))
    z = tuple(pair[0] for pair in longest)
    return LeftOut(edge, dz, z, tuple((p, q) for _, p, q, _ in longest), share, len(longest))

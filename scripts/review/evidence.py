"""Evidence: what the gate looks at, the limits it has, and what one of its checks says."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.lib import yaml_files
from scripts.lib.files import read_json, read_table
from scripts.lib.service.receipts import CollectionReceipt

Row = Mapping[str, str]
Edge = tuple[str, str, str, str]  # row, column of one cell and of the other


@dataclass(frozen=True)
class Limits:
    """Thresholds of the gate (config section ``review``)."""

    max_misplaced_layers: int = 0
    max_invalid_tiles: int = 0
    max_spoilt_tiles: int = 0
    max_unattempted_pairs: int = 0
    min_saved_share_dz1: float = 0.9  # share of pairs of adjacent layers
    min_saved_share_montage: float = 0.5  # share of pairs within a layer
    low_share: str = "warn"  # or "fail"
    max_clusters: int = 1
    max_unconnected_tiles: int = 0
    max_edge_gap_layers: int = 50
    max_edge_gap_share: float = 0.5  # of the layers that have both cells
    few_tiles: int = 3  # shares say nothing of fewer tiles, or layers, than are more than this
    max_patched_share: float = 0.05  # share of all tiles
    max_derived_share: float = 0.1  # share of the pairs within layers
    max_auto_share: float = 0.2  # share of all tiles
    max_lost_tissue_share: float = 0.01  # share of all tiles


Entries = dict[str, list[Mapping[str, Any]]]  # of exclude, keep, patch and bridge


@dataclass(frozen=True)
class Check:
    """One check: what was found, what is expected, and what to do when it does not hold.

    ``mend``: entries of section ``review`` after which it holds; ``accept``: settings that let it
    pass as it is, and ``loss``: at what price.
    """

    name: str
    found: Any
    expected: str
    status: str  # passed, warning or failed
    message: str = ""
    mend: Entries = field(default_factory=dict)
    accept: Mapping[str, float] = field(default_factory=dict)
    loss: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the form of ``review/gate.json``.

        Returns
        -------
        dict
            What was found and expected.
        """
        names = ("name", "found", "expected", "status", "message")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Evidence:
    """What the gate looks at: figures, tables of the review, and its proposals (YAML)."""

    figures: Mapping[str, Any]  # review/clusters.json
    tiles: Sequence[Row]
    edges: Sequence[Row]
    patches: Sequence[Row]
    proposals: str
    planned: int  # pairs
    summary: Sequence[Row] = ()  # match/summary.tsv: why pairs were not saved
    preset: str = "auto"  # match.preset
    layer_ids: Mapping[float, str] = field(default_factory=dict)  # by z

    @staticmethod
    def read(inputs: Mapping[str, Any], preset: str) -> Evidence:
        """Read the outputs of the review.

        Parameters
        ----------
        inputs
            Paths by name: clusters, tiles, edges, patches, proposals, matches, summary, layers.
        preset
            Setting ``match.preset``.

        Returns
        -------
        Evidence
            Their contents.
        """
        return Evidence(
            figures=read_json(inputs["clusters"]),
            tiles=read_table(inputs["tiles"]),
            edges=read_table(inputs["edges"]),
            patches=read_table(inputs["patches"]),
            proposals=Path(inputs["proposals"]).read_text(),
            planned=CollectionReceipt.read(inputs["matches"]).pairs_planned,
            summary=read_table(inputs["summary"]),
            preset=preset,
            layer_ids={float(row["z"]): row["layer_id"] for row in read_table(inputs["layers"])},
        )

    @property
    def proposed(self) -> Entries:
        """Return the proposals as entries by key.

        Returns
        -------
        dict
            ``exclude``, ``patch`` and ``bridge``, those that have an entry.
        """
        found = yaml_files.parse(self.proposals, "review/proposals.yaml") or {}
        good = {(cell, one["z"]) for one in self.exchanged for cell in one["cells"]}
        if "patch" in found:  # no copy of another layer for an image that is there
            entries = found["patch"] or []
            found["patch"] = [one for one in entries if (one["cell"], float(one["z"])) not in good]
        return {key: entries for key, entries in found.items() if entries}

    @property
    def exchanged(self) -> Sequence[Mapping[str, Any]]:
        """Return the cells that show each other's image.

        Returns
        -------
        list of dict
            Of `exchanged.find`.
        """
        rows: Sequence[Mapping[str, Any]] = self.figures.get("exchanged", ())
        return rows

    def seams(self) -> dict[Edge, tuple[int, int]]:
        """Count, for each edge, the layers without a match and all layers that have both cells.

        Tiles outside the largest cluster do not count: they are reported as such.

        Returns
        -------
        dict
            Row and column of either cell, the smaller first -> layers without a match or a bridge,
            layers.
        """
        layers = _shared_layers(self.tiles)
        left: dict[Edge, int] = defaultdict(int)
        for row in self.edges:
            first, last = float(row["z_first"]), float(row["z_last"])
            shared = layers.get(edge_of(row), [])
            without = bisect_right(shared, last) - bisect_left(shared, first)
            left[edge_of(row)] += max(0, without - int(row.get("bridged") or 0))
        return {edge: (left[edge], len(found)) for edge, found in sorted(layers.items())}

    def mend_seams(self, rows: Iterable[Row]) -> str:
        """Say what mends seams without matches.

        Parameters
        ----------
        rows
            Rows of ``review/edges.tsv``.

        Returns
        -------
        str
            The matching, unless in most of these layers a tile is damaged, or a patch.
        """
        bad = {
            (float(tile["z"]), str(tile["row"]), str(tile["column"]))
            for tile in self.tiles
            if tile.get("kind") == "damaged" or tile["state"] == "patched"
        }
        shared, spans = (
            _shared_layers(self.tiles) if bad else {},
            [(edge_of(row), row) for row in rows],
        )
        layers = {
            (z, edge)
            for edge, row in spans
            for z in shared.get(edge, [])
            if float(row["z_first"]) <= z <= float(row["z_last"])
        }
        harmed = sum(bool({(z, *edge[:2]), (z, *edge[2:])} & bad) for z, edge in layers)
        if 2 * harmed <= len(layers):
            return "Mend the matching of these seams (match.preset, stage positions)"
        return (
            f"In {harmed} of these {len(layers)} layers a tile is damaged or a patch: decide about"
            " it (review.patch, review.exclude)"
        )


def edge_of(row: Row) -> Edge:
    """Return the cells of a row of ``review/edges.tsv``.

    Parameters
    ----------
    row
        The row.

    Returns
    -------
    tuple of str
        Row and column of either cell.
    """
    return row["row_a"], row["column_a"], row["row_b"], row["column_b"]


def _shared_layers(tiles: Iterable[Row]) -> dict[Edge, list[float]]:
    """Return the layers, ascending, where both cells of an edge are in the largest cluster."""
    cells: dict[float, list[tuple[int, int]]] = defaultdict(list)
    for tile in tiles:
        if tile["state"] in ("ok", "patched"):
            cells[float(tile["z"])].append((int(tile["row"]), int(tile["column"])))
    out: dict[Edge, list[float]] = defaultdict(list)
    for z, present in sorted(cells.items()):
        known = set(present)
        for row, column in present:
            for other in ((row, column + 1), (row + 1, column)):
                if other in known:
                    out[str(row), str(column), str(other[0]), str(other[1])].append(z)
    return out

"""Transforms that another pipeline solved: whose tiles they are, and what the matches say of them.

A stack that is taken over is compared, tile by tile, with the acquired one: the same image of the
same size, the same transforms before the last. The last one, an affine, is what is taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from scripts.lib.files import digest
from scripts.lib.geometry import from_wire
from scripts.lib.job import UserError
from scripts.lib.service.records import Leaf, Ref, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.solve import robust
from scripts.solve.forces import residuals
from scripts.solve.graph import Graph, Tiles
from scripts.solve.reference import Reference
from scripts.solve.solver import Options, Solved
from scripts.solve.steps import Runs

KEY = "takeover.render.stack"
COLUMNS = ("tile_id", "state", "stack")
PATCH = re.compile(r"(?P<base>[^.]+)\.patch\.(?P<z>\d+)\.0")
ALL_LAYERS = (-math.inf, math.inf)
_SHOWN = 3
_NUMBER = re.compile(r"[\s,]+")


@dataclass
class Compared:
    """What a stack holds beside the acquired one, collected some layers at a time.

    ``z_range`` is the first and last layer that counts: ``solve.z_range``. The stack may have more,
    which is not looked at, and need not have what lies outside of it.
    """

    stack: str
    acquired: Mapping[str, TileSpec]
    shared: Mapping[str, Leaf]
    z_range: tuple[float, float] = ALL_LAYERS
    affines: dict[str, list[float]] = field(default_factory=dict)
    patches: list[str] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def add(self, part: TileSet) -> None:
        """Compare some tiles.

        Parameters
        ----------
        part
            Of the stack that is taken over.
        """
        for tile in part.tiles:
            if not self._counts(tile.z):
                continue
            name = str(tile.tile_id)
            own = self.acquired.get(name)
            if own is None and PATCH.fullmatch(name):
                self.patches.append(name)
                own = self.acquired.get(self._donor(name))
            if own is None:
                self._fault("are none of this volume", name)
                continue
            self._compare(tile, own, part)
            last = tile.transforms[-1] if tile.transforms else None
            if isinstance(last, Leaf) and last.class_name == AFFINE:
                self.affines[name] = [float(v) for v in _NUMBER.split(last.data.strip())]
            else:
                self._fault("have no affine as their last transform", name)

    def _counts(self, z: float) -> bool:
        return self.z_range[0] <= z <= self.z_range[1]

    def _fault(self, kind: str, example: str) -> None:
        self.faults.setdefault(kind, []).append(example)

    def _compare(self, tile: TileSpec, own: TileSpec, part: TileSet) -> None:
        name = str(tile.tile_id)
        if (tile.width, tile.height) != (own.width, own.height):
            found = f"{name} with {tile.width:g} x {tile.height:g} px, not {own.width:g} x"
            self._fault("have another size", f"{found} {own.height:g}")
        if image(tile) != image(own):
            self._fault("show another image", f"{name} with {image(tile)}, not {image(own)}")
        theirs, ours = before_last(tile, part.shared), before_last(own, self.shared)
        if theirs != ours:
            said = f"{name} with {_words(theirs)}, not {_words(ours)}"
            self._fault("have other transforms before the last (ingest.scan_correction)", said)

    def _donor(self, patch: str) -> str:
        """Return the id of the acquired tile that a patch shows; empty where there is none."""
        base = f"{patch.partition('.')[0]}."
        return self._by_base.get(base, "")

    @cached_property
    def _by_base(self) -> dict[str, str]:
        return {f"{name.partition('.')[0]}.": name for name in self.acquired}

    def entries(self) -> list[dict[str, Any]]:
        """Return the lines of ``review.patch`` that make the patches of the stack here, too.

        Returns
        -------
        list of dict
            Entries, in order of z.
        """
        out = []
        for name in self.patches:
            donor = self.acquired.get(self._donor(name))
            match = PATCH.fullmatch(name)
            if donor is not None and match:
                z = int(match["z"])
                place = {"cell": f"{donor.row},{donor.column}", "z": z}
                out.append(place | {"from": int(donor.z) - z, "reason": f"as in {self.stack}"})
        return sorted(out, key=lambda entry: (entry["z"], entry["cell"]))

    def missing_patches(self, patch: Sequence[Mapping[str, Any]]) -> list[str]:
        """Compare the patches of the stack with ``review.patch``.

        Parameters
        ----------
        patch
            Entries of the config.

        Returns
        -------
        list of str
            What to add or take out, in words.
        """
        wanted = {(e["cell"], float(e["z"]), e["from"]): e for e in self.entries()}
        given = {
            (e["cell"], float(e["z"]), e.get("from")) for e in patch if self._counts(float(e["z"]))
        }
        lines = [
            f'{{cell: "{e["cell"]}", z: {e["z"]}, from: {e["from"]}, reason: {e["reason"]}}}'
            for key, e in wanted.items()
            if key not in given
        ]
        said = [f"{len(lines)} patch(es) are missing in review.patch, add: {'; '.join(lines)}"]
        extra = [f"{cell} at z {z:g}" for cell, z, _ in sorted(given - wanted.keys(), key=str)]
        gone = f"review.patch has {'; '.join(extra)}, which the stack has not; take it out"
        return [*(said if lines else ()), *([gone] if extra else ())]

    def require(self, patch: Sequence[Mapping[str, Any]]) -> None:
        """Stop when the stack is not one of this volume.

        Parameters
        ----------
        patch
            Entries of ``review.patch``.

        Raises
        ------
        UserError
            A line for each kind of fault, with numbers and the first tiles.
        """
        total = len(self.affines)
        lines = [
            f"{len(of)} of {max(total, len(of))} tiles {kind}: {'; '.join(of[:_SHOWN])}"
            for kind, of in self.faults.items()
        ]
        if not total and not lines:
            lines = ["it holds no tile"]
        if lines := [*lines, *self.missing_patches(patch)]:
            raise UserError("\n".join(f"{KEY}: {self.stack}: {line}" for line in lines))

    def rows(self) -> list[dict[str, str]]:
        """Return what becomes of each acquired tile.

        Returns
        -------
        list of dict
            Rows of `COLUMNS`; state taken, replaced (by a patch), absent, or outside of the layers
            that count.
        """
        replaced = {(entry["cell"], float(entry["z"])) for entry in self.entries()}
        out = []
        for name, tile in self.acquired.items():
            place = (f"{tile.row},{tile.column}", tile.z)
            state = "taken" if name in self.affines else "absent"
            state = "replaced" if state == "absent" and place in replaced else state
            state = state if self._counts(tile.z) else "outside"
            out.append({"tile_id": name, "state": state, "stack": self.stack})
        return out

    def receipt(self, rows: Iterable[Mapping[str, str]]) -> dict[str, Any]:
        """Return the numbers of what is taken over.

        Parameters
        ----------
        rows
            Those of `rows`.

        Returns
        -------
        dict
            Numbers of tiles by state, patches, digest of the transforms.
        """
        states = [row["state"] for row in rows]
        return {
            "stack": self.stack,
            "tiles": len(self.affines),
            "patches": len(self.patches),
            **{state: states.count(state) for state in ("taken", "replaced", "absent", "outside")},
            "digest": digest(self.affines)[:16],
        }


def image(tile: TileSpec) -> str:
    """Return which image a tile shows, wherever the file lies and whatever its bit depth.

    Parameters
    ----------
    tile
        A tile.

    Returns
    -------
    str
        ``<layer id> <tile key>`` of an HDF5 file, else the name of the file.
    """
    path, _, query = tile.image_url.partition("?")
    name = PurePosixPath(path).name
    key = re.search(r"dataSet=/([^/&]+)/", query)
    return f"{name.partition('.')[0]} {key[1]}" if key else name


def before_last(tile: TileSpec, shared: Mapping[str, Leaf]) -> list[tuple[str, tuple[float, ...]]]:
    """Return the transforms of a tile before the last one, as class and numbers.

    Parameters
    ----------
    tile
        A tile.
    shared
        Transforms that tiles refer to.

    Returns
    -------
    list of tuple
        In order.
    """
    specs = [shared[s.id] if isinstance(s, Ref) else s for s in tile.transforms[:-1]]
    return [(s.class_name, tuple(map(float, _NUMBER.split(s.data.strip())))) for s in specs]


def _words(specs: Sequence[tuple[str, tuple[float, ...]]]) -> str:
    each = [f"{name.rpartition('.')[2]} {' '.join(f'{v:g}' for v in data)}" for name, data in specs]
    return ", ".join(each) or "none"


def solved(
    tiles: Tiles,
    graph: Graph,
    options: Options,
    affines: Mapping[str, Sequence[float]],
    restarts: Sequence[float] = (),
) -> Solved:
    """Judge given transforms by the matches, as the result of a solve.

    Parameters
    ----------
    tiles
        The n tiles, in order of z.
    graph
        The m pairs between them.
    options
        How residuals are judged.
    affines
        m00, m10, m01, m11, m02, m12 by tile id, matching frame to world.
    restarts
        Layers (z) before which the stage may have jumped.

    Returns
    -------
    Solved
        Their placements, residuals (m,) px and robust factors (m,), 0 for wrong pairs.

    Raises
    ------
    UserError
        When a tile has no transform.
    """
    missing = [str(name) for name in tiles.ids if str(name) not in affines]
    if missing:
        raise UserError(
            f"{KEY}: {len(missing)} of {len(tiles)} tiles have no transform there:"
            f" {', '.join(missing[:_SHOWN])}; leave them out with review.exclude"
        )
    placement = tiles.placements(np.array([from_wire(affines[str(name)]) for name in tiles.ids]))
    residual, cutoff = residuals(graph, placement), options.robust_cutoff
    factor = robust.weights(options.robust, residual, graph.apart, cutoff=cutoff)
    if options.robust != "none":
        wrong = robust.wrong(residual, graph.apart, cutoff=cutoff)
        alone = robust.bridges(~wrong, len(tiles), graph.p, graph.q)
        factor = np.where(wrong & ~alone, 0.0, factor)
    groups = np.searchsorted(np.sort(np.asarray(restarts, float)), tiles.z, side="right")
    groups = np.unique(groups, return_inverse=True)[1]
    reference = Reference.of(tiles, Runs.none(len(tiles))).grouped(np.asarray(groups, np.int64))
    return Solved(placement, residual, factor, 0.0, {}, reference)

"""A finished small volume in memory, and what its report says when something of it is spoilt.

Pixels are those of a synthetic acquisition, matches are true correspondences with noise, and the
alignment is what the solver makes of them. Whatever a spoiling changes, the very functions of the
jobs measure, sum up and judge it again; nothing is taken from the truth.
"""

import dataclasses
import itertools
import re
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts.demo import acquire
from scripts.demo.plan import Settings
from scripts.lib import geometry, schema, truth
from scripts.lib.drawing import compose, windows
from scripts.lib.files import write_table
from scripts.report import gather
from scripts.solve import (
    close_misalignment,
    measure_misalignment,
    misalignment,
    moments,
    residuals,
    solver,
)
from scripts.solve.aligned import aligned
from scripts.solve.graph import Weighting, graph_of, solution, tiles_of
from tests.report import fabricate
from tests.report.conftest import NAMES, SCHEMA, judge

SMALL = Settings(
    layers=14, tile_height=128, tile_width=160, resin_layers=0, corrupt_layer=0, restart_layer=8,
    drift=3.0, stage_error=1.5,
)  # fmt: skip
NOISE_PX = {0: 0.1, 1: 0.3, 2: 0.4}  # of a match, by distance in layers
RESULTS = [f"match/results/{run}/0000.tsv.gz" for run in fabricate.RUNS]
AFTER = 3  # layers below a changed one that are measured against it, in a volume without holes
ALIGN = "v1_acquire_trimmed_align"


def defaults(section):
    """A section of the config with nothing but defaults."""
    made = {}
    schema.fill_defaults(made, yaml.safe_load(SCHEMA.read_text())["properties"][section])
    return made


SOLVE = defaults("solve")
# of section solve what the solve itself takes
TAKEN = {one.name for kind in (solver.Options, Weighting) for one in dataclasses.fields(kind)}
OPTIONS = solver.Options.of_config({k: v for k, v in SOLVE.items() if k in TAKEN})
MEASURE = windows.settings_of(SOLVE["misalignment"])


@dataclass(frozen=True)
class State:
    """What of a finished volume can be spoilt: places, images, matches, and what tables say."""

    tiles: object  # TileSet of the align stack
    pairs: tuple  # CanvasMatches
    tables: dict  # evidence by name that a spoiling replaces
    z_coords: dict
    solved: dict  # what sums the solve up

    def replace_tiles(self, change):
        """Change every tile by `change`, which gives None for one that is lost."""
        changed = [change(tile) for tile in self.tiles.tiles]
        kept = tuple(tile for tile in changed if tile is not None)
        tiles = dataclasses.replace(self.tiles, tiles=kept).with_bounds()
        return dataclasses.replace(self, tiles=tiles)


class Finished:
    """A finished volume of some settings, and what is measured on it."""

    def __init__(
        self, folder: Path, settings=SMALL, matcher=None, change=None, acquired=acquire.acquire
    ):
        """`matcher` gives matches and results of a tile set; else they are made of the truth.

        `change` is called with the folder of the acquisition before anything is made of it.
        `acquired` makes it, of settings and folder, and gives its truth.
        """
        self.folder, self.settings = folder, settings
        self.truth = acquired(settings, folder / "acquisition")
        if change:
            change(folder / "acquisition")
        self.work = folder / "work"
        self.work.mkdir()
        service = fabricate.fabricate(self.work, folder / "acquisition", self.truth)
        self.evidence = gather.gather(self.work, results=RESULTS)
        self.evidence = self._without_problems(self.evidence)
        self.nominal = self._tissue(service.stacks["v1_acquire"])
        if matcher is None:
            pairs = tuple(self._matches(np.random.default_rng(settings.seed)))
        else:
            pairs, results = matcher(self.nominal)
            self.evidence = dataclasses.replace(self.evidence, results=results)
        self.start = self.solve(pairs)
        self.rows = self.measure(self.start.tiles)

    @staticmethod
    def _without_problems(evidence):
        layers = [row | {"problem": None} for row in evidence.documents["qc"]["layers"]]
        documents = dict(evidence.documents) | {"qc": {"layers": layers}}
        return dataclasses.replace(evidence, documents=documents)

    def _tissue(self, tiles):
        """Leave out bare resin, as the review does."""
        bare = {fabricate.tile_id(t) for t in self.truth["tiles"] if t["kind"] == "resin"}
        kept = tuple(tile for tile in tiles.tiles if tile.tile_id not in bare)
        return dataclasses.replace(tiles, tiles=kept).with_bounds()

    def _matches(self, rng):
        good = [tile for tile in self.truth["tiles"] if not tile["corrupt"]]
        for _, dz, one, other in fabricate.neighbors(good):
            if {one["kind"], other["kind"]} == {"tissue"}:
                found = fabricate.matched(self.truth, one, other, 40, rng)
                noise = NOISE_PX[dz] * rng.standard_normal(found.q.shape)
                yield dataclasses.replace(found, q=found.q + noise).ordered()

    # ---- what the jobs do --------------------------------------------------------------------

    def solve(self, pairs):
        """Solve the volume with some matches, as `solve_transforms` does."""
        tiles = tiles_of([self.nominal])
        graph = graph_of(tiles, moments.of_matches(pairs), OPTIONS.weighting)
        solved = solver.solve(tiles, graph, OPTIONS, [float(self.settings.restart_layer + 1)])
        parts = (tiles, graph, solved)
        tables = residuals.tables(*parts)
        made = {
            "solved": self._table("solved", *tables["tiles"]),
            "pairs": self._table("pairs", *tables["pairs"]),
        }
        affines = dict(solution(tiles, solved.placement))
        z_coords, figures = dict(self.evidence.z_coords), residuals.figures(*parts, OPTIONS, 0)
        return State(aligned(self.nominal, affines), pairs, made, z_coords, figures)

    @staticmethod
    def _table(name, columns, rows):
        """Columns as the report reads them."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.tsv"
            write_table(path, columns, rows)
            return gather.read_columns(path, gather.TABLES[name][1])

    def judged(self, state):
        """The report's figures with the verdict, and the findings, of a state."""
        with tempfile.TemporaryDirectory() as name:
            evidence = self._closed(Path(name), state, self.measured_again(state.tiles))
        p = self.settings
        grid = {"rows": p.rows, "columns": p.columns, "pixel_nm": p.pixel_nm}
        return judge(evidence, NAMES | grid)

    def measure(self, tiles):
        """Rows of what is left over, of all layers."""
        layers = compose.place_layers(tiles)
        return list(measure_misalignment.measured(layers, min(layers), max(layers), MEASURE))

    def measured_again(self, tiles):
        """The same, measured anew where a tile is not what it was: a row is of few tiles."""
        changed = self.changed(tiles)
        layers = compose.place_layers(tiles)
        near = {z - d for z in changed.values() for d in range(AFTER)}
        kept = [
            row
            for row in self.rows
            if (
                not {row["p_id"], row["q_id"]} & changed.keys()
                if row["kind"] == "seam"
                else row["z"] not in near
            )
        ]
        for z in sorted(near & layers.keys()):
            kept += self._steps(layers, z)
        for z in sorted(set(changed.values()) & layers.keys()):
            for pair in itertools.combinations(layers[z], 2):
                if any(one.tile.tile_id in changed for one in pair):
                    kept += misalignment.seams(pair, MEASURE)
        return sorted(kept, key=lambda row: (row["z"], row["kind"] != "seam"))

    @staticmethod
    def _steps(layers, z):
        """Rows of `measured` that are of no seam; those are measured two tiles at a time."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(misalignment, "seams", lambda *_: ())
            return list(measure_misalignment.measured(layers, z, z, MEASURE))

    def changed(self, tiles):
        """Tiles that are not what they were in the finished volume, {id: z}."""
        before, now = ({tile.tile_id: tile for tile in t.tiles} for t in (self.start.tiles, tiles))
        # a solve with other matches moves every tile a little: less than the meter's own error
        return {
            name: round((before.get(name) or now[name]).z)
            for name in before.keys() | now.keys()
            if _differ(before.get(name), now.get(name))
        }

    def _closed(self, folder, state, rows):
        """Sum the rows up as `close_misalignment` does, and put it all together."""
        write_table(folder / "part.tsv.gz", misalignment.COLUMNS, rows)
        pairs = state.tables["pairs"]
        write_table(folder / "pairs.tsv.gz", tuple(pairs.columns), pairs.rows())
        review = self.evidence["review"]
        write_table(folder / "tiles.tsv", tuple(review.columns), review.rows())
        close_misalignment.main(
            parts=[folder / "part.tsv.gz"],
            pairs=folder / "pairs.tsv.gz",
            tiles=folder / "tiles.tsv",
            places=folder / "places.tsv.gz",
            out=folder / "summary.json",
            pixel_nm=self.settings.pixel_nm,
            section=SOLVE["misalignment"],
        )
        return dataclasses.replace(
            self.evidence,
            tables=dict(self.evidence.tables)
            | state.tables
            | {"misalignment": gather.read_columns(
                folder / "places.tsv.gz", gather.TABLES["misalignment"][1])},
            documents=dict(self.evidence.documents)
            | {"misalignment": gather._document(folder / "summary.json"), "solve": state.solved},
            z_coords=state.z_coords,
            stacks=dict(self.evidence.stacks) | {ALIGN: {"tile_count": len(state.tiles.tiles)}},
        )  # fmt: skip

    def score(self, state):
        """What the truth says is left: ``relative`` (of steps) and ``seams``, rms px."""
        affines = {tile.tile_id: geometry.to_wire(affine_of(tile)) for tile in state.tiles.tiles}
        found = truth.score(self.truth, {"tiles": truth.solved_tiles(affines)})
        return {name: found[name]["rms"] for name in ("relative", "seams")}

    # ---- what a spoiling moved -----------------------------------------------------------------

    @cached_property
    def control(self):
        p = self.settings
        x, y = np.meshgrid(
            np.linspace(0, p.tile_width - 1, 4), np.linspace(0, p.tile_height - 1, 4)
        )
        return np.column_stack([x.ravel(), y.ravel()])

    def moved_px(self, state):
        """Rms over each tile of how far it was moved, less what all share; {id: px}."""
        before, now = (
            {tile.tile_id: affine_of(tile) for tile in t.tiles}
            for t in (self.start.tiles, state.tiles)
        )
        both = sorted(before.keys() & now.keys())
        moves = np.stack(
            [
                geometry.apply(now[n], self.control) - geometry.apply(before[n], self.control)
                for n in both
            ]
        )
        moves -= np.median(moves.mean(axis=1), axis=0)
        return dict(zip(both, np.sqrt((moves**2).sum(axis=2).mean(axis=1)), strict=True))


SAME_PX = 0.02


def _differ(a, b):
    """Whether two tiles show something else, or lie apart by more than the meter can tell."""
    if a is None or b is None or (a.image_url, a.z, a.labels) != (b.image_url, b.z, b.labels):
        return True
    one, other = (geometry.apply(affine_of(t), geometry.corners(t.width, t.height)) for t in (a, b))
    return np.abs(one - other).max() > SAME_PX


def affine_of(tile):
    return geometry.from_wire([float(v) for v in tile.transforms[-1].data.split()])


def place_of(reason):
    """Layers that a line names: ranges of z, and the z of tile ids."""
    spans = [(int(a), int(b or a)) for a, b in re.findall(r"\bz (\d+)(?:(?: to |-)(\d+))?", reason)]
    spans += [(int(z), int(z)) for z in re.findall(r"_\d-\d-\d\.(\d+)\.0", reason)]
    spans += [(int(a), int(b)) for a, b in re.findall(r"\b(\d+)-(\d+)(?=[,)]|$)", reason)]
    return spans

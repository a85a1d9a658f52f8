"""A match trial over the tiles of a stack, run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.lib.drawing.compose import Source
from scripts.lib.pages import pictures
from scripts.lib.pages.pictures import Shown
from scripts.lib.service.records import TileSet
from scripts.match import presets, stages, trial
from scripts.match.canvases import Canvases
from scripts.match.trial import Tried

PICTURES = 4  # of each run


class Trial:
    """Rows, pictures and the table with what was chosen, as runs are tried.

    Parameters
    ----------
    tiles
        The tiles of the stack.
    tables
        Stage tables; the one for tiles of this size is taken.
    budget_mb
        What canvases may keep, MB of 10^6 bytes.
    pairs_per_run
        Planned pairs of each run that are tried.
    sweep
        Values to try by field of a stage.
    source
        How images and masks are read; None: from files.
    """

    def __init__(
        self,
        tiles: TileSet,
        tables: Sequence[Mapping[str, Any]],
        budget_mb: float,
        *,
        pairs_per_run: int,
        sweep: Mapping[str, Sequence[Any]],
        source: Source | None = None,
    ) -> None:
        self._tiles, self._budget = tiles, budget_mb
        self._pairs_per_run, self._sweep = pairs_per_run, sweep
        self._source = source
        self._side = max((max(t.width, t.height) for t in tiles.tiles), default=0)
        self._cells = {str(t.tile_id): f"{t.row},{t.column}" for t in tiles.tiles}
        self.table = dict(presets.choose(tables, self._side))
        self.rows: list[dict[str, Any]] = []
        self.pictures: list[Shown] = []

    def run(self, run: str, planned: Sequence[Mapping[str, str]]) -> None:
        """Try all variants of a run on a sample of its planned pairs.

        Parameters
        ----------
        run
            Name of the run.
        planned
            Rows of its pair table.
        """
        cells = self._cells
        known = [{**r, "p_cell": cells[r["p_id"]], "q_cell": cells[r["q_id"]]} for r in planned]
        pairs = trial.sampled(trial.sample(known, self._pairs_per_run))
        if not pairs:
            return
        tried = []
        for variant in trial.variants(self.table, run, self._sweep):
            canvases = Canvases(self._tiles, budget_mb=self._budget, source=self._source)
            found = stages.match_all(pairs, [variant.stage], canvases)
            tried.append(Tried(variant, tuple(found)))
        rows = trial.judged(run, tried, self._side)
        self.rows += rows
        for one, row in zip(tried, rows, strict=True):
            if row["chosen"]:
                self._chosen(run, one)

    def _chosen(self, run: str, one: Tried) -> None:
        canvases = Canvases(self._tiles, budget_mb=self._budget, source=self._source)
        worst = sorted(one.attempts, key=lambda a: (a.matches is not None, -a.outcome.rms_px))
        for attempt in [*worst[: PICTURES // 2], *worst[-(PICTURES // 2) :]]:
            how = f"{attempt.outcome.rms_px:.2f} px" if attempt.matches else attempt.reason
            caption = f"{attempt.pair.p_id} and {attempt.pair.q_id}, {how}"
            drawn = trial.picture(attempt, one.variant.stage, canvases)
            self.pictures.append(pictures.shown(drawn, f"{run}:", caption))
        self.table = trial.with_choice(self.table, run, one.variant)

"""Matches of a small volume by the workflow's own matcher, and what became of all pairs."""

import tempfile
from pathlib import Path

import cv2
import yaml

from scripts.lib import flow
from scripts.lib.files import write_table
from scripts.match import pairs, presets, stages, tables
from scripts.match.canvases import Canvases
from scripts.report import gather
from tests.bad_volumes.cases import ROOT

TABLE = yaml.safe_load((ROOT / "config/match_stages/small_tiles.yaml").read_text())
Z_DISTANCE = 2
RUNS = flow.RUNS["multi_row"]


def matched(tiles):
    """Match all pairs of a tile set; matches, and results as the report reads them."""
    cv2.setNumThreads(1)
    z = [tile.z for tile in tiles.tiles]
    found, rows = [], []
    canvases = Canvases(tiles, budget_mb=200)
    for name in RUNS:
        run = presets.read_run(TABLE, name, Z_DISTANCE)
        planned = pairs.derive(tiles.tiles, run.rules, min(z), max(z))
        for attempt in stages.match_all(planned, run.stages, canvases):
            rows.append(tables.result_row(attempt, name, canvases.by_id))
            if attempt.matches is not None:
                found.append(attempt.matches)
    return tuple(found), _results(rows)


def _results(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.tsv"
        write_table(path, tables.RESULT_COLUMNS, rows)
        return gather.read_columns(path, gather.RESULTS)

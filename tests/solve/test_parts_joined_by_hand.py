"""Two parts that nothing joins: matches made by hand join them, and the solve places them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.files import read_json, read_table, write_table
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt
from scripts.match import close_matches, landmarks, wide
from scripts.match.tables import PAIR_COLUMNS, RESULT_COLUMNS
from scripts.solve import gather_moments, solve_transforms
from tests.solve import synthetic
from tests.solve.test_solve_jobs import PARAMS

RENDER = {"owner": "o", "project": "p"}
SCALE = 0.5  # of the pictures that somebody clicked on
AWAY = np.array([35.0, -20.0])  # the second part, seen from where the stage says, px
TURN = np.radians(0.5)
LAST = 6  # of the first part
CHUNK = ("0000", 1, 12)


def acquired():
    """Tiles of 12 layers, their true affines: behind `LAST` all is turned by half a degree, too."""
    tiles = synthetic.grid(range(1, 13), 1, 2)
    truth = synthetic.shaken(tiles, np.random.default_rng(0))
    c, s = np.cos(TURN), np.sin(TURN)
    turn = np.array([[c, -s, AWAY[0]], [s, c, AWAY[1]]])
    moved = {t.tile_id for t in tiles.tiles if t.z > LAST}
    return tiles, {i: geometry.compose(turn, a) if i in moved else a for i, a in truth.items()}


@pytest.fixture
def volume(tmp_path, monkeypatch):
    """The working directory as matching leaves it: no pair across the layers 6 and 7."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/r.db")
    tiles, truth = acquired()
    z = {t.tile_id: t.z for t in tiles.tiles}
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(1), reach=3, noise=0.1)
    pairs = [one for one in pairs if (z[one.p_id] > LAST) == (z[one.q_id] > LAST)]
    client = RenderClient(**RENDER)
    client.publish_stack("v1_acquire", tiles, resolution_nm=(8, 8, 8)).write("acquire.json")
    client.put_matches("p_v1", pairs)
    client.close()
    names = ("p_group", "p_id", "q_group", "q_id")
    empty = dict.fromkeys({*PAIR_COLUMNS, *RESULT_COLUMNS}, "")
    rows = [{**empty, **dict(zip(names, one.key, strict=True)), "saved": "1"} for one in pairs]
    write_table("pairs.tsv.gz", PAIR_COLUMNS, rows)
    write_table("results.tsv.gz", RESULT_COLUMNS, rows)
    CollectionReceipt("o", "p_v1_review", 0, 0, 0, "d", {}, {}).write("review.json")
    write_table("restarts.tsv", ("z", "reason"), [])
    columns = ("chunk", "z_first", "z_last")
    write_table("chunks.tsv", columns, [dict(zip(columns, CHUNK, strict=True))])
    return tiles, truth


def clicked(tiles, truth, column, rng):
    """Landmarks in a file: seven places of tile 7 and of tile 6, half a px of the picture off."""
    fixed, moving = (
        next(t for t in tiles.tiles if (t.z, t.column) == (z, column)) for z in (LAST, LAST + 1)
    )
    places = rng.uniform(50, 190, (7, 2))  # full-scale px of the moving tile
    there = geometry.apply(
        geometry.invert(truth[fixed.tile_id]), geometry.apply(truth[moving.tile_id], places)
    )
    shown = [xy * SCALE + rng.uniform(-0.5, 0.5, xy.shape) for xy in (places, there)]
    path = Path(f"{column}.csv").resolve()
    path.write_text(landmarks.text(*shown))
    return {"moving": moving.tile_id, "fixed": fixed.tile_id, "landmarks": str(path),
            "scale": SCALE, "weight": 1, "reason": "the stage jumped"}  # fmt: skip


def closed_and_solved(by_hand):
    out = {"receipt": "matches.json", "summary": "summary.tsv", "decisions": "decisions.tsv"}
    close_matches.main(
        pairs=["pairs.tsv.gz"], results=["results.tsv.gz"], acquire="acquire.json", out=out,
        render=RENDER, collection="p_v1", preset="auto", z_distance=3, by_hand=by_hand,
    )  # fmt: skip
    matches = ["matches.json", "review.json"]
    gather_moments.main(
        matches=matches, chunks="chunks.tsv", chunk="0000", out="0000.npz", render=RENDER,
        z_distance=3, point_cutoff=8,
    )  # fmt: skip
    kinds = ("transforms", "tiles", "pairs", "figures", "layers", "worst_pairs")
    names = {kind: f"solve_{kind}" for kind in kinds}
    solve_transforms.main(
        trimmed="acquire.json", matches=matches, parts=["0000.npz"], restarts="restarts.tsv",
        out=names, render=RENDER, params=PARAMS,
    )  # fmt: skip
    return read_json(names["transforms"])["tiles"]


def joined(tiles):
    client = RenderClient(**RENDER)
    parts = wide.parts(tiles.tiles, client.match_ids("p_v1"))
    client.close()
    return [len(part) for part in parts]


def test_landmarks_join_two_parts_that_the_solve_then_places_within_a_px(volume):
    tiles, truth = volume
    with pytest.raises(UserError, match="do not join all 24 tiles: expected one piece, found 2"):
        closed_and_solved([])
    assert joined(tiles) == [12, 12]
    rng = np.random.default_rng(2)
    got = closed_and_solved([clicked(tiles, truth, column, rng) for column in (0, 1)])
    assert joined(tiles) == [24]
    away = np.hypot(*synthetic.deviation(tiles, got, truth).reshape(-1, 2).T)
    print("MAX", away.max())
    assert away.max() < 1
    became = Counter(row["became"] for row in read_table("decisions.tsv"))
    assert became == {"added": 2}
    ids = {tuple(sorted((row["p_id"], row["q_id"]))) for row in read_table("solve_pairs")}
    assert ("t_0-0-0.6.0", "t_0-0-0.7.0") in ids
    with pytest.raises(UserError):  # taken back, the parts are apart again
        closed_and_solved([])
    assert joined(tiles) == [12, 12]

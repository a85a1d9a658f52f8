"""Two parts that nothing joins: matches made by hand join them, and the solve places them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts.lib import geometry, landmarks, schema
from scripts.lib.files import read_json, read_table, write_table
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt
from scripts.match import close_matches, read_decisions, wide
from scripts.match.tables import PAIR_COLUMNS, RESULT_COLUMNS
from scripts.solve import gather_moments, solve_transforms
from tests.solve import synthetic

RENDER = {"owner": "o", "project": "p"}
SCALE = 0.5  # of the pictures that somebody clicked on
AWAY = np.array([35.0, -20.0])  # the second part, seen from where the stage says, px
TURN = np.radians(0.5)
CHUNKS = [("0000", 1, 6), ("0001", 7, 18)]
REACH = 3  # layers, of the matching


def solve_defaults():
    """The section as the rule gives it."""
    rules = yaml.safe_load((Path(__file__).parents[2] / "config/schema.yaml").read_text())
    section = {}
    schema.fill_defaults(section, rules["properties"]["solve"])
    others = ("compare", "point_cutoff", "misalignment", "keep_px")
    return {k: v for k, v in section.items() if k not in others and not k.startswith("refine")}


def acquired(last, first):
    """Tiles of two parts of six layers and their true affines: the second turned and shifted."""
    tiles = synthetic.grid([*range(last - 5, last + 1), *range(first, first + 6)], 1, 2)
    truth = synthetic.shaken(tiles, np.random.default_rng(0))
    c, s = np.cos(TURN), np.sin(TURN)
    turn = np.array([[c, -s, AWAY[0]], [s, c, AWAY[1]]])
    moved = {t.tile_id for t in tiles.tiles if t.z > last}
    return tiles, {i: geometry.compose(turn, a) if i in moved else a for i, a in truth.items()}


@pytest.fixture(params=[(6, 7), (6, 13)], ids=["next to each other", "six layers lost"])
def volume(request, tmp_path, monkeypatch):
    """The working directory as matching leaves it: no pair between the parts."""
    last, first = request.param
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/r.db")
    tiles, truth = acquired(last, first)
    z = {t.tile_id: t.z for t in tiles.tiles}
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(1), reach=REACH, noise=0.1)
    pairs = [one for one in pairs if (z[one.p_id] > last) == (z[one.q_id] > last)]
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
    write_table("chunks.tsv", columns, [dict(zip(columns, one, strict=True)) for one in CHUNKS])
    return tiles, truth, (last, first)


def clicked(tiles, truth, layers, column, rng):
    """Landmarks of two tiles in a file: seven places, each half a px of the picture off."""
    fixed, moving = (next(t for t in tiles.tiles if (t.z, t.column) == (z, column)) for z in layers)
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
    out = {"receipt": "matches.json", "summary": "summary.tsv"}
    read_decisions.main(
        acquire="acquire.json", out="decided.json", render=RENDER, decisions=[], by_hand=by_hand,
        dz_exponent=solve_defaults()["dz_exponent"],
    )  # fmt: skip
    close_matches.main(
        pairs=["pairs.tsv.gz"], results=["results.tsv.gz"], acquire="acquire.json", out=out,
        render=RENDER, collection="p_v1", preset="auto", z_distance=REACH, plan="decided.json",
    )  # fmt: skip
    matches = ["matches.json", "review.json"]
    for chunk, *_ in CHUNKS:
        gather_moments.main(
            matches=matches, chunks="chunks.tsv", chunk=chunk, out=f"{chunk}.npz", render=RENDER,
            z_distance=REACH, point_cutoff=8,
        )  # fmt: skip
    kinds = ("transforms", "tiles", "pairs", "figures", "layers", "worst_pairs")
    names = {kind: f"solve_{kind}" for kind in kinds}
    solve_transforms.main(
        trimmed="acquire.json", matches=matches, parts=[f"{chunk}.npz" for chunk, *_ in CHUNKS],
        restarts="restarts.tsv",
        out=names, render=RENDER, params=solve_defaults(),
    )  # fmt: skip
    return read_json(names["transforms"])["tiles"]


def joined(tiles):
    client = RenderClient(**RENDER)
    parts = wide.parts(tiles.tiles, client.match_ids("p_v1"))
    client.close()
    return [len(part) for part in parts]


def test_landmarks_join_two_parts_that_the_solve_then_places_within_a_px(volume):
    tiles, truth, layers = volume
    with pytest.raises(UserError, match="do not join all 24 tiles: expected one piece, found 2"):
        closed_and_solved([])
    assert joined(tiles) == [12, 12]
    rng = np.random.default_rng(2)
    got = closed_and_solved([clicked(tiles, truth, layers, column, rng) for column in (0, 1)])
    assert joined(tiles) == [24]
    away = np.hypot(*synthetic.deviation(tiles, got, truth).reshape(-1, 2).T)
    assert away.max() < 1
    became = Counter(row["became"] for row in read_table("decisions.tsv"))
    assert became == {"added": 2}
    ids = {tuple(sorted((row["p_id"], row["q_id"]))) for row in read_table("solve_pairs")}
    assert {f"t_0-0-0.{z}.0" for z in layers} in map(set, ids)
    with pytest.raises(UserError):  # taken back, the parts are apart again
        closed_and_solved([])
    assert joined(tiles) == [12, 12]

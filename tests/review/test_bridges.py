"""Derived matches across a gap follow the drift of the seam; candidates of patches are ranked."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from scripts.lib.job import UserError
from scripts.lib.service.records import CanvasMatches, TileSpec
from scripts.review import bridges, edges, patches, plots, replacements, statistics
from scripts.review.decisions import as_yaml

EDGE = ((0, 0), (0, 1))


def tile(z, column):
    return TileSpec(f"t_0-0-{column}.{z}.0", float(z), 400, 400, "", (), column=column)


TILES = {(float(z), 0, c): tile(z, c) for z in range(1, 31) for c in (0, 1)}
GAP = set(map(float, range(11, 21)))


def drifting(z):
    return np.array([-360 + 0.2 * z, 3 - 0.1 * z])


def matches(a, b):
    if a.z in GAP:
        return None
    rng = np.random.default_rng(int(a.z))
    p = rng.uniform(0, 400, (30, 2))
    q = p + drifting(a.z) + 0.3 * rng.standard_normal((30, 2))
    return CanvasMatches(a.section_id, a.tile_id, b.section_id, b.tile_id, p, q, np.ones(30))


def test_a_bridge_follows_the_drift_and_weighs_a_tenth():
    request = bridges.Request(EDGE, 11, 20, "gap")
    found = list(bridges.bridge(request, TILES, matches, window=8, missing=GAP))
    assert [float(row["z"]) for _, row in found] == sorted(GAP)
    for pair, row in found:
        assert pair.w.tolist() == [0.1] * 4
        shift = (pair.q - pair.p) if pair.p_id.startswith("t_0-0-0") else (pair.p - pair.q)
        assert shift == pytest.approx(np.tile(drifting(float(row["z"])), (4, 1)), abs=0.3)


def grid(x_by_cell):
    """Layers 11 and 12 of cells at stage positions x."""
    found = {}
    for z in (11, 12):
        for (row, column), x in x_by_cell.items():
            spec = TileSpec(
                f"t_0-{row}-{column}.{z}.0", float(z), 400, 400, "", (), row=row, column=column
            )
            found[float(z), row, column] = replace(spec, stage_x=x, stage_y=x and 7 * column)
    return found


@pytest.mark.parametrize(
    ("x_px", "expected"),
    [((0, 370), [-379, 6]), ((0, 360), [-369, 6]), ((None, None), [-369, 6])],
    ids=["ten px farther apart", "as far apart", "unknown"],
)
def test_a_seam_without_any_match_lies_as_another_does(x_px, expected):
    cells = {(0, 0): 0, (0, 1): 360, (1, 0): x_px[0], (1, 1): x_px[1]}

    def of_the_first_row(a, b):
        if a.row:
            return None
        p = np.array([[370.0, 20], [380, 90]])
        return CanvasMatches(*(a.section_id, a.tile_id), *(b.section_id, b.tile_id), p,
                             p + [-369, 6], np.ones(2))  # fmt: skip

    entry = {"cells": ["1,1", "1,0"], "like": ["0,0", "0,1"], "z_first": 11, "z_last": 12}
    (request,) = bridges.requests([], [entry | {"reason": "resin"}], auto=False, least=1)
    how = {"window": 0, "missing": {11.0, 12.0}}
    found = list(bridges.bridge(request, grid(cells), of_the_first_row, **how))
    assert [pair.p_id for pair, _ in found] == ["t_0-1-0.11.0", "t_0-1-0.12.0"]
    for pair, _ in found:
        assert pair.q - pair.p == pytest.approx(np.tile(expected, (4, 1)))


def test_an_edge_is_not_like_one_of_the_other_direction():
    entry = {"cells": ["0,0", "0,1"], "like": ["0,0", "1,0"], "z_first": 1, "z_last": 2}
    with pytest.raises(UserError, match=r"review\.bridge\[0\]\.like: .* side by side"):
        bridges.requests([], [entry | {"reason": "r"}], auto=False, least=1)


def test_nothing_is_derived_from_nothing():
    request = bridges.Request(EDGE, 11, 20, "gap")
    assert list(bridges.bridge(request, TILES, lambda a, b: None, window=8, missing=GAP)) == []


def test_long_gaps_are_bridged_automatically_and_asked_ones_always():
    gap = {"row_a": 0, "column_a": 0, "row_b": 0, "column_b": 1, "bridged": 0}
    gaps = [gap | {"z_first": 1.0, "z_last": 9.0, "layers": 9},
            gap | {"z_first": 11.0, "z_last": 20.0, "layers": 10}]  # fmt: skip
    entry = {"cells": ["0,1", "0,0"], "z_first": 1, "z_last": 9, "reason": "weak"}
    assert [w.z_first for w in bridges.requests(gaps, [], auto=True, least=10)] == [11]
    asked = bridges.requests(gaps, [entry], auto=False, least=10)
    assert [(w.edge, w.z_last) for w in asked] == [(EDGE, 9)]
    edges.mark(gaps, [{**gap, "z": "12"}])
    assert [g["bridged"] for g in gaps] == [0, 1]
    with pytest.raises(UserError, match="two neighboring cells"):
        bridges.requests([], [entry | {"cells": ["0,0", "1,1"]}], auto=False, least=1)


def test_the_nearer_and_then_the_better_layer_is_the_source():
    quality = {TILES[z, 0, 0].tile_id: like for z, like in ((9.0, 0.8), (11.0, 0.9), (12.0, 0.99))}
    assert patches.ranked((10.0, 0, 0), TILES, quality) == [1, -1, 2]


def test_missing_tiles_are_those_between_others_and_no_more_than_two_in_a_row():
    absent = {(5.0, 0, 0), (10.0, 0, 0), (11.0, 0, 0), *((float(z), 0, 0) for z in range(20, 25))}
    at = {place: one for place, one in TILES.items() if place not in absent}
    assert list(replacements.missing(at)) == [(5.0, 0, 0), (10.0, 0, 0), (11.0, 0, 0)]


def test_lines_for_the_config_survive_quotes():
    entry = {"cell": "0,0", "z": 4.0, "from": -1, "reason": 'a "band" \\ of rows'}
    assert yaml.safe_load(as_yaml([], [entry]))["patch"][0]["reason"] == entry["reason"]


def columns(**given):
    size = len(next(iter(given.values())))
    names = (*statistics.TEXTS, *statistics.KINDS)
    filled = {name: [str(v) for v in given.get(name, ["0"] * size)] for name in names}
    return statistics.of_columns(filled)


def test_statistics_add_up_by_every_key():
    pairs = columns(
        p_group=["1.0", "1.0", "10.0", "10.0"], q_group=["1.0", "2.0", "9.0", "11.0"],
        dz=[0, 1, 1, 1], saved=[1, 0, 1, 1], count=[9, 0, 20, 30], run=["m", "c", "c", "c"],
        p_cell=["0,0"] * 4, q_cell=["0,1", "0,0", "0,0", "0,0"], stage=["a", "b", "b", "b"],
    )  # fmt: skip
    rows = {(r["by"], r["run"], r["key"]): r for r in statistics.table(pairs)}
    assert rows["dz", "c", "1"]["planned"] == 3
    assert rows["dz", "c", "1"]["saved_pct"] == "66.7"
    assert rows["dz", "c", "1"]["matches_median"] == "25"
    assert rows["edge", "m", "0,0–0,1"]["saved"] == 1
    assert rows["z", "c", "9"]["planned"] == 1  # the lower layer, whatever stands first as text
    assert rows["cell", "m", "0,1"]["planned"] == 1


def test_a_dip_in_the_counts_is_an_outlier_and_scatter_is_none():
    rng = np.random.default_rng(0)
    count = rng.poisson(100, 300)
    assert len(plots.outliers(count)) == 0
    count[[50, 200]] = 10
    assert set(plots.outliers(count).tolist()) == {50, 200}

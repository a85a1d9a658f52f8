"""Clusters, edges, decisions, texture and the gate on small nets."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import yaml
from scipy import ndimage

from scripts.lib.job import UserError
from scripts.lib.service.records import TileSpec
from scripts.review import (
    causes,
    clusters,
    edges,
    gate,
    outcome,
    page,
    remedies,
    statistics,
    suspects,
    texture,
)
from scripts.review.decisions import as_yaml, decide, proposals
from scripts.review.suspects import DAMAGED, RESIN, Verdict


def tile(z, row=0, column=0):
    name = f"t_0-{row}-{column}.{z:.1f}"
    return TileSpec(name, float(z), 240, 240, "file:///none", (), row=row, column=column)


def pair(a, b):
    return {"p_id": a.tile_id, "q_id": b.tile_id, "dz": f"{abs(a.z - b.z):g}", "saved": "1"}


def grid(layers, rows=2, columns=2):
    cells = itertools.product(range(1, layers + 1), range(rows), range(columns))
    return {cell: tile(*cell) for cell in cells}


def pairs_of(tiles, *, without=()):
    """All montage edges, and the same cell in the next layer, except those of `without` cells."""
    out = []
    for (z, r, c), a in tiles.items():
        for key in ((z, r, c + 1), (z, r + 1, c), (z + 1, r, c)):
            if key in tiles and (z, r, c) not in without and key not in without:
                out.append(pair(a, tiles[key]))
    return out


def net_of(tiles, pairs):
    return clusters.net_of(list(tiles.values()), pairs)


def decided(tiles, pairs, exclude=(), *, auto=True):
    net = net_of(tiles, pairs)
    return net, decide(net, exclude, auto=auto)


def states(net, what):
    rows = list(outcome.per_tile(net, what, {}))
    return {row["tile_id"]: row["state"] for row in rows}


# -- clusters ----------------------------------------------------------------------------------


def test_a_chain_of_3000_layers_is_one_cluster_without_orphans():
    tiles = grid(3000, 1, 1)
    net = net_of(tiles, pairs_of(tiles))
    label = clusters.labels(net, np.zeros(3000, bool))
    assert (label == 1).all()


def test_a_broken_chain_is_two_clusters_the_longer_one_first():
    tiles = grid(10, 1, 1)
    broken = [p for p in pairs_of(tiles) if p["p_id"] != tiles[4, 0, 0].tile_id]
    label = clusters.labels(net_of(tiles, broken), np.zeros(10, bool))
    assert label.tolist() == [2] * 4 + [1] * 6


def test_a_tile_without_pairs_is_in_no_cluster():
    tiles = grid(3)
    net = net_of(tiles, pairs_of(tiles, without={(2, 0, 0)}))
    label = clusters.labels(net, np.zeros(12, bool))
    assert [t.tile_id for t, k in zip(net.tiles, label, strict=True) if k == 0] == ["t_0-0-0.2.0"]


def test_a_volume_of_one_tile_is_one_cluster():
    net = net_of(grid(1, 1, 1), [])
    assert clusters.labels(net, np.zeros(1, bool)).tolist() == [1]


def test_pairs_with_tiles_outside_the_stack_do_not_count():
    tiles = grid(2, 1, 1)
    net = net_of(tiles, [pair(tiles[1, 0, 0], tile(9)), pair(tile(9), tiles[2, 0, 0])])
    assert len(net.p) == 0


def test_order_of_tiles_and_pairs_does_not_matter():
    tiles = grid(6)
    pairs = pairs_of(tiles, without={(3, 1, 1)})
    one = net_of(tiles, pairs)
    other = clusters.net_of(list(tiles.values())[::-1], pairs[::-1])
    nobody = np.zeros(24, bool)
    assert clusters.labels(one, nobody).tolist() == clusters.labels(other, nobody).tolist()


def test_a_hundred_thousand_tiles_are_clustered():
    tiles = [tile(z, 0, c) for z in range(20000) for c in range(5)]
    ids = np.arange(100000)
    net = clusters.Net(tiles, ids[:-5], ids[5:], np.ones(99995))
    assert np.bincount(clusters.labels(net, np.zeros(100000, bool)))[1:].tolist() == [20000] * 5


# -- edges -------------------------------------------------------------------------------------


def test_every_range_of_an_unmatched_edge_is_listed():
    tiles = grid(10, 1, 2)
    silent = {2, 3, 7}
    pairs = [p for p in pairs_of(tiles) if not (p["dz"] == "0" and _z(p) in silent)]
    found = edges.gaps(net_of(tiles, pairs), np.zeros(20, bool))
    assert [(g["z_first"], g["z_last"], g["layers"]) for g in found] == [(2, 3, 2), (7, 7, 1)]
    assert all(
        (g["row_a"], g["column_a"], g["row_b"], g["column_b"]) == (0, 0, 0, 1) for g in found
    )


def _z(row):
    return int(float(row["p_id"].rsplit(".", 2)[1]))


def test_excluded_tiles_are_not_expected_to_have_edges():
    tiles = grid(4, 1, 2)
    net = net_of(tiles, [p for p in pairs_of(tiles) if p["dz"] != "0"])
    gone = np.array([t.column == 1 for t in net.tiles])
    assert edges.gaps(net, gone) == []


# -- decisions ---------------------------------------------------------------------------------


def test_auto_excludes_unconnected_tiles_and_small_clusters_and_nothing_else():
    tiles = grid(8)
    lonely = {(1, 0, 0)}
    apart = {(5, 1, 1), (6, 1, 1)}
    pairs = pairs_of(tiles, without=lonely | apart)
    pairs.append(pair(tiles[5, 1, 1], tiles[6, 1, 1]))
    net, what = decided(tiles, pairs)
    gone = {t.cell + (t.z,) for t, out in zip(net.tiles, what.gone, strict=True) if out}
    assert gone == {(0, 0, 1.0), (1, 1, 5.0), (1, 1, 6.0)}
    assert set(np.unique(what.label[~what.gone])) == {1}
    assert any("cluster 2 of 2 tiles" in text for text in what.reason)


def test_what_a_person_keeps_stays_although_nothing_joins_it():
    tiles = grid(8)
    apart = {(5, 1, 1), (6, 1, 1)}
    pairs = pairs_of(tiles, without={(1, 0, 0)} | apart)
    pairs.append(pair(tiles[5, 1, 1], tiles[6, 1, 1]))
    keep = [{"tiles": ["t_0-0-0.1.0", "t_0-1-1.5.0"], "reason": "looked at"}]
    net = net_of(tiles, pairs)
    what = decide(net, [], auto=True, keep=keep)
    found = {t.tile_id: text for t, text in zip(net.tiles, what.reason, strict=True) if text}
    assert found == {"t_0-1-1.6.0": "auto: cluster 2 of 2 tiles"}
    assert what.auto.tolist() == what.gone.tolist()


def test_a_damaged_tile_leaves_unless_it_is_kept_or_excluded_by_hand():
    tiles = grid(6, 1, 1)
    words = dict.fromkeys(
        (f"t_0-0-0.{z}.0" for z in (1, 5, 6)), Verdict(DAMAGED, 2, "a band", 0, 0)
    )
    words["t_0-0-0.2.0"] = Verdict(RESIN, 1, "", 0, 0)
    exclude = [{"tiles": ["t_0-0-0.6.0"], "reason": "mine"}]
    net = net_of(tiles, [p for p in pairs_of(tiles) if p["p_id"] != "t_0-0-0.2.0"])
    keep = [{"tiles": ["t_0-0-0.5.0"], "reason": "usable"}]
    what = decide(net, exclude, auto=True, verdicts=words, keep=keep)
    assert what.reason == [
        "auto: damaged, no patch for it: a band", "auto: resin (no match to any tile)",
        "", "", "", "mine",
    ]  # fmt: skip
    assert what.auto.tolist() == [True, True, False, False, False, False]
    nothing = decide(net, [], auto=False, verdicts=words)
    assert not nothing.gone.any()


def test_the_first_entry_that_names_a_tile_gives_the_reason():
    tiles = grid(2, 1, 1)
    entries = [{"cells": ["0,0"], "reason": "one"}, {"tiles": ["t_0-0-0.1.0"], "reason": "two"}]
    _, what = decided(tiles, pairs_of(tiles), entries, auto=False)
    assert what.reason == ["one", "one"]


def test_without_auto_the_states_say_what_is_wrong():
    tiles = grid(4)
    pairs = pairs_of(tiles, without={(1, 0, 0)})
    net, what = decided(tiles, pairs, auto=False)
    state = states(net, what)
    assert state["t_0-0-0.1.0"] == "unconnected"
    assert sorted(set(state.values())) == ["ok", "unconnected"]


def test_exclusion_takes_cells_in_an_inclusive_range_of_z_and_single_tiles():
    tiles = grid(6)
    exclude = [
        {"cells": ["0,0"], "z_first": 2, "z_last": 3, "reason": "resin"},
        {"cells": ["1,1"], "z_last": 1, "reason": "resin"},
        {"tiles": ["t_0-1-0.5.0"], "reason": "charging"},
    ]
    net, what = decided(tiles, pairs_of(tiles), exclude, auto=False)
    found = {t.tile_id: text for t, text in zip(net.tiles, what.reason, strict=True) if text}
    assert found == {
        "t_0-0-0.2.0": "resin",
        "t_0-0-0.3.0": "resin",
        "t_0-1-1.1.0": "resin",
        "t_0-1-0.5.0": "charging",
    }


def test_a_tile_orphaned_by_an_exclusion_is_found():
    tiles = grid(3, 1, 1)
    exclude = [{"tiles": ["t_0-0-0.2.0"], "reason": "bad"}]
    net, what = decided(tiles, pairs_of(tiles), exclude, auto=False)
    assert states(net, what)["t_0-0-0.3.0"] == "unconnected"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"cells": ["7,7"], "reason": "x"}, "cell 7,7"),
        ({"tiles": ["nope"], "reason": "x"}, "nope"),
        ({"reason": "x"}, "neither"),
    ],
)
def test_an_entry_that_names_nothing_is_an_error(entry, said):
    tiles = grid(2)
    with pytest.raises(UserError, match=rf"review\.exclude\[0\].*{said}"):
        decided(tiles, pairs_of(tiles), [entry])


def test_pasted_proposals_exclude_exactly_what_auto_would():
    tiles = grid(12)
    bad = {(z, 0, 0) for z in (1, 2, 3, 7, 9)} | {(5, 1, 0)}
    pairs = pairs_of(tiles, without=bad)
    net, auto = decided(tiles, pairs)
    entries = proposals(net.tiles, auto.gone, auto.label == 1, {})
    pasted = yaml.safe_load(as_yaml(entries))["exclude"]
    _, by_hand = decided(tiles, pairs, pasted, auto=False)
    assert by_hand.gone.tolist() == auto.gone.tolist()
    assert {(e["z_first"], e["z_last"]) for e in pasted} == {(1, 3), (5, 5), (7, 7), (9, 9)}


def test_a_range_with_absent_layers_stays_one_proposal():
    tiles = {k: t for k, t in grid(9, 1, 2).items() if k[0] not in (4, 5)}
    bad = {(z, 0, 0) for z in range(1, 8)}
    net, auto = decided(
        tiles, pairs_of(tiles, without=bad) + [pair(tiles[3, 0, 1], tiles[6, 0, 1])]
    )
    (entry,) = proposals(net.tiles, auto.gone, auto.label == 1, {})
    assert (entry["z_first"], entry["z_last"]) == (1, 7)


# -- texture -----------------------------------------------------------------------------------


def pictures(kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "tissue":
        fine = ndimage.gaussian_filter(rng.standard_normal((60, 60)), 2)
        picture = 128 + 30 * fine / fine.std()
    else:
        cloud = ndimage.gaussian_filter(rng.standard_normal((60, 60)), 12)
        picture = 170 + 8 * cloud / cloud.std() + 0.2 * np.arange(60)
    return picture + 2.5 * rng.standard_normal((60, 60)), np.ones((60, 60), bool)


def test_resin_has_a_fifth_of_the_texture_of_tissue_at_most():
    assert texture.score(*pictures("resin")) < 0.2 * texture.score(*pictures("tissue"))


def test_a_masked_area_does_not_count_as_texture():
    picture, valid = pictures("resin")
    bare = texture.score(picture, valid)
    picture[:, :10], valid[:, :10] = 0, False
    assert texture.score(picture, valid) < 1.3 * bare


def test_a_wholly_masked_picture_has_no_texture():
    picture, valid = pictures("tissue")
    assert texture.score(picture, ~valid) == 0


@pytest.mark.parametrize(("side", "level"), [(40, 0), (64, 0), (240, 2), (2048, 5), (6250, 7)])
def test_the_level_keeps_the_picture_small_but_readable(side, level):
    assert texture.level_of(side, side) == level
    assert texture.level_of(side, 4 * side, 2 * texture.SHORT_SIDE) == max(0, level - 1)


# -- gate --------------------------------------------------------------------------------------


def evidence(tiles, pairs, *, auto=True, failed=(), planned=None, **changes):
    rows = [*pairs, *({**row, "saved": "0"} for row in failed)]
    net, what = decided(tiles, pairs, auto=auto)
    gone = {t.tile_id for t, out in zip(net.tiles, what.gone, strict=True) if out}
    table = [{k: str(v) for k, v in row.items()} for row in outcome.per_tile(net, what, {})]
    gaps = [{k: str(v) for k, v in row.items()} for row in edges.gaps(net, what.gone)]
    saved = statistics.saved_counts(columns(rows), gone)
    figures = outcome.figures(net, what, {}, attempted=len(rows), saved=saved)
    return gate.Evidence(
        figures=figures | changes,
        tiles=table,
        edges=gaps,
        patches=[],
        proposals=as_yaml(outcome.proposed(net, what, {})),
        planned=len(rows) if planned is None else planned,
    )


def columns(rows):
    """Result columns of pairs as the statistics read them."""
    names = (*statistics.TEXTS, *statistics.KINDS)
    return statistics.of_columns({name: [row.get(name, "") for row in rows] for name in names})


def checked(tiles, pairs, *, limits=None, **changes):
    return gate.checks(evidence(tiles, pairs, **changes), gate.Limits(**limits or {}))


def only(checks, name):
    """The failed checks are those of `name`, and no other."""
    assert {check.name for check in checks if check.status != "passed"} == {name}
    return next(check for check in checks if check.name == name)


def told(given, limits=None, config=None):
    """What a failing gate says: message and lines."""
    limits = gate.Limits(**limits or {})
    return remedies.failure(gate.checks(given, limits), given, limits, config or {})


def pasted(lines):
    """The one section that a failing gate prints, and the settings with a price."""
    main, _, last = lines.partition("Only at a price")
    section = main.partition("review:\n")[2]
    rows = [row for row in last.splitlines() if row.startswith("  ")]
    return yaml.safe_load(section) or {}, yaml.safe_load("\n".join(rows)) or {}


def test_a_sound_volume_passes():
    tiles = grid(5)
    checks = checked(tiles, pairs_of(tiles))
    assert {check.status for check in checks} == {"passed"}


def test_a_volume_with_resin_passes_with_auto():
    tiles = grid(10)
    bad = {(1, 0, 0), (2, 0, 0)}
    assert told(evidence(tiles, pairs_of(tiles, without=bad))) is None


def test_a_failing_gate_names_the_tiles_and_prints_lines_that_mend_it():
    tiles = grid(10)
    bad = {(z, 0, 0) for z in range(1, 8)}
    message, lines = told(evidence(tiles, pairs_of(tiles, without=bad), auto=False))
    assert "t_0-0-0.1.0" in message
    assert "(7 in all)" in message
    assert "review/tiles.tsv" in message
    section, costly = pasted(lines)
    assert costly == {}
    _, what = decided(tiles, pairs_of(tiles, without=bad), section["exclude"], auto=False)
    assert what.gone.sum() == 7


def test_layers_of_an_edge_that_are_bridged_are_taken_off():
    assert [gate._left({"layers": "5", "bridged": n}) for n in ("2", "", "5")] == [3, 5, 0]


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "t0"), (5, "t0, t1, t2, t3, t4"), (6, "t0, t1, t2, t3, t4, ... (6 in all)")],
)
def test_how_many_there_are_is_said_where_not_all_are_named(count, words):
    assert gate._names([f"t{k}" for k in range(count)]) == words


def test_g1_an_invalid_tile_fails_and_the_lines_exclude_it():
    found = only(
        checked(grid(3), pairs_of(grid(3)), invalid_tiles=["t_0-0-0.1.0"]), "invalid_tiles"
    )
    assert found.mend["exclude"][0]["tiles"] == ["t_0-0-0.1.0"]


def test_g1_a_damaged_tile_fails_and_the_lines_patch_it_or_take_it_out():
    given = evidence(grid(3), pairs_of(grid(3)), spoilt_tiles=["t_0-0-0.2.0"])
    entry = {"cell": "0,0", "z": 2.0, "from": -1, "reason": "a band"}
    given = replace(given, proposals=as_yaml([], [entry]))
    unpatched = only(gate.checks(given, gate.Limits()), "spoilt_tiles").mend
    assert unpatched["exclude"][0]["tiles"] == ["t_0-0-0.2.0"]
    row = {"replaces": "t_0-0-0.2.0", "state": "proposed", "reason": "a band", "tile_id": "p"}
    mend = only(gate.checks(replace(given, patches=[row]), gate.Limits()), "spoilt_tiles").mend
    assert mend == {"patch": [{"cell": "0,0", "z": 2, "from": -1, "reason": "a band"}]}


def test_resin_is_told_before_the_matching_that_it_explains():
    given = evidence(grid(3), pairs_of(grid(3)))
    poor = {"montage": {"planned": 56, "saved": 14}}
    tiles = [
        row | ({"kind": "resin", "state": "unconnected"} if row["column"] == "1" else {})
        for row in given.tiles
    ]
    bare = replace(given, figures=given.figures | {"saved": poor}, tiles=tiles)
    first, second = causes.causes(bare)[:2]
    assert "tiles show bare resin (cell 0,1, z 1–3" in first
    assert second.startswith("14 of 56 montage pairs were saved")
    assert causes.causes(replace(bare, tiles=given.tiles))[0] == second


def test_g1_a_tile_without_signal_is_called_so_and_keep_is_not_offered():
    ids = ["t_0-0-0.1.0", "t_0-0-0.2.0"]
    given = evidence(grid(3), pairs_of(grid(3)), spoilt_tiles=ids, dead_tiles=ids[:1])
    both = only(gate.checks(given, gate.Limits()), "spoilt_tiles")
    assert f"{ids[0]} ({suspects.NO_SIGNAL})" in both.message
    reasons = {entry["tiles"][0]: entry["reason"] for entry in both.mend["exclude"]}
    assert reasons[ids[0]].startswith(suspects.NO_SIGNAL)
    assert reasons[ids[1]].startswith("damaged")
    assert "under keep" in both.message
    given = evidence(grid(3), pairs_of(grid(3)), spoilt_tiles=ids[:1], dead_tiles=ids[:1])
    alone = only(gate.checks(given, gate.Limits()), "spoilt_tiles").message
    assert "patch shows the next layer" in alone
    assert "under keep" not in alone


def test_tiles_without_signal_outside_the_cluster_are_never_called_resin():
    net, what = decided(grid(3), [], auto=False)
    dead = suspects.Verdict(suspects.DAMAGED, 1000.0, suspects.NO_SIGNAL, 0.0, 0.0)
    found = outcome.proposed(net, what, {tile.tile_id: dead for tile in net.tiles})
    assert found
    assert all(entry["reason"].startswith(suspects.NO_SIGNAL) for entry in found)


def test_g2_a_planned_pair_without_a_row_fails():
    found = only(checked(grid(3), pairs_of(grid(3)), planned=1000), "attempted_pairs")
    assert "1000 planned" in found.message
    assert told(evidence(grid(3), pairs_of(grid(3)), planned=1000), found.accept) is None


def test_g2_more_rows_than_planned_pairs_fail_as_well():
    found = only(checked(grid(3), pairs_of(grid(3)), planned=10), "attempted_pairs")
    assert "each of the 10 planned pairs, found 20" in found.message
    assert found.accept == {"max_unattempted_pairs": 10}


@pytest.mark.parametrize(("kind", "dz"), [("montage", 0), ("dz1", 1)])
def test_g3_a_low_share_of_saved_pairs_warns_or_fails_as_the_config_says(kind, dz):
    tiles = grid(5)
    ends = [(tiles[z, 0, 0], tiles[z + dz, 0, 1 - dz]) for z in range(1, 5)] * 8
    lost = [pair(a, b) for a, b in ends]
    for choice, status in (("warn", "warning"), ("fail", "failed")):
        checks = checked(tiles, pairs_of(tiles), failed=lost, limits={"low_share": choice})
        found = only(checks, f"saved_share_{kind}")
        assert found.status == status
    limits = {"low_share": "fail", **found.accept}
    assert told(evidence(tiles, pairs_of(tiles), failed=lost), limits) is None


def test_g4_two_clusters_fail_and_are_described():
    tiles = grid(10, 1, 1)
    broken = [p for p in pairs_of(tiles) if p["p_id"] != tiles[4, 0, 0].tile_id]
    found = only(checked(tiles, broken, auto=False), "clusters")
    assert "4 tiles of cells 0,0, z 1 to 4" in found.message
    assert found.mend["exclude"][0]["z_last"] == 4


def test_g5_an_unconnected_tile_fails():
    tiles = grid(10)
    checks = checked(tiles, pairs_of(tiles, without={(1, 0, 0)}), auto=False)
    assert "t_0-0-0.1.0" in only(checks, "unconnected_tiles").message


@pytest.mark.parametrize(("layers", "bridged", "good"), [(50, 0, 1), (51, 0, 0), (51, 1, 1)])
def test_g6_a_gap_of_51_layers_fails_and_one_of_50_or_a_bridged_one_does_not(layers, bridged, good):
    row = dict.fromkeys(("row_a", "column_a", "row_b", "z_first"), "1") | {"z_last": "51"}
    gap = {**row, "column_b": "2", "layers": str(layers), "bridged": str(bridged)}
    found = gate.check_edges([gap], gate.Limits())
    assert (found.status == "passed") == good
    if not good:
        assert found.mend["bridge"][0]["cells"] == ["1,1", "1,2"]
        assert found.accept == {"max_edge_gap_layers": 51}


def unseamed(layers, without):
    """A stack of 2 x 2 whose tiles are connected, with no match across one edge in some layers."""
    tiles = grid(layers)
    ids = {frozenset((tiles[z, 0, 0].tile_id, tiles[z, 0, 1].tile_id)) for z in without}
    kept = [p for p in pairs_of(tiles) if frozenset((p["p_id"], p["q_id"])) not in ids]
    return evidence(tiles, kept)


def test_g6_an_edge_without_any_match_fails_in_a_stack_of_two_layers_too():
    for layers in (2, 30):
        message, lines = told(unseamed(layers, range(1, layers + 1)))
        cause = f"Cells 0,0 and 0,1 have no match in any of their {layers} layers."
        assert cause in message.splitlines()[:2]
        # nothing to derive from: no bridge is offered, and the price stands beside the setting
        assert "bridge" not in lines
        assert pasted(lines) == ({}, {"max_edge_gap_share": 1})
        assert "# 1 seams are held by nothing but the layers' other tiles:" in lines
    sound = unseamed(30, range(1, 31))
    assert told(sound, {"max_edge_gap_share": 1}) is None


@pytest.mark.parametrize(
    ("layers", "without", "good"), [(5, 3, True), (20, 10, True), (20, 11, False), (7, 4, False)]
)
def test_g6_most_layers_of_an_edge_have_a_match_unless_few_have_none(layers, without, good):
    found = unseamed(layers, range(1, without + 1))
    check = gate.check_edge_shares(found, gate.Limits())
    assert (check.status == "passed") == good
    if not good:
        assert f"cells 0,0 and 0,1 in {without} of {layers}" in check.message
        assert check.mend["bridge"][0]["z_last"] == without
        bridged = [row | {"bridged": "4"} for row in found.edges]
        less = gate.check_edge_shares(replace(found, edges=bridged), gate.Limits())
        assert (check.found, less.status) == (pytest.approx(without / layers), "passed")


def test_g6_a_seam_of_damaged_tiles_is_not_laid_to_the_matching():
    found = unseamed(20, range(1, 12))
    named = "Mend the matching of these seams (match.preset, stage positions)"
    for state, kind, most, preset in (
        ("ok", "damaged", 11, False), ("patched", "tissue", 6, False), ("ok", "damaged", 5, True),
    ):  # fmt: skip
        bad = [
            row | {"state": state, "kind": kind}
            if float(row["z"]) <= most and (row["row"], row["column"]) in ((0, 1), ("0", "1"))
            else row
            for row in found.tiles
        ]
        message = gate.check_edge_shares(replace(found, tiles=bad), gate.Limits()).message
        assert (named in message) == preset
        assert (f"In {most} of these 11 layers a tile is damaged or a patch" in message) != preset


def test_g6_seams_are_named_by_row_and_column_those_with_the_largest_gaps_first():
    tiles = grid(20, 3, 2)
    missing = {(1, 0, 1, 1): 12, (2, 0, 2, 1): 15}
    ids = {
        frozenset((tiles[z, *edge[:2]].tile_id, tiles[z, *edge[2:]].tile_id))
        for edge, layers in missing.items()
        for z in range(1, layers + 1)
    }
    pairs = pairs_of(tiles)
    kept = [one for one in pairs if frozenset((one["p_id"], one["q_id"])) not in ids]
    message = gate.check_edge_shares(evidence(tiles, kept), gate.Limits()).message
    assert "cells 2,0 and 2,1 in 15 of 20; cells 1,0 and 1,1 in 12 of 20" in message
    whole = gate.check_edge_shares(evidence(tiles, pairs), gate.Limits())
    assert (whole.found, whole.status) == (0.0, "passed")


def test_g6_tiles_outside_the_largest_cluster_have_no_edge():
    tiles = grid(10)
    bad = {(z, 0, 0) for z in range(1, 11)}
    found = evidence(tiles, pairs_of(tiles, without=bad), auto=False)
    assert gate.check_edge_shares(found, gate.Limits()).status == "passed"


def test_g7_too_large_shares_fail_and_the_lines_accept_them():
    tiles = grid(4)
    bad = {(z, 0, 0) for z in range(1, 5)}
    found = only(checked(tiles, pairs_of(tiles, without=bad)), "auto_share")
    assert "4 of 16 tiles" in found.message
    assert found.accept == {"max_auto_share": 0.26}
    place = {"row": "0", "column": "0", "z": "1"}
    row = {"tile_id": "t", "reason": "auto: no match", "kind": "tissue", **place}
    sound = [{"tile_id": "u", "reason": "", **place}] * 20
    lost = gate.check_auto([row, *sound], gate.Limits(few_tiles=0))[1]
    assert lost.accept == {"max_lost_tissue_share": 0.05}
    given = evidence(tiles, pairs_of(tiles))
    given = replace(
        given, patches=[{"replaces": "", "reason": "", "tile_id": "t.p", "state": "patched"}]
    )
    patched = only(gate.checks(given, gate.Limits(few_tiles=0)), "patched_share")
    assert patched.accept == {"max_patched_share": 0.07}
    derived = only(checked(tiles, pairs_of(tiles), derived_pairs=4), "derived_share")
    assert derived.accept == {"max_derived_share": 0.21}


def table(count, **columns):
    place = {"row": "0", "column": "0", "z": "1"}
    return [{"tile_id": f"t{i}", "reason": "", "kind": "damaged", "state": "ok", **place, **columns}
            for i in range(count)]  # fmt: skip


@pytest.mark.parametrize(("count", "status"), [(5, "passed"), (6, "failed")])
def test_g7_only_patches_that_hold_count_and_a_share_at_its_limit_passes(count, status):
    others = [row for state in ("failed", "proposed", "wanted") for row in table(9, state=state)]
    found = gate.Evidence({}, table(100), [], [*table(count, state="patched"), *others], "", 0)
    check = gate.check_patched(found, gate.Limits())
    assert (check.found, check.status) == (count / 100, status)
    if status == "failed":
        assert (
            "6 of 100 tiles are copies from an adjacent layer (6.0%), the limit is 5.0%:"
            in check.message
        )
        assert "t0, t1, t2, t3, t4, ... (6 in all)." in check.message


@pytest.mark.parametrize(("derived", "status"), [(10, "passed"), (11, "failed")])
def test_g7_derived_pairs_are_a_share_of_those_within_layers(derived, status):
    figures = {"derived_pairs": derived, "saved": {"montage": {"saved": 100 - derived}}}
    check = gate.check_derived(figures, gate.Limits())
    assert (check.found, check.status) == (derived / 100, status)
    assert (f"{derived} of 100 pairs within layers are derived" in check.message) == (derived > 10)
    gap = {"row_a": "0", "column_a": "0", "row_b": "1", "column_b": "0", "z_first": "21",
           "z_last": "40", "bridged": "20"}  # fmt: skip
    told = gate.check_derived(figures, gate.Limits(), [gap | {"bridged": "0", "z_last": "9"}, gap])
    assert ("10.0%: cells 0,0 and 1,0, z 21 to 40; they" in told.message) == (derived > 10)
    more = gap | {"z_last": "60", "bridged": "40"}  # the longest first
    both = gate.check_derived(figures, gate.Limits(), [gap, more])
    assert ("z 21 to 60; cells 0,0 and 1,0, z 21 to 40; they" in both.message) == (derived > 10)
    assert gate.check_derived({"saved": {}}, gate.Limits()).found == 0
    assert gate.check_derived({"saved": {}, "derived_pairs": 1}, gate.Limits()).found == 1


@pytest.mark.parametrize(
    ("derived", "saved", "good"),
    [
        (1, 1, True),
        (2, 2, True),
        (3, 3, True),
        (3, 2, False),
        (4, 4, False),
        (4, 36, True),
        (5, 35, False),
    ],  # fmt: skip
)
def test_derived_pairs_are_limited_by_share_and_by_count(derived, saved, good):
    figures = {"saved": {"montage": {"saved": saved}}, "derived_pairs": derived}
    assert (gate.check_derived(figures, gate.Limits()).status == "passed") is good


def test_g7_only_what_left_without_being_asked_counts():
    rows = [*table(20, reason="auto: resin"), *table(40, reason="zz by hand"), *table(40)]
    auto, lost = gate.check_auto(rows, gate.Limits())
    assert (auto.found, auto.status, lost.found) == (0.2, "passed", 0)
    rows[0]["kind"] = "tissue"
    assert gate.check_auto(rows, gate.Limits())[1].status == "passed"
    for row in rows[1:3]:
        row["kind"] = "tissue"
    assert gate.check_auto(rows, gate.Limits())[1].status == "passed"
    rows[3]["kind"] = "tissue"  # beyond few_tiles
    assert gate.check_auto(rows, gate.Limits())[1].status == "failed"


@pytest.mark.parametrize("kind", ["montage", "dz1"])
def test_g3_a_share_at_its_limit_passes(kind):
    limits = gate.Limits(min_saved_share_montage=0.75, min_saved_share_dz1=0.75)
    for saved, status in ((75, "passed"), (74, "warning")):
        (check,) = gate.check_shares({kind: {"planned": 100, "saved": saved}}, limits)
        assert (check.found, check.status, bool(check.message)) == (saved / 100, status, saved < 75)
    assert (
        f"74 of 100 {statistics.in_words(kind)} were saved (74.0%), expected 75.0%" in check.message
    )
    assert check.accept == {f"min_saved_share_{kind}": 0.74}


def test_g4_many_clusters_are_described_by_the_next_five_and_five_cells_of_each():
    cells = [f"0,{c}" for c in range(7)]
    after = {
        "clusters": [{"tiles": 9 - k, "cells": cells, "z_first": k, "z_last": 8} for k in range(8)]
    }
    rows = [
        *table(3, state="small_cluster"),
        *table(2, state="unconnected"),
        *table(4, state="excluded"),
    ]
    found = gate.Evidence({"after": after}, rows, [], [], "exclude: []\n", 0)
    clusters_, lonely = gate.check_connected(found, gate.Limits())
    assert "into 8 clusters, expected 1; 3 tiles are outside the largest" in clusters_.message
    assert clusters_.message.count(" tiles of cells 0,0 0,1 0,2 0,3 0,4, z ") == 5
    assert "(8 tiles of cells" in clusters_.message
    assert lonely.found == 2


def test_g6_edges_over_the_limit_alone_get_lines_and_the_longest_is_named():
    names = ("row_a", "column_a", "row_b", "column_b")
    gaps = [
        dict(zip(names, "0001", strict=True)) | {"z_first": "1", "z_last": "60", "layers": "60"},
        dict(zip(names, "0010", strict=True)) | {"z_first": "2", "z_last": "71", "layers": "70"},
        dict(zip(names, "0111", strict=True)) | {"z_first": "3", "z_last": "12", "layers": "10"},
    ]
    found = gate.check_edges([row | {"bridged": ""} for row in gaps], gate.Limits())
    assert found.found == 70
    assert found.message.startswith("2 edges between neighboring cells")
    assert "the longest: cells 0,0 and 1,0, z 2 to 71, 70 layers" in found.message
    assert [(e["cells"], e["z_first"], e["z_last"]) for e in found.mend["bridge"]] == [
        (["0,0", "0,1"], 1, 60), (["0,0", "1,0"], 2, 71)]  # fmt: skip
    assert found.accept == {"max_edge_gap_layers": 70}
    assert gate.check_edges([], gate.Limits()).status == "passed"


def test_a_failing_gate_counts_its_checks_and_writes_what_passed():
    good = gate.Check("a", 1, "<= 1", "passed")
    warned = gate.Check("b", 1, "<= 0", "warning", "careful")
    bad = gate.Check("c", 2, "<= 1", "failed", "too many\n\n")
    found = evidence(grid(3), pairs_of(grid(3)))
    message, lines = remedies.failure([good, warned, bad], found, gate.Limits(), {})
    assert "does not open (1 of 3 checks): c; pictures" in message  # all that a row of status has
    assert message.endswith("\n- c: too many\n")
    assert lines == "No line of the config mends this: mend the matching (match.preset).\n"
    assert remedies.failure([good, warned], found, gate.Limits(), {}) is None
    assert good.to_json() == {
        "name": "a", "found": 1, "expected": "<= 1", "status": "passed", "message": ""}  # fmt: skip


def test_no_match_at_all_fails_and_to_exclude_everything_is_not_offered():
    found = replace(evidence(grid(3), [], failed=pairs_of(grid(3))), preset="strict.yaml",
                    summary=[{"run": "cross", "stage": "a", "processed": "20", "saved": "0",
                              "saved_pct": "0", "few_inliers": "14", "no_overlap": "6",
                              "stopped_by_distance": "9"}])  # fmt: skip
    message, lines = told(found)
    cause = message.splitlines()[0]
    assert cause == (
        "0 of 8 pairs of adjacent layers and 0 of 12 montage pairs were saved: few_inliers (14),"
        " no_overlap (6); match.preset is strict.yaml."
    )
    assert "0 clusters" not in message
    assert "12 tiles have no match" in message
    assert "exclude" not in lines


def test_to_exclude_everything_is_not_offered_of_a_few_tiles_either():
    found = evidence(grid(3, 1, 1), [], auto=False)
    assert "exclude" not in told(found)[1]
    tiles = grid(2)
    ids = [one.tile_id for one in tiles.values()]
    assert "exclude" not in told(evidence(tiles, pairs_of(tiles), invalid_tiles=ids))[1]


def test_a_few_tiles_are_not_few_where_they_are_most_of_all():
    for count, status in ((6, "passed"), (5, "failed")):
        found = gate.Evidence({}, table(count), [], table(3, state="patched"), "", 0)
        assert gate.check_patched(found, gate.Limits()).status == status


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        ("max_invalid_tiles", {"invalid_tiles": ["t_0-0-0.1.0"]}),
        ("max_spoilt_tiles", {"spoilt_tiles": ["t_0-0-0.1.0"]}),
        ("max_unconnected_tiles", {}),
    ],
)
def test_each_limit_that_counts_tiles_lets_so_many_pass(limit, changes):
    tiles = grid(5)
    without = set() if changes else {(1, 0, 0)}
    found = evidence(tiles, pairs_of(tiles, without=without), auto=False, **changes)
    assert told(found) is not None
    assert told(found, {limit: 1}) is None


def test_the_limit_of_clusters_lets_so_many_pass():
    tiles = grid(10, 1, 1)
    broken = [p for p in pairs_of(tiles) if p["p_id"] != tiles[4, 0, 0].tile_id]
    assert told(evidence(tiles, broken, auto=False), {"max_clusters": 2}) is None


def test_the_message_begins_with_the_parts_of_the_volume_and_half_of_it_has_a_price():
    tiles = grid(14, 1, 1)
    gap = {(z, 0, 0) for z in range(5, 11)}
    message, lines = told(evidence(tiles, pairs_of(tiles, without=gap), auto=False))
    rows = message.splitlines()
    assert rows[0] == (
        "The volume is in two parts, z 1–4 and 11–14; nothing matches across z 5–10."
    )
    section, costly = pasted(lines)
    assert section == {}
    assert [e["z_last"] for e in costly["exclude"]] == [14]
    assert "# 10 of 14 tiles leave:" in lines
    assert "auto: true" not in lines
    # the very last remedy, with two tiles of one cell on either side
    said, command = lines.splitlines()[-2:]
    assert said == (
        "Where nothing else helps, tiles across a gap can be matched by hand"
        " (docs/match-by-hand.md):"
    )
    assert command.startswith("python -m scripts.match.by_hand ")
    assert command.endswith(" t_0-0-0.11.0 t_0-0-0.4.0")


def test_parts_beside_each_other_are_matched_by_hand_in_the_middle_of_their_layers():
    tiles = grid(9, 1, 2)
    along = [p for p in pairs_of(tiles) if p["dz"] != "0"]
    _, lines = told(evidence(tiles, along, auto=False))
    assert lines.splitlines()[-1].endswith(" t_0-0-1.5.0 t_0-0-0.5.0")
    assert "by_hand" not in told(evidence(tiles, [], auto=False))[1]


def test_layers_without_tissue_are_named_before_their_tiles():
    """A specimen that ends: half of the layers leave, and the message says which and why."""
    tiles = grid(10)
    found = evidence(tiles, pairs_of(tiles, without={cell for cell in tiles if cell[0] > 5}))
    bare = [row | {"kind": "resin" if int(row["z"]) > 5 else "tissue"} for row in found.tiles]
    message, _ = told(replace(found, tiles=bare))
    assert message.startswith(
        "Layers z 6–10 show no tissue: all tiles are noise or bare resin (5 of 10 layers)"
    )
    assert "show no tissue" not in told(found)[0]
    one = [
        row | {"kind": "tissue"} if row["tile_id"].endswith("0-0-0.8.0") else row for row in bare
    ]
    assert "z 6–7, 9–10 show no tissue" in told(replace(found, tiles=one))[0]


def test_the_section_as_it_should_stand_holds_what_the_file_has_already():
    tiles = grid(10)
    config = {"auto": False, "exclude": [{"tiles": ["x"], "reason": 'a "b"\nc'}], "few_tiles": 2}
    found = evidence(tiles, pairs_of(tiles, without={(1, 0, 0), (2, 0, 0)}), auto=False)
    found = replace(found, figures=found.figures | {"invalid_tiles": ["t_0-1-1.9.0"]})
    lines = told(found, config=config)[1]
    assert lines.count("review:\n") == 1
    section, _ = pasted(lines)
    assert section["few_tiles"] == 2
    assert section["exclude"][0] == config["exclude"][0]
    assert [e.get("tiles", e.get("cells")) for e in section["exclude"][1:]] == [
        ["t_0-1-1.9.0"], ["0,0"]]  # fmt: skip
    again = told(found, config=section)[1]
    assert "review:\n" not in again  # what is set is not said again


def test_what_is_set_is_not_said_to_be_set():
    tiles = grid(10)
    found = evidence(tiles, pairs_of(tiles, without={(1, 0, 0)}), auto=False)
    assert "auto: true would do so" in told(found)[1]
    assert "would do so" not in told(found, config={"auto": True})[1]
    # a person may ask for more than auto does
    found = replace(found, figures=found.figures | {"invalid_tiles": ["t_0-1-1.9.0"]})
    assert "would do so" not in told(found)[1]


def test_contrast_that_flips_is_the_cause():
    tiles = grid(4)
    found = evidence(tiles, pairs_of(tiles, without={(1, 0, 0)}), auto=False,
                     contrast_flips=[21.0, 22.0])  # fmt: skip
    assert "Contrast flips at z 21, 22: " in told(found)[0].splitlines()[0]


def test_the_page_of_a_closed_gate_begins_with_what_it_says():
    tiles = grid(10)
    found = evidence(tiles, pairs_of(tiles, without={(1, 0, 0)}), auto=False)
    closed = told(found)
    shown = {"volume": "v", "figures": found.figures, "tables": [], "proposals": "", "plots": {},
             "sections": []}  # fmt: skip
    text = page.page(**shown, closed=closed)
    assert "The gate before the solve does not open (1 of " in text
    at = [text.index(each) for each in ("does not open", "have no match", "review:", "<dt>tiles")]
    assert at == sorted(at)
    assert "does not open" not in page.page(**shown)


def test_pairs_of_excluded_tiles_do_not_count_in_the_shares():
    tiles = grid(3, 1, 1)
    rows = [
        pair(tiles[1, 0, 0], tiles[2, 0, 0]),
        {**pair(tiles[2, 0, 0], tiles[3, 0, 0]), "saved": "0"},
    ]
    found = statistics.saved_counts(columns(rows), {"t_0-0-0.3.0"})
    assert found == {"dz1": {"planned": 1, "saved": 1}}

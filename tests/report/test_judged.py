"""Each limit of the verdicts: a run below it is good, one beyond it is told, with its place."""

import dataclasses

import numpy as np
import pytest
import yaml

from scripts.lib.names import WIDE_RUN
from scripts.lib.schema import faults
from scripts.lib.verdicts import GOOD, LOOK, NOT_GOOD
from scripts.report import grid, judged, page, summary
from scripts.report.gather import Table
from tests.report.conftest import LIMITS, NAMES, SCHEMA, judge


def damaged(evidence, table, **columns):
    """Evidence with columns of one table replaced, each by a function of the column before."""
    if table == "results":
        return dataclasses.replace(evidence, results=changed(evidence.results, columns))
    tables = dict(evidence.tables) | {table: changed(evidence[table], columns)}
    return dataclasses.replace(evidence, tables=tables)


def changed(table, columns):
    made = {name: change(table[name].copy()) for name, change in columns.items()}
    return Table(dict(table.columns) | made)


def with_qc(evidence, **figures):
    layers = evidence.documents["qc"]["layers"]
    documents = dict(evidence.documents) | {"qc": {"layers": layers, "figures": figures}}
    return dataclasses.replace(evidence, documents=documents)


def told(evidence, stage, words, names=NAMES):
    """State of the stage and the findings that say `words`."""
    figures, found = judge(evidence, names)
    return figures[stage]["status"], [
        one for one in found if words in one.what and one.state != GOOD
    ]


def test_a_good_run_is_good_in_all_its_stages(good):
    figures, _ = judge(good)
    assert figures["verdict"] == {"state": GOOD, "reasons": []}
    assert {figures[stage]["status"] for stage in summary.STAGES} == {GOOD}


@pytest.mark.parametrize(
    ("factor", "state"), [(1.0, GOOD), (200.0, NOT_GOOD)], ids=["as solved", "times 200"]
)
def test_residuals_are_judged_in_px(good, factor, state):
    made = damaged(good, "solved", rms_px=lambda v: v * factor)
    found, reasons = told(made, "solve", "the matches of a tile agree to")
    assert found == state
    assert bool(reasons) == (state != GOOD)


def test_a_layer_found_away_from_its_stage_position_is_a_note_with_its_entry(good):
    row = {"z_first": 11, "z_last": 12, "tiles": 4, "dx_px": -500, "dy_px": 3, "pairs": 44}
    table = Table({k: np.array([v]) for k, v in row.items()} | {"cells": np.array(["0,0 0,1"])})
    made = dataclasses.replace(good, tables=dict(good.tables) | {"wide": table})
    figures, found = judge(made)
    (note,) = [one for one in found if "stage positions" in one.what]
    assert (note.where, note.state, figures["match"]["status"]) == ("z 11-12", GOOD, GOOD)
    entry = yaml.safe_load(note.lines)["ingest"]["stage_offsets"]
    assert entry == [{"z_first": 11, "z_last": 12, "x_px": -500, "y_px": 3}]
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]["ingest"]
    assert faults({"stage_offsets": entry}, schema) == []


def test_cells_joined_over_narrow_seams_are_a_note_without_an_entry(good):
    row = {"z_first": 1, "z_last": 24, "tiles": 43, "dx_px": 0, "dy_px": 0, "pairs": 25}
    table = Table({k: np.array([v]) for k, v in row.items()} | {"cells": np.array(["0,0 1,0"])})
    made = dataclasses.replace(good, tables=dict(good.tables) | {"wide": table})
    figures, found = judge(made)
    (note,) = [one for one in found if "so narrow" in one.what]
    assert "43 tiles (cells 0,0 1,0) are joined by 25 pairs" in note.what
    assert (note.where, note.lines, figures["match"]["status"]) == ("z 1-24", "", GOOD)


def test_decisions_about_pairs_are_counted_shown_and_named_where_they_find_none(good):
    rows = [("match.decisions[0]", "drop", "set aside", "a <period>")] * 3
    rows += [("match.decisions[1]", "copy", "no such pair", "")]
    rows += [("match.by_hand[0]", "by hand", "added", "a jump")]
    names = ("entry", "action", "became", "reason")
    table = Table({k: np.array(v) for k, v in zip(names, zip(*rows, strict=True), strict=True)})
    figures, found = judge(dataclasses.replace(good, tables=dict(good.tables) | {"decided": table}))
    told = [(one["entry"], one["became"], one["pairs"]) for one in figures["match"]["decisions"]]
    assert told == [
        ("match.decisions[0]", "set aside", 3),
        ("match.decisions[1]", "no such pair", 1),
        ("match.by_hand[0]", "added", 1),
    ]
    shown = dict(page._match(figures))
    assert shown["match.decisions[0] (drop)"] == "3 set aside: a <period>"
    assert shown["match.by_hand[0] (by hand)"] == "1 added: a jump"
    (note,) = [one for one in found if "finds no pair" in one.what]
    assert (note.what, note.state) == ("match.decisions[1] (copy) finds no pair", GOOD)


def test_a_tile_that_shows_nothing_is_named_as_the_transfer_named_it(good):
    table = good["transfer"]
    message = table["message"].astype(object)
    message[3] = "0-0-1: constant (0): detector off?"
    changed = type(table)(dict(table.columns) | {"message": message})
    made = dataclasses.replace(good, tables=dict(good.tables) | {"transfer": changed})
    notes = [one for one in judge(made)[1] if one.stage == "transfer"]
    told = f"{table['layer_id'][3]}: {message[3]}"
    assert [one.reason for one in notes if "detector off" in one.what] == [told]


LIMITED = [
    ("solved", "rms_px", "residual_px", "median of tiles", "median"),
    ("solved", "rms_px", "tile_residual_px", "the matches of 1 tiles disagree", "one"),
    ("solved", "scale_x", "scale_pct", "scaled too much", "scale"),
    ("solved", "rotation_mrad", "rotation_mrad", "turned or sheared", "one"),
    ("solved", "shear", "rotation_mrad", "turned or sheared", "shear"),
    ("pairs", "rms_px", "seam_residual_px", "tiles of a layer", "dz 0"),
    ("pairs", "rms_px", "step_residual_px", "the next layer", "dz 1"),
]


@pytest.mark.parametrize(("table", "column", "limit", "words", "how"), LIMITED)
def test_a_figure_below_its_limit_is_good_and_one_beyond_is_told(
    good, table, column, limit, words, how
):
    def put(value):
        def change(values):
            values = values * 1.0
            if how == "median":
                values[:] = value
            elif how == "one":
                values[:] = np.minimum(values, 0.4)
                values[5] = value
            elif how in ("scale", "shear"):
                values[5] = 1 + value / 100 if how == "scale" else value / 1000
            else:
                values[good["pairs"]["dz"] == int(how[-1])] = value
            return values

        return damaged(good, table, **{column: change})

    at = LIMITS[limit]
    for value, state in (
        (0.98 * at["look"], GOOD),
        (1.02 * at["look"], LOOK),
        (1.02 * at["not_good"], NOT_GOOD),
    ):
        _, reasons = told(put(value), "solve", words)
        assert [one.state for one in reasons if limit in one.what] == [state] * (state != GOOD)


def test_the_same_residual_is_worse_where_pixels_are_larger(good):
    made = damaged(good, "solved", rms_px=lambda v: np.full_like(v, 1.2))
    assert told(made, "solve", "residual_nm")[1] == []
    (one,) = told(made, "solve", "residual_nm", NAMES | {"pixel_nm": 16.0})[1]
    assert "19.2 nm" in one.what


def unsaved(evidence, share, edge=None):
    """Take the matches from a share of the pairs of near layers, or of one edge."""

    def change(saved):
        near = evidence.results["dz"] <= 1
        if edge is not None:
            ends = zip(evidence.results["p_id"], evidence.results["q_id"], strict=True)
            near = np.array([f"_{edge[0]}." in p and f"_{edge[1]}." in q for p, q in ends])
        at = np.flatnonzero(near & (saved == 1))
        saved[at[: round(share * len(at))]] = 0
        return saved

    return damaged(evidence, "results", saved=change)


@pytest.mark.parametrize(("share", "state"), [(0.02, GOOD), (0.3, LOOK), (0.997, NOT_GOOD)])
def test_the_share_of_saved_pairs_is_judged_for_each_run(good, share, state):
    _, reasons = told(unsaved(good, share), "match", "pairs have matches")
    assert {one.state for one in reasons} == (
        {state} - {GOOD} if share > 0.9 else {one.state for one in reasons}
    )
    assert bool(reasons) == (state != GOOD)


def test_pairs_that_the_wide_search_saved_are_no_pairs_without_matches(good):
    failed = unsaved(good, 1.0)
    again = {name: column.copy() for name, column in good.results.columns.items()}
    again["run"][:] = WIDE_RUN
    both = {n: np.concatenate([failed.results[n], again[n]]) for n in again}
    made = dataclasses.replace(failed, results=Table(both))
    assert told(failed, "match", "pairs have matches")[1]
    assert not told(made, "match", "pairs have matches")[1]


def test_an_edge_without_any_match_is_named_first(good):
    made = unsaved(good, 1.0, edge=("0-0-0", "0-0-1"))
    figures, found = judge(made)
    assert figures["match"]["status"] == NOT_GOOD
    assert "no layer has matches between tiles 0-0 and 0-1" in found[0].what
    assert found[0].where.startswith("z ")
    assert "0-0 and 0-1" in figures["verdict"]["reasons"][0]


@pytest.mark.parametrize(("column", "word"), [("kind", "damaged"), ("state", "patched")])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_pairs_of_damaged_tiles_and_patches_are_not_laid_to_the_preset(good, column, word, share):
    """A key is named where it can change the cause: no table of stages joins what shows nothing."""
    table = good["review"]
    first = np.flatnonzero((table["row"] == 0) & (table["column"] == 1))
    few = first[len(first) - round(share * len(first)) :]

    def spoil(values):
        values = values.astype(object)
        values[few] = word
        return values

    made = damaged(unsaved(good, 1.0, edge=("0-0-0", "0-0-1")), "review", **{column: spoil})
    (edge,) = told(made, "match", "no layer has matches between tiles 0-0 and 0-1")[1]
    assert ("a tile is damaged or a patch" in edge.what) == (share > 0)
    assert (judged.HARMED in edge.advice) == (share > 0)
    assert (judged.MATCHES in edge.advice) == (share < 1)


def test_an_edge_that_was_never_tried_counts_as_one_without_matches(good):
    table = good.results
    ends = zip(table["p_id"], table["q_id"], strict=True)
    keep = np.array([not ("_0-0-0." in p and "_0-0-1." in q) for p, q in ends])
    made = dataclasses.replace(good, results=table.where(keep))
    assert told(made, "match", "no layer has matches between tiles 0-0 and 0-1")[1]


def missing(evidence, keys, layers):
    def change(cells):
        cells[:layers] = keys
        return cells

    return damaged(evidence, "layers", missing=change)


def test_one_hole_is_no_reason_and_a_place_that_is_missing_often_is(good):
    assert judge(missing(good, "0-1-1", 1))[0]["ingest"]["status"] == GOOD
    found, reasons = told(missing(good, "0-1-1", 4), "ingest", "tile 1-1")
    assert found == LOOK
    assert "z 1-4, 7" in reasons[0].where


def test_a_third_of_the_tiles_missing_is_not_good(good):
    _, reasons = told(missing(good, "0-1-1,0-0-1", 12), "ingest", "tiles are missing")
    assert [one.state for one in reasons] == [NOT_GOOD]


def test_a_column_that_no_layer_has_names_the_key_of_the_config(good):
    made = missing(good, "0-0-2,0-1-2", 12)
    figures, found = judge(made, NAMES | {"columns": 3})
    assert figures["ingest"]["status"] == NOT_GOOD
    assert found[0].what == "no layer has a tile in column 2 of the grid"
    assert "acquisition.columns is 3" in found[0].advice
    assert yaml.safe_load(found[0].lines) == {"acquisition": {"columns": 2}}


def test_the_lines_for_the_worst_tile_suit_the_schema(good):
    made = damaged(good, "solved", rms_px=lambda v: np.where(np.arange(len(v)) == 5, 20, v))
    (one,) = told(made, "solve", "matches of 1 tiles disagree")[1]
    (entry,) = yaml.safe_load(one.lines)["review"]["exclude"]
    assert entry["tiles"] == [good["solved"]["tile_id"][5]]
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]["review"]["properties"]["exclude"]
    assert faults([entry], schema) == []


def wrong(evidence, numbers):
    """Give pairs of one edge no weight, by their number along z."""

    def change(weight):
        at = np.flatnonzero(
            [
                "_0-0-0." in p and "_0-0-1." in q
                for p, q in zip(evidence["pairs"]["p_id"], evidence["pairs"]["q_id"], strict=True)
            ]
        )
        weight[at[numbers]] = 0
        return weight

    return damaged(evidence, "pairs", weight=change)


def test_one_pair_left_out_is_chance_and_two_in_a_row_are_named_with_their_place(good):
    assert told(wrong(good, [2]), "solve", "left out") == (GOOD, [])
    assert told(wrong(good, [2, 4]), "solve", "left out") == (GOOD, [])
    made = damaged(wrong(good, [2, 3]), "misalignment", used=lambda used: used * 0)
    state, (one,) = told(made, "solve", "left out")
    assert state == LOOK
    assert "montage pairs of tiles 0-0 and 0-1" in one.what
    (left,) = grid.left_out(wrong(good, [2, 3]))
    assert one.where == f"z {left.z[0]}-{left.z[1]}"
    assert left.in_a_row == 2


def test_many_single_pairs_of_an_edge_are_told_too(good):
    state, (one,) = told(wrong(good, [0, 2, 4]), "solve", "left out")
    assert state == NOT_GOOD
    assert "report.limits.left_out_pct" in one.what


@pytest.mark.parametrize(
    ("count", "rms_px", "state"), [(11, 1.0, GOOD), (15, 2.6, LOOK), (4, 12.0, NOT_GOOD)]
)
def test_parts_that_one_bad_pair_alone_joins_are_told_by_what_it_leaves_unknown(
    good, count, rms_px, state
):
    _, reasons = told(strained(good, count=count, rms_px=rms_px), "solve", "by one pair alone")
    assert [(one.state, one.where) for one in reasons] == [(state, "z 7-8")] * (state != GOOD)
    for one in reasons:
        assert f"its {count} matches miss by {rms_px} px, those of others by 0.4 px" in one.what
        assert f"known to {rms_px / count**0.5:.3g} px" in one.what


def test_a_bad_pair_whose_tiles_meet_on_their_pixels_is_no_finding(good):
    table = good["misalignment"]
    met = table.where(np.isfinite(table["px"]) & (table["kind"] == "step"))
    ids = {"p_id": str(met["p_id"][0]), "q_id": str(met["q_id"][0])}
    assert told(strained(good, count=15, rms_px=2.6, **ids), "solve", "by one pair alone")[1] == []


def strained(good, **row):
    """Return the good run with a pair that alone joins z 7 and 8."""
    row = {"p_id": "a.7.0", "q_id": "b.8.0", "p_z": 7, "q_z": 8, "typical_px": 0.4} | row
    solved = good.documents["solve"] | {"strained_pairs": [row]}
    return dataclasses.replace(good, documents=good.documents | {"solve": solved})


def test_tiles_in_the_place_of_another_cell_are_told_once_for_all_layers_of_an_edge(good):
    ids = {"p_id": "a_0-0-0.5.0", "q_id": "a_0-0-1.5.0", "p_cell": "0-0", "q_cell": "0-1"}
    rows = [ids | {"z": z, "dx_px": -120.0 - z, "dy_px": 0.5} for z in (5, 6, 9)]
    solved = good.documents["solve"] | {"misplaced_pairs": rows}
    made = dataclasses.replace(good, documents=good.documents | {"solve": solved})
    _, reasons = told(made, "solve", "tiles 0-0 and 0-1 lie -129, 0.5 px otherwise")
    assert [(one.state, one.where) for one in reasons] == [(LOOK, "z 5-6, 9")]


@pytest.mark.parametrize(("loose", "state"), [(0, GOOD), (1, LOOK), (8, NOT_GOOD)])
def test_tiles_outside_of_the_largest_cluster_are_told(good, loose, state):
    def change(cluster):
        at = np.flatnonzero(cluster == 1)
        cluster[at[:loose]] = 2
        return cluster

    _, reasons = told(damaged(good, "review", cluster=change), "review", "are connected by matches")
    assert [one.state for one in reasons] == [state] * (state != GOOD)


@pytest.mark.parametrize(("value", "state"), [(0.9, GOOD), (0.39, LOOK), (0.1, NOT_GOOD)])
def test_the_correlation_with_the_next_layer_is_judged(good, value, state):
    layers = [{"z": z, "cc_next": value} for z in range(1, 13)]
    documents = dict(good.documents) | {"qc": {"layers": layers}}
    made = dataclasses.replace(good, documents=documents)
    assert judge(made)[0]["zcorr"]["status"] == state


@pytest.mark.parametrize(
    ("measured", "state"),
    [(1.0, GOOD), (0.84, GOOD), (1.45, GOOD), (0.335, LOOK), (2.0, LOOK), (0.1, NOT_GOOD)],
)
def test_a_third_of_the_nominal_thickness_is_no_good_thickness(good, measured, state):
    _, reasons = told(with_qc(good, measured_thickness=measured), "zcorr", "nominal thickness")
    assert [one.state for one in reasons] == [state] * (state != GOOD)


def test_thickness_that_does_not_stand_out_of_noise_is_told_in_stacks_long_enough(good):
    layers = [{"z": z, "cc_next": 0.9} for z in range(1, 41)]
    for count, sure, state in ((40, 80.0, GOOD), (40, 5.0, LOOK), (20, 5.0, GOOD)):
        qc = {"layers": layers[:count], "figures": {"significance": sure}}
        made = dataclasses.replace(good, documents=dict(good.documents) | {"qc": qc})
        assert judge(made)[0]["zcorr"]["status"] == state


def test_every_tile_is_counted_once(good):
    evidence = good
    counts = judge(evidence)[0]["solve"]["counts"]
    excluded = int((evidence["review"]["state"] == "excluded").sum())
    assert counts == {"placed": len(evidence["solved"]), "patched": 0, "missing": 1} | {
        "excluded": excluded,
        "not_placed": 0,
    }

    def patch(states):
        states[np.flatnonzero(states == "ok")[0]] = "patched"
        return states

    patched = judge(damaged(evidence, "review", state=patch))[0]["solve"]["counts"]
    assert (patched["placed"], patched["patched"]) == (counts["placed"] - 1, 1)
    table = evidence["solved"]
    made = dataclasses.replace(
        evidence, tables=dict(evidence.tables) | {"solved": table.where(np.arange(len(table)) > 1)}
    )
    assert judge(made)[0]["solve"]["counts"]["not_placed"] == 2


def with_seams(evidence, *, px=0.1, correlation=0.9, used=8, judged_px=0.1):
    """Evidence with six exported seams, each of which the placed pixels measured."""
    n = 6
    ids = [np.array([f"{name}{i}" for i in range(n)], object) for name in "pq"]
    numbers = {"p_id": ids[0], "q_id": ids[1], "z": np.arange(1, n + 1)}
    seams = numbers | {"voxel_z": np.arange(n), "tried": np.full(n, 8)}
    seams |= {"used": np.full(n, used), "px": np.full(n, px), "error_px": np.full(n, 0.05)}
    seams |= {"correlation": np.full(n, correlation)}
    placed = {name: np.zeros(n) for name in evidence["misalignment"].columns} | numbers
    placed |= {"kind": np.full(n, "seam", object), "px": np.full(n, judged_px)}
    placed |= {"used": np.full(n, 8), "tried": np.full(n, 8)}
    tables = {"exported_seams": Table(seams), "misalignment": Table(placed)}
    return dataclasses.replace(evidence, tables=dict(evidence.tables) | tables)


@pytest.mark.parametrize(
    ("seams", "words", "state"),
    [
        ({}, "seams", GOOD),
        ({"px": 0.8}, "do not meet in the exported voxels", GOOD),  # not for sure
        ({"px": 1.2}, "between p0 and q0, where the alignment was judged by 0.10 px", LOOK),
        ({"px": 6.0}, "do not meet in the exported voxels", NOT_GOOD),
        ({"used": 0}, "6 of 6 seams that the alignment was judged by are not found", NOT_GOOD),
        ({"correlation": 0.2}, "grey levels correlate across seams by 0.2 ", LOOK),
        ({"correlation": 0.05}, "grey levels correlate across seams by 0.05 ", NOT_GOOD),
    ],
)  # fmt: skip
def test_seams_in_the_exported_voxels_are_judged(good, seams, words, state):
    found, reasons = told(with_seams(good, **seams), "export", words)
    assert found == state
    assert bool(reasons) == (state != GOOD)


def test_voxels_that_are_not_what_was_judged_are_to_be_exported_again(good):
    _, (reason,) = told(with_seams(good, px=6.0), "export", "do not meet in the exported")
    assert reason.where == "z 1"
    assert "--forcerun render_slab" in reason.command
    _, (reason,) = told(with_seams(good, px=6.0, judged_px=np.nan), "export", "do not meet")
    assert "where the alignment was not measured" in reason.what
    assert not reason.command


def test_every_limit_of_the_schema_is_used(good):
    words = " ".join(
        one.what
        for made in (
            damaged(good, "solved", rms_px=lambda v: v * 200, scale_x=lambda v: v + 1,
                   shear=lambda v: v + 1),
            damaged(good, "pairs", rms_px=lambda v: v * 200),
            unsaved(good, 0.99),
            unsaved(good, 1.0, edge=("0-0-0", "0-0-1")),
            missing(good, "0-0-1", 12),
            wrong(good, [0, 2, 4]),
            damaged(good, "review", cluster=lambda v: np.arange(len(v))),
            with_qc(good, measured_thickness=0.1, significance=1.0, distance_deviation_layers=0.4),
            with_seams(good, px=6.0, correlation=0.2),
            with_seams(good, used=0),
            strained(good, count=15, rms_px=2.6),
            scaled(good, 1.1),
            sized(good, 8.5),
            nearer(good, 200.0),
        )
        for one in judge(made)[1]
    )  # fmt: skip
    unused = {name for name in LIMITS if f"report.limits.{name})" not in words} - {"least"}
    assert unused == {"correlation_next", "thickness_significance"}  # have tests of their own


def nearer(evidence, px):
    """Evidence in which the second column was moved towards the first."""
    column = evidence["solved"]["column"]
    return damaged(evidence, "solved", dx_px=lambda v: v - px * (column == 1))


def sized(evidence, nm):
    """Evidence with another pixel size in the headers."""
    metadata = {"varying": [{"field": "PixelSize", "median": nm}], "changed": []}
    return dataclasses.replace(
        evidence, documents=dict(evidence.documents) | {"metadata": metadata}
    )


def scaled(evidence, scale):
    """Evidence of a run whose layers from z 7 on have another magnification."""
    step = {"z_first": 7, "scale_x": scale, "scale_y": scale, "shear": 0.0, "rotation_mrad": 0.0}
    solve = dict(evidence.documents["solve"] or {}) | {"restart_steps": [step]}
    documents = dict(evidence.documents) | {"solve": solve}
    return dataclasses.replace(evidence, documents=documents)


@pytest.mark.parametrize(
    ("scale", "state"), [(1.03, GOOD), (0.97, GOOD), (1.1, LOOK), (0.9, LOOK), (1.6, NOT_GOOD)]
)
def test_a_magnification_that_no_header_tells_of_is_named(good, scale, state):
    found, reasons = told(scaled(good, scale), "solve", "images are scaled by")
    assert found == state
    assert [one.where for one in reasons] == (["z 7"] if state != GOOD else [])

"""The three jobs against the embedded service: plan, match, close."""

import copy
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from scripts.lib import files
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt
from scripts.lib.service.records import CanvasMatches, TileSet
from scripts.match import (
    close_matches,
    derive_pairs,
    match_pairs,
    match_store,
    search_wide,
    set_aside,
    stages,
    tables,
    totals,
    wide,
)
from tests.lib.other_code import other_code

TABLES = [
    yaml.safe_load((Path(__file__).parents[2] / "config/match_stages" / f"{name}.yaml").read_text())
    for name in ("small_tiles", "multi_row")
]
COLLECTION = "p_v1"
RUNS = ("montage_left_right", "cross")


@pytest.fixture
def volume(tmp_path, monkeypatch, specimen):
    """Four layers of one row of two tiles, one of them blank, in a working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", "")
    for z in range(1, 5):
        for column in range(2):
            specimen.cut(z, 0, column, error=(0.7 * z, 0.4 * z), blank=(z, column) == (2, 0))
    specs = []
    with h5py.File("tiles.h5", "w") as file:
        for spec in specimen.specs:
            file[f"{spec.tile_id}/mipmap.0"] = specimen.images[spec.tile_id][None]
            url = f"file://tiles.h5?dataSet=/{spec.tile_id}/mipmap.0&z=0"
            specs.append(type(spec)(**{**vars(spec), "image_url": url}))
    client = RenderClient("o", "p")
    receipt = client.publish_stack(
        "v1_acquire",
        TileSet(tuple(specs)).with_bounds(),
        resolution_nm=(8, 8, 8),
        inputs=[],
        params={},
    )
    receipt.write("stacks/v1_acquire.json")
    client.close()
    return specimen


def run_all(chunks, order=1, tables=TABLES, stack="stacks/v1_acquire.json", most=None):
    files.write_table("ingest/chunks.tsv", ("chunk", "z_first", "z_last"), chunks)
    pairs, results = [], []
    render = {"owner": "o", "project": "p"}
    for run in RUNS:
        for chunk in [row["chunk"] for row in chunks][::order]:
            pairs.append(f"match/pairs/{run}/{chunk}.tsv.gz")
            results.append(f"match/results/{run}/{chunk}.tsv.gz")
            derive_pairs.main(
                stack=stack,
                chunks="ingest/chunks.tsv",
                chunk=chunk,
                run=run,
                out=pairs[-1],
                render=render,
                stage_tables=TABLES,
                z_distance=2,
            )
            match_pairs.main(
                stack=stack,
                pairs=pairs[-1],
                run=run,
                out=results[-1],
                render=render,
                collection=COLLECTION,
                stage_tables=tables,
                feature_cache_mb=50,
                timing=results[-1].replace("results", "timing"),
            )
    if most is not None:
        search_wide.main(
            stack=stack,
            results=results,
            out={"results": "match/wide/results.tsv.gz", "parts": "match/wide/parts.tsv"},
            render=render,
            collection=COLLECTION,
            runs=RUNS,
            stage_tables=tables,
            z_distance=2,
            most=most,
            feature_cache_mb=50,
        )
    close_matches.main(
        pairs=pairs,
        results=results,
        wide="match/wide/results.tsv.gz" if most is not None else None,
        out={"receipt": "matches/p_v1.json", "summary": "match/summary.tsv"},
        render=render,
        collection=COLLECTION,
        preset="small_tiles",
        z_distance=2,
    )
    return [row for path in results for row in files.read_table(path)]


def stored():
    client = RenderClient("o", "p")
    out = {
        pair.key: pair
        for g in client.p_groups(COLLECTION)
        for pair in client.matches(COLLECTION, g)
    }
    client.close()
    return out


WHOLE = [{"chunk": "0000", "z_first": 1, "z_last": 4}]
HALVES = [
    {"chunk": "0000", "z_first": 1, "z_last": 2},
    {"chunk": "0001", "z_first": 3, "z_last": 4},
]


def test_a_layer_that_the_stage_puts_elsewhere_is_joined_and_counted(volume):
    client = RenderClient("o", "p")
    tiles = client.tiles("v1_acquire")
    off = (wide.moved(t, np.array([700, 40])) if t.z == 4 else t for t in tiles.tiles)
    published = client.publish_stack("v1_acquire", TileSet(tuple(off)), resolution_nm=(8, 8, 8))
    published.write("stacks/v1_acquire.json")
    rows = run_all(HALVES, most=0)
    before = set(stored())
    rows = run_all(HALVES, most=50)
    found = files.read_table("match/wide/results.tsv.gz")
    assert {row["run"] for row in found} == {"wide"}
    assert {row["p_group"] for row in found} | {row["q_group"] for row in found} >= {"3.0", "4.0"}
    assert set(stored()) - before == {totals.key(row) for row in found}
    (part,) = files.read_table("match/wide/parts.tsv")
    assert (part["z_first"], part["tiles"], part["pairs"]) == ("4", "2", str(len(found)))
    assert abs(int(part["dx_px"]) + 700) <= 2
    receipt = CollectionReceipt.read("matches/p_v1.json")
    saved = sum(row["saved"] == "1" for row in rows)
    assert (receipt.pairs_planned, receipt.pairs_saved) == (
        len(rows) + len(found),
        saved + len(found),
    )
    run_all(HALVES, most=0)  # what is not looked for any more leaves the collection
    assert set(stored()) == before


def test_every_planned_pair_has_a_row_and_the_sums_agree(volume):
    rows = run_all(WHOLE)
    assert len(rows) == 4 + 2 * (3 + 2)
    receipt = CollectionReceipt.read("matches/p_v1.json")
    saved = [row for row in rows if row["saved"] == "1"]
    assert (receipt.pairs_planned, receipt.pairs_saved) == (14, len(saved))
    assert receipt.pairs_failed == 14 - len(saved)
    assert {tuple(r[k] for k in ("p_group", "p_id", "q_group", "q_id")) for r in saved} == set(
        stored()
    )
    blank = [row for row in rows if "000002_0-0-0" in row["p_id"] + row["q_id"]]
    assert {row["saved"] for row in blank} == {"0"}
    assert all("few_inliers" in row["reason"] for row in blank)
    assert len(blank) == 1 + 3
    assert len(saved) == 10
    assert all(float(row["rms_px"]) < 1.5 and int(row["count"]) >= 9 for row in saved)


def test_results_do_not_depend_on_the_chunks_or_their_order(volume):
    one = run_all(WHOLE)
    points = stored()
    receipt = Path("matches/p_v1.json").read_bytes()
    assert run_all(WHOLE) == one
    assert Path("matches/p_v1.json").read_bytes() == receipt
    other = run_all(HALVES, order=-1)

    def by_key(rows):
        return sorted((row["p_id"], row["q_id"], *row.values()) for row in rows)

    assert by_key(other) == by_key(one)
    for key, pair in stored().items():
        assert np.array_equal(pair.p, points[key].p)


def test_old_records_of_failed_or_unplanned_pairs_disappear(volume):
    two = np.zeros((2, 2))
    ids = {(s.z, s.column): s.tile_id for s in volume.specs}
    failed = CanvasMatches("1.0", ids[1, 0], "2.0", ids[2, 0], two, two, np.ones(2))
    stray = CanvasMatches("1.0", ids[1, 0], "4.0", ids[4, 1], two, two, np.ones(2))
    client = RenderClient("o", "p")
    client.put_matches(COLLECTION, [failed, stray])
    client.close()
    run_all(WHOLE)
    assert not {failed.key, stray.key} & set(stored())


def test_the_summary_adds_up(volume):
    rows = run_all(WHOLE)
    summary = {(r["run"], r["stage"]): r for r in files.read_table("match/summary.tsv")}
    first, second = [line for (run, _), line in summary.items() if run == "cross"][:2]
    assert int(first["processed"]) == sum(row["run"] == "cross" for row in rows)
    left = int(first["processed"]) - int(first["saved"])
    assert int(second["processed"]) == left - int(second["stopped_by_distance"])
    for line in summary.values():
        lost = sum(int(line[k]) for k in totals.SUMMARY_COLUMNS[5:-2])
        assert int(line["processed"]) == int(line["saved"]) + lost


@pytest.fixture
def matched(monkeypatch):
    """Ids of the pairs that are matched, not taken over."""
    seen = []
    real = stages.match_pair

    def match_pair(pair, *rest):
        seen.append((pair.p_id, pair.q_id))
        return real(pair, *rest)

    monkeypatch.setattr(stages, "match_pair", match_pair)
    return seen


def test_a_pair_is_matched_again_only_when_what_it_is_made_of_changes(volume, matched):
    rows = run_all(WHOLE)
    assert len(matched) == 14
    assert run_all(WHOLE) == rows
    assert len(matched) == 14
    # a later stage changes: only the pairs that reached it
    tables = copy.deepcopy(TABLES)
    for stage in tables[0]["runs"]["cross"]["stages"][1:]:
        stage["featureMatchDerivation"]["matchMinNumInliers"] = 11
    run_all(WHOLE, tables=tables)
    again = {(row["p_id"], row["q_id"]) for row in rows if row["run"] == "cross"} & {
        (row["p_id"], row["q_id"]) for row in rows if "Pass0:" in row["reason"]
    }
    assert 0 < len(again) < 10
    assert set(matched[14:]) == again
    # a stage for all of them
    del matched[:]
    tables[0]["runs"]["cross"]["stages"][0]["blockMatch"]["searchRadius"] = 50
    run_all(WHOLE, tables=tables)
    assert len(matched) == 10


def test_a_pair_that_is_set_aside_is_matched_again_only_when_it_changes(volume, matched):
    rows = run_all(WHOLE)
    ids = {(s.z, s.column): s.tile_id for s in volume.specs}
    dropped = ("3.0", ids[3, 0], "4.0", ids[4, 0])
    client = RenderClient("o", "p")
    set_aside.carry_out(client, COLLECTION, [dropped], {})
    assert dropped not in stored()
    del matched[:]
    assert run_all(WHOLE) == rows  # which ends with putting it back
    assert matched == []
    assert dropped in stored()
    set_aside.carry_out(client, COLLECTION, [dropped], {})
    strict = copy.deepcopy(TABLES)
    strict[0]["runs"]["cross"]["stages"][0]["blockMatch"]["searchRadius"] = 50
    run_all(WHOLE, tables=strict)
    assert (ids[3, 0], ids[4, 0]) in matched
    assert set_aside.counts(client, COLLECTION) == {}
    client.close()


def test_a_killed_job_goes_on_where_it_was(volume, matched, monkeypatch):
    whole = run_all(WHOLE)
    for path in Path("match/timing").rglob("*.gz"):
        path.unlink()
    for key in stored():
        RenderClient("o", "p").delete_pair(COLLECTION, key)
    del matched[:]
    monkeypatch.setattr(match_store, "SECONDS_PER_PUT", 0)
    real = stages.match_pair

    def killed(pair, *rest):
        if len(matched) == 9:  # 4 of the first run, 5 of the second
            raise KeyboardInterrupt
        return real(pair, *rest)

    monkeypatch.setattr(stages, "match_pair", killed)
    with pytest.raises(KeyboardInterrupt):
        run_all(WHOLE)
    (journal,) = Path("match/timing").rglob("*.journal")
    journal.write_text(journal.read_text()[:-30])  # the last line was cut off
    monkeypatch.setattr(stages, "match_pair", real)
    assert run_all(WHOLE) == whole
    assert len(matched) == 14 + 1
    assert not list(Path("match/timing").rglob("*.journal"))


def test_pairs_that_other_code_matched_are_matched_again(volume, matched, caplog):
    rows = run_all(WHOLE)
    del matched[:]
    caplog.set_level("INFO")
    with other_code("scripts/lib/pages/page.py", "scripts/lib/files.py"):
        run_all(WHOLE)
    assert matched == []
    with other_code("scripts/match/sift.py"):  # the second method: pairs that it had a say in
        assert run_all(WHOLE) == rows
    assert len(matched) == 4
    assert "pairs are matched again: made by other code (scripts/match/sift.py" in caplog.text
    del matched[:]
    with other_code("scripts/match/refinement.py"):
        assert run_all(WHOLE) == rows
        assert len(matched) == 14
        run_all(WHOLE)
        assert len(matched) == 14


def test_a_patched_tile_or_a_lost_record_brings_back_its_pairs_alone(volume, matched):
    run_all(WHOLE)
    del matched[:]
    ids = {(s.z, s.column): s.tile_id for s in volume.specs}
    client = RenderClient("o", "p")
    client.delete_pair(COLLECTION, ("3.0", ids[3, 0], "4.0", ids[4, 0]))
    run_all(WHOLE)
    assert matched == [(ids[3, 0], ids[4, 0])]
    del matched[:]
    tiles = client.tiles("v1_acquire")
    shared = [
        replace(t, labels=("patch",)) if t.cell == (0, 1) and t.z == 1 else t for t in tiles.tiles
    ]
    receipt = client.publish_stack(
        "v1_acquire_patch", TileSet(tuple(shared)), resolution_nm=(8, 8, 8), inputs=[], params={}
    )
    receipt.write("stacks/patched.json")
    client.close()
    run_all(WHOLE, stack="stacks/patched.json")
    assert len(matched) == 3
    assert all(ids[1, 1] in pair for pair in matched)


def row(p, q, saved="1"):
    keys = {"p_group": "1.0", "p_id": p, "q_group": "2.0", "q_id": q}
    return keys | {"saved": saved, "run": "cross", "stage": "a", "reason": ""}


def summed(*chunks, wide=()):
    sums = totals.Sums()
    for plan, done in chunks:
        sums.add([tables.key(row) for row in plan], done)
    sums.add_wide(wide)
    return sums


def test_a_lost_or_doubled_pair_stops_the_closing():
    plan = [row("a", "b"), row("c", "d")]
    assert summed((plan, plan)).failed == 0
    with pytest.raises(ValueError, match="planned 2 pairs and has 1"):
        summed((plan, plan[:1]))
    with pytest.raises(ValueError, match=r"two chunks .*'c'"):
        summed((plan, plan), (plan[1:], plan[1:]))


def test_a_pair_of_the_wide_search_is_saved_where_a_chunk_failed_and_counts_as_a_plan():
    done = [row("a", "b"), row("c", "d", "0"), row("e", "f", "0")]
    sums = summed((done, done), wide=[row("c", "d")])
    assert (sums.planned, sums.saved, sums.failed) == (4, 2, 2)
    stored = [("1.0", p, "2.0", q, 9) for p, q in (("a", "b"), ("c", "d"), ("e", "f"), ("g", "h"))]
    assert sums.strays(stored) == [("1.0", "e", "2.0", "f"), ("1.0", "g", "2.0", "h")]


def test_the_worked_example_of_stages_is_counted():
    one = row("a", "b") | {"stage": "b", "reason": "a:few_inliers(3<20 of 8)"}
    two = row("c", "d", "0") | {"reason": "a:low_coverage(10<50); b:beyond_distance(4>3)"}
    three = row("e", "f", "0")
    three |= {"reason": "a:few_inliers(1<20 of 9); b:unlike(0 of 59 at scale 0.0625)"}
    rows = [one, two, three]
    first, second = summed((rows, rows)).summary()
    assert (first["processed"], first["few_inliers"], first["low_coverage"]) == (3, 2, 1)
    assert (second["processed"], second["saved"], second["stopped_by_distance"]) == (1, 1, 1)
    assert second["stopped_as_unlike"] == 1
    assert second["saved_pct"] == 100.0

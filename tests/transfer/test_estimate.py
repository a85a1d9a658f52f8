"""Estimate: every rule has a rate, jobs and pairs are those of a run, measured rates count."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from scripts.ingest import chunks
from scripts.lib import files, flow
from scripts.lib.costs import Cost
from scripts.lib.job import UserError
from scripts.match import presets, stage_files
from scripts.match.pairs import derive
from scripts.transfer import estimate, estimate_text, extent, fan_out, rates, storage
from tests.match.test_match_pairs import grid
from tests.test_layers import RULES, rules
from tests.transfer.synthetic_dat import make_dat
from tests.transfer.test_doctor import config

ROOT = Path(__file__).resolve().parents[2]
TABLE = rates.read(ROOT / "config/rates.tsv")
GRID = {"rows": 2, "columns": 2, "pixel_nm": 8, "z_nm": 8}
LOCAL = estimate.Limits(2, cluster=False)


def size(layers=100, tiles=400, mpx=4.0):
    """A volume of 2 x 2 tiles."""
    return extent.Extent(layers, tiles, mpx, 3.4 * mpx, 2.0 * mpx * tiles, "a test")


def asked(items):
    need = {"stage": "match", "cores": 1, "mem_mb": 4000, "runtime_min": 60}
    return {item.rule: need for item in items}


def whole(extent_, done=(), **sections):
    return fan_out.items(TABLE, extent_, config(acquisition=GRID, **sections), done)


def run_like(items, rate, names=None):
    """Costs of jobs that take `rate` times what the table says, for the jobs named."""
    return [
        Cost(item.rule, tuple(filter(None, (item.run, name))), rate * item.job_s(name), 1.0, 300.0)
        for item in items
        for name in item.shares
        if names is None or name in names
    ]


def hours(items):
    return sum(item.total_s for item in items) / 3600


def rule_names():
    """All rules with a script, those that use the script of another one too."""
    used = [
        re.findall(r"^use rule \w+ as (\w+) with:", path.read_text(), re.MULTILINE)
        for path in RULES
    ]
    return {rule for _, rule, script in rules() if script}.union(*used)


def test_every_rule_has_a_rate_and_every_rate_a_rule():
    listed = {rate.item for rate in TABLE if rate.jobs != rates.STORED}
    assert rule_names() - listed == set(), "a row of config/rates.tsv for each rule"
    assert listed - rule_names() == set()


def test_every_rate_names_its_source_and_a_known_unit():
    known = fan_out.units(size(), config(acquisition=GRID))
    for rate in TABLE:
        assert rate.source, rate.item
        assert rate.unit in known, rate.item
        assert rate.jobs in {*fan_out.KINDS, rates.STORED, rates.ON_DEMAND}, rate.item


@pytest.mark.parametrize("layers", [1, 31, 32, 33, 3000])
def test_the_jobs_of_chunks_and_spans_are_those_that_ingest_plans(layers):
    made = config(acquisition=GRID, chunks={"layers": 32})
    planned = [row["chunk"] for row in chunks.plan(1, layers, 32)]
    of_rule = {item.rule: item for item in fan_out.items(TABLE, size(layers, layers * 4), made)}
    assert list(of_rule["render_slab"].shares) == planned
    assert sum(of_rule["render_slab"].shares.values()) == pytest.approx(1)
    spans = flow.spans(planned, 32)
    assert list(of_rule["build_span"].shares if spans else {}) == list(spans)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (2, 2), (3, 2)])
def test_the_pairs_are_those_that_matching_derives(rows, columns):
    layers, side = 9, 500
    made = config(acquisition=GRID | {"rows": rows, "columns": columns})
    tiles = grid(rows, columns, layers, w=side, h=side)
    tables = flow.stage_tables("auto", ROOT, stage_files.read_table, rows=rows, columns=columns)
    found = {
        run: len(
            derive(tiles, presets.read_run(presets.choose(tables, side), run, 6).rules, 1, layers)
        )
        for run in flow.RUNS[flow.layout(rows, columns)]
    }
    volume = extent.Extent(layers, len(tiles), 0.25, 1.0, 1.0, "a test")
    assert extent.pairs(volume, made) == pytest.approx(found)


def test_a_run_expects_of_each_rule_and_run_its_jobs_and_their_mean_seconds():
    found = whole(size(), chunks={"layers": 10})
    expected = fan_out.expected(found)
    for item in found:
        jobs, each_s = expected[f"{item.rule} {item.run}".strip()]
        assert jobs == len(item.shares)
        assert jobs * each_s == pytest.approx(item.total_s)
    assert len(expected) == len(found)
    assert {name for name in expected if name.startswith("match_pairs ")} > {"match_pairs cross"}


def test_the_planned_fan_out_is_said_in_words_with_the_largest_rule_first():
    found = whole(size(), chunks={"layers": 10})
    said = fan_out.words(found)
    assert said.startswith(f"{sum(len(item.shares) for item in found)} jobs (derive_pairs ")
    of_chunks = len(next(item for item in found if item.rule == "survey_tiles").shares)
    assert f", survey_tiles {of_chunks}" in said
    assert "make_report" not in said


def test_measured_rates_take_the_place_of_the_tables_when_two_jobs_have_run():
    first = whole(size(), chunks={"layers": 10})
    ran = [item for item in first if (item.rule, item.run) == ("match_pairs", "cross")]
    for names, factor in ((["0000"], 1.0), (["0000", "0001", "0002"], 3.0)):
        then = whole(size(), run_like(ran, 3.0, names), chunks={"layers": 10})
        cross = next(item for item in then if (item.rule, item.run) == ("match_pairs", "cross"))
        assert cross.measured == (factor > 1)
        assert cross.job_s("0009") == pytest.approx(factor * ran[0].job_s("0009"), rel=0.05)


def test_the_first_third_of_the_layers_tells_what_all_take():
    first = whole(size(), chunks={"layers": 10}, transfer={"layers_per_job": 10})
    cost = run_like(first, 4.0)
    third = [c for c in cost if c.place and c.place[-1] in ("0000", "0001", "0002")]
    sections = {"chunks": {"layers": 10}, "transfer": {"layers_per_job": 10}}
    said, used = hours(whole(size(), third, **sections)), hours(whole(size(), cost, **sections))
    assert hours(first) < 0.3 * used
    assert said == pytest.approx(used, rel=0.3)


def test_a_slow_machine_shows_in_the_rules_that_have_not_run():
    first = whole(size(), chunks={"layers": 10})
    transfer = ("plan_transfer", "convert_layers", "close_transfer", "check_transfer")
    ran = [item for item in first if item.rule in (*transfer, "cache_headers")]
    then = whole(size(), run_like(ran, 3.0), chunks={"layers": 10})
    assert hours(then) == pytest.approx(3 * hours(first))
    few = whole(size(), run_like(ran[:4], 3.0), chunks={"layers": 10})
    assert hours(few) < 1.5 * hours(first)


def test_jobs_that_have_run_count_as_what_they_took():
    first = whole(size())
    done = whole(size(), run_like(first, 2.0))
    assert hours(done) == pytest.approx(2 * hours(first))
    rows = estimate.rows(done, asked(done))
    assert {row["rate"] for row in rows} == {"done"}
    assert estimate.stages(done, rows, LOCAL)[0]["wall_h"] == 0


def test_an_earlier_estimate_is_held_against_what_was_used():
    first = whole(size())
    before = estimate.record(size(), estimate.rows(first, asked(first)), 1.0)
    done = whole(size(), run_like(first, 2.0))
    (judged,) = estimate.compared([before], estimate.rows(done, asked(done)))
    assert judged["factor"] == pytest.approx(0.5)
    assert judged["jobs_done"] == 0
    assert estimate.compared([before], estimate.rows(first, asked(first))) == []


def test_an_estimate_takes_the_place_of_one_made_at_the_same_point():
    assert estimate.kept([{"jobs_done": 0, "a": 1}], {"jobs_done": 0, "a": 2}) == [
        {"jobs_done": 0, "a": 2}
    ]
    assert len(estimate.kept([{"jobs_done": 0}], {"jobs_done": 3})) == 2


def test_wall_time_is_the_longest_job_or_all_over_what_runs_side_by_side():
    assert LOCAL.wall_s([]) == 0
    assert LOCAL.wall_s([100, 1]) == pytest.approx(100 + estimate.LOCAL_GAP_S)
    assert LOCAL.wall_s([10] * 10) == pytest.approx(50 + 5 * estimate.LOCAL_GAP_S)


def test_a_job_longer_than_its_runtime_is_named_with_what_to_change():
    items = whole(size(30_000, 120_000, 16.0), chunks={"layers": 30_000})
    said = estimate.notes(estimate.rows(items, asked(items)))
    assert any(line.startswith("match_pairs cross: ") for line in said)
    assert all("set-resources" in line for line in said)


def test_a_table_of_240_000_tiles_is_told_in_at_most_30_lines(tmp_path):
    layers = [{"z": z, "layer_id": f"M-1_{z}", "tiles": 8} for z in range(1, 30_001)]
    files.write_table(tmp_path / extent.LAYERS, ["z", "layer_id", "tiles"], layers)
    files.write_table(
        tmp_path / extent.PLAN, ["layer_id", "bytes"], [{"layer_id": "a", "bytes": 33_000_000}]
    )
    made = config(acquisition=GRID | {"columns": 4})
    found = extent.measure(made, tmp_path / "dat", tmp_path)
    assert (found.layers, found.tiles) == (30_000, 240_000)
    assert found.tile_mpx == pytest.approx(16.5, rel=0.01)
    items = fan_out.items(TABLE, found, made)
    rows = estimate.rows(items, asked(items))
    stored = storage.kinds(TABLE, fan_out.units(found, made), found, made, tmp_path)
    said = estimate_text.lines(
        found, estimate.stages(items, rows, LOCAL), stored, LOCAL, estimate.found([], rows)
    )
    assert "30,000 layers, 240,000 tiles" in said[0]
    assert len(said) <= 28  # two more are the terminal's


def test_a_fresh_volume_is_measured_by_the_names_and_a_few_headers(tmp_path):
    root = tmp_path / "dat"
    root.mkdir()
    data = make_dat(np.zeros((8, 9, 1), np.int16))
    for layer in range(5):
        for column in range(2):
            name = f"Merlin-1_24-03-07_10000{layer}_0-0-{column}.dat"
            shifted = make_dat(np.zeros((8, 9, 1), np.int16), first_xy=(7 * column, 0))
            (root / name).write_bytes(shifted)
    last = {"last_dat": "Merlin-1_24-03-07_100003"}
    found = extent.measure(config(acquisition=last), root, tmp_path / "work")
    assert (found.layers, found.tiles, found.source) == (4, 8, "the files found")
    assert found.tile_mpx == pytest.approx(72e-6)
    assert found.layer_mpx == pytest.approx(8 * 16e-6)
    assert found.dat_mb == pytest.approx(8 * len(data) / 1e6)


def test_a_volume_without_files_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"transfer\.dat_root: found no \.dat file"):
        extent.measure(config(), tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("stays", "volume_gb", "peak"), [(True, 9, 16), (False, 9, 12), (False, 1, 7)]
)
def test_dat_files_that_go_count_in_the_transfer_and_not_at_the_end(stays, volume_gb, peak):
    found = [
        storage.Kept("dat", 4, 4, stays),
        storage.Kept("raw_h5", 0, 2),
        storage.Kept("align_h5", 0, 1),
        storage.Kept("n5", 0, volume_gb),
    ]
    assert storage.peak_gb(found) == peak


def test_hdf5_files_that_are_there_tell_the_size_of_the_others(tmp_path):
    (tmp_path / "h5/raw").mkdir(parents=True)
    for layer in range(3):
        (tmp_path / f"h5/raw/{layer}.raw.h5").write_bytes(bytes(1000))
    made = config(acquisition=GRID)
    found = storage.kinds(TABLE, fan_out.units(size(), made), size(), made, tmp_path)
    raw = next(kept for kept in found if kept.kind == "raw_h5")
    assert (raw.now_gb, raw.whole_gb) == pytest.approx((3e-6, 1e-4))


@pytest.mark.parametrize("left_out", sorted(estimate.RECORDED))
def test_records_of_an_earlier_version_are_left_out(tmp_path, left_out):
    path, whole = tmp_path / "history.json", dict.fromkeys(estimate.RECORDED)
    old = {key: value for key, value in whole.items() if key != left_out}
    path.write_text(json.dumps([old, whole]))
    assert estimate.earlier(path) == [whole]


def test_a_record_has_the_keys_that_a_later_estimate_reads():
    assert estimate.record(size(), [], 1.0).keys() == estimate.RECORDED


def test_the_rule_hands_over_every_section_that_the_estimate_reads(tmp_path):
    """A section that is read and not handed over ends the command on a volume that never ran."""
    names = re.search(r'ESTIMATED = [(\s]*"([^"]+)"', (ROOT / "rules/estimate.smk").read_text())
    assert names
    steps = ["16bit", "destreak", "shading", "intensity", "background"]
    made = config(acquisition=GRID, correct={"steps": steps}, solve={"refine": "field"})
    given = {name: made[name] for name in names[1].split()}
    files.write_table(
        tmp_path / extent.PLAN, ["layer_id", "bytes"], [{"layer_id": "a", "bytes": 33_000_000}]
    )
    found = extent.measure(given, tmp_path / "dat", tmp_path)
    assert fan_out.items(TABLE, found, given)
    assert storage.kinds(TABLE, fan_out.units(found, given), found, given, tmp_path)

"""What the rules ask: chunks, spans, rounds, parts and paths."""

from pathlib import Path

import pytest
import yaml

from scripts.correct import chain
from scripts.lib import flow
from scripts.lib.files import write_table
from scripts.lib.job import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def chunks(tmp_path):
    path = tmp_path / "chunks.tsv"
    path.write_text("chunk\tz_first\tz_last\n0000\t1\t10\n0001\t11\t20\n0002\t21\t25\n")
    return path


def test_a_column_has_each_value_once_in_order(tmp_path):
    path = tmp_path / "plan.tsv"
    path.write_text("layer\tchunk\na\t0001\nb\t0000\nc\t0001\n")
    assert flow.column(path, "chunk") == ["0001", "0000"]


def test_a_reason_of_two_lines_does_not_tear_the_table(tmp_path):
    path = tmp_path / "patches.tsv"
    reason = 'charged\nand "torn"'
    write_table(path, ("reason", "round"), [{"reason": reason, "round": n} for n in (1, 2)])
    assert flow.column(path, "round") == ["1", "2"]
    assert flow.column(path, "reason") == [reason]


@pytest.mark.parametrize(
    ("grid", "name"), [((1, 1), "single_tile"), ((1, 2), "single_row"), ((2, 1), "multi_row")]
)
def test_a_grid_has_a_name_and_the_runs_of_it(grid, name):
    assert flow.layout(*grid) == name
    assert flow.RUNS[name][-1] == "cross"
    assert len(flow.RUNS[name]) == {"single_tile": 1, "single_row": 2, "multi_row": 3}[name]


def test_a_scope_of_this_computer_has_absolute_folders_and_one_elsewhere_stays_as_it_is():
    scope = {"host": None, "root_dat_path": "dat", "keep_path": "keep", "lock": None, "port": 22}
    found = flow.resolved_scope(Path("/base"), scope)
    assert found == scope | {"root_dat_path": "/base/dat", "keep_path": "/base/keep"}
    away = scope | {"host": "scope"}
    assert flow.resolved_scope(Path("/base"), away) == away
    assert flow.resolved_scope(Path("/base"), None) is None


@pytest.mark.parametrize(
    ("configured", "scope", "seconds"),
    [(None, None, 0), (None, {"host": None}, 3600), (5, None, 5), (0, {"host": None}, 0)],
)
def test_layers_rest_an_hour_where_a_microscope_sends(configured, scope, seconds):
    assert flow.quiet_time_s({"quiet_time_s": configured, "scope": scope}) == seconds


def test_stage_tables_are_found_by_name_grid_and_path(tmp_path):
    def found(preset, rows=1, columns=1, project=""):
        def read(path):
            return yaml.safe_load(path.read_text())

        grid = {"rows": rows, "columns": columns}
        return flow.stage_tables(preset, ROOT, read, **grid, project=project)

    (row,) = found("single_row")
    assert found("reference", columns=2) == [row]
    assert found("reference") == found("small_cell")
    assert found("reference", project="jrc_leaf_3") == found("leaf")
    assert found("auto") == [*found("small_tiles"), *found("block")]
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    assert found(str(tmp_path / "mine.yaml")) == [{"a": 1}]
    with pytest.raises(UserError, match=r"found 'nope', expected auto, reference, block, "):
        found("nope")


def test_rounds_of_patches_end_with_the_first_that_has_no_work(tmp_path):
    def rounds(most, *tables):
        for number, values in enumerate(tables):
            (tmp_path / str(number)).write_text("\n".join(["round", *values]) + "\n")
        return flow.rounds(most, lambda n: tmp_path / str(n))

    assert rounds(3, []) == []
    assert rounds(3, ["1"], ["1"]) == [1]
    assert rounds(3, ["1"], ["1", "2"], ["1", "2"]) == [1, 2]
    assert rounds(1, ["1"]) == [1]  # no further table is asked for


def test_a_span_is_about_a_thousand_layers_and_a_single_one_is_none():
    names = [f"{i:04d}" for i in range(9)]
    assert flow.spans(names, 256) == {
        "0000": names[:4], "0004": names[4:8], "0008": names[8:]}  # fmt: skip
    assert flow.spans(names[:4], 256) == {}
    assert flow.spans(names[:2], 5000) == {"0000": ["0000"], "0001": ["0001"]}


def test_chunks_of_a_range_are_those_that_hold_a_layer_of_it(chunks):
    assert flow.chunks_within(chunks, None) == ["0000", "0001", "0002"]
    assert flow.chunks_within(chunks, (10, 11)) == ["0000"]
    assert flow.chunks_within(chunks, (10, 12)) == ["0000", "0001"]
    assert flow.chunks_within(chunks, (20, 99)) == ["0001", "0002"]


def test_another_region_has_another_name():
    box = {"z_px": [1, 9], "x_px": None, "y_px": [5, 7]}
    assert flow.region_name({"box": box, "scale": 0.25}) == "region_y5to7_z1to9_by4"
    assert flow.region_name({"box": None, "scale": 1}) == "region"


def test_parts_are_the_further_channels_and_the_region():
    config = {"volume": "v", "export": {"box": {"z_px": [1, 9]}, "scale": 0.5}}
    parts = flow.export_parts(config, {"final": "f", "channel_2": "f_channel_2"}, [0, 2])
    assert parts["channel_2"] == {"stack": "f_channel_2", "volume": "v.channel-2", "cut": {}}
    region = parts["region_z1to9_by2"]
    assert (region["stack"], region["volume"]) == ("f", "exports/region_z1to9_by2/v")
    assert region["cut"] == {"box": {"z_px": [1, 9]}, "step_px": 2}


def test_a_step_looks_at_what_its_settings_ask_for():
    settings = {"16bit": {"restore": False}, "intensity": {"layers": "none", "tiles": False},
                "straighten": {}}  # fmt: skip

    def evidence(step, steps=(), **own):
        return chain.evidence(step, steps, settings | {step: settings[step] | own})

    assert evidence("16bit") == ["correct/16bit_plan.tsv"]
    assert evidence("16bit", restore=True)[1:] == ["correct/restored/{chunk}.tsv"]
    assert evidence("straighten") == evidence("intensity") == []
    assert evidence("intensity", layers="all") == ["correct/levels.npz"]
    assert evidence("intensity", ["16bit"], tiles=True) == [
        "correct/levels.npz", "correct/maps/{chunk}.npz", "correct/16bit.npz"]  # fmt: skip


def test_a_column_is_read_again_when_its_table_changes_and_only_then(tmp_path, monkeypatch):
    path, reads = tmp_path / "plan.tsv", []
    read = flow.read_cells
    monkeypatch.setattr(flow, "read_cells", lambda *a: reads.append(a) or read(*a))
    write_table(path, ("chunk",), [{"chunk": "0000"}])
    assert flow.column(path, "chunk") == flow.column(str(path), "chunk") == ["0000"]
    write_table(path, ("chunk",), [{"chunk": "0000"}, {"chunk": "0001"}])
    assert flow.column(path, "chunk") == ["0000", "0001"]
    assert len(reads) == 2


def test_the_chunks_around_one_hold_the_layers_next_to_it():
    names = ["0000", "0001", "0002", "0003"]
    assert flow.chunks_around(names, "0001", 256, before=2) == ["0000", "0001"]
    assert flow.chunks_around(names, "0001", 2, before=4, after=4) == names
    assert flow.chunks_around(names, "0000", 256, before=2, after=2) == ["0000", "0001"]
    assert flow.chunks_around(names, "0003", 1, before=2, after=0) == ["0001", "0002", "0003"]

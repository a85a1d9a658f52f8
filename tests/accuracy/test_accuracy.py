"""What `make accuracy` says of a run, on fabricated runs: no acquisition, no workflow."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import ndimage

from scripts.lib import files, geometry
from scripts.lib import truth as truths
from tests.accuracy import judging, mixtures, page, peers, run

TABLE = yaml.safe_load(run.TABLE.read_text())
COUNT = 12
STAMPS = [f"21-07-31_00{k:02d}40" for k in range(COUNT)]
SIDE = 100


@pytest.fixture
def truth():
    tiles = [
        {"tile_id": f"{stamp}_0-0-0", "layer": k, "row": 0, "column": 0, "kind": "tissue"}
        | {"corrupt": None, "stage_xy": [0.0, 0.0], "true_affine": [1, 0, 0, 1, 0.1 * k, 0.2 * k]}
        for k, stamp in enumerate(STAMPS)
    ]
    return {
        "format": truths.FORMAT,
        "parameters": {"tile_width": SIDE, "tile_height": SIDE, "overlap": 0.2}
        | {"scan": [3.0, 12.0, 2.0, 60.0]},
        "layers": [
            {"layer": k, "stamp": stamp, "z_true": float(k)} for k, stamp in enumerate(STAMPS)
        ],
        "tiles": tiles,
        "stress": ["turn:1"],
    }


@pytest.fixture
def finished(tmp_path, truth):
    """Leave what a run leaves: layers that lie `off` px from some layer on, and a report."""

    def make(*, off=0.0, start=COUNT // 2, reasons=(), state="good", order=range(COUNT)):
        rows = [
            {"z": z, "layer_id": f"Merlin-6284_{STAMPS[k]}", "align_h5": ""}
            for z, k in enumerate(order, start=1)
        ]
        files.write_table(tmp_path / "ingest/layers.tsv", ("z", "layer_id", "align_h5"), rows)
        # there and back: no gauge can explain it
        moved = {start: off, start + 1: 0.0}
        transforms = {
            f"{tile['tile_id']}.{z}.0": [1, 0, 0, 1, 0.1 * k + moved.get(k, 0.0), 0.2 * k]
            for z, k in enumerate(order, start=1)
            for tile in [truth["tiles"][k]]
        }
        files.write_json(tmp_path / "solve/transforms.json.gz", {"tiles": transforms})
        summary = {
            "verdict": {"state": state, "reasons": list(reasons)},
            "transfer": {"quarantined": []},
        }
        files.write_json(tmp_path / "report/summary.json", summary)
        return tmp_path

    return make


def test_a_right_result_without_findings_is_as_expected(finished, truth):
    row = judging.row(finished(), truth, {}, stopped=None)
    assert row["relative"]["max_px"] < 1e-6
    kinds = ("false", "missed", "unnamed", "findings")
    assert [row[kind] for kind in kinds] == [[], [], [], []]
    assert (row["silent"], row["verdict"], row["tiles_missing"]) == (False, "good", 0)


def test_a_wrong_step_that_nothing_names_is_silent(finished, truth):
    row = judging.row(finished(off=3.0), truth, {}, stopped=None)
    assert row["silent"]
    assert row["unnamed"] == ["layer 5 to 6: 3.0 px", "layer 6 to 7: 3.0 px"]


def test_a_wrong_step_has_to_be_named_at_its_place(finished, truth):
    here, there = "solve: z 6 to 7: layers do not meet", "solve: z 2 to 3: layers do not meet"
    row = judging.row(finished(off=3.0, reasons=[here], state="look"), truth, {}, stopped=None)
    assert not row["silent"]
    # layers 5 and 6 are z 6 and 7: the step back, from layer 6 on, is met by its first layer
    assert (row["unnamed"], row["false"]) == ([], [])
    row = judging.row(finished(off=3.0, reasons=[there], state="look"), truth, {}, stopped=None)
    assert (len(row["unnamed"]), row["false"]) == (2, [there])


def test_what_may_be_named_is_not_false_and_what_must_be_is_missed(finished, truth):
    said = "zcorr: z 7: correlation with next 0.5"
    work = finished(reasons=[said], state="look")
    assert judging.row(work, truth, {}, stopped=None)["false"] == [said]
    assert judging.row(work, truth, {"may": ["middle"]}, stopped=None)["false"] == []
    assert judging.row(work, truth, {"must": ["middle"]}, stopped=None)["missed"] == []
    row = judging.row(finished(), truth, {"must": ["middle"]}, stopped=None)
    assert row["missed"] == ["layer 5 to 6"]


def test_a_place_that_is_named_for_another_reason_is_missed(finished, truth):
    entry = {"must": ["middle"], "says": "contrast"}
    work = finished(reasons=["review: z 7: no matches"], state="look")
    row = judging.row(work, truth, entry, stopped=None)
    assert (row["missed"], row["false"]) == (["layer 5 to 6 (contrast)"], [])
    work = finished(reasons=["review: z 7: contrast flips"], state="look")
    assert judging.row(work, truth, entry, stopped=None)["missed"] == []


def test_a_tile_that_was_replaced_is_named_by_its_own_layer(finished, truth):
    truth["tiles"][3]["corrupt"] = truth["tiles"][8]["corrupt"] = {"kind": "saturated"}
    work = finished()
    patch = {"z": 4, "state": "patched", "reason": f"patch from {STAMPS[8]}_0-0-0.9.0: saturated"}
    rows = [patch, {"z": 5, "state": "ok", "reason": ""}]
    files.write_table(work / "review/tiles.tsv", ("z", "state", "reason"), rows)
    row = judging.row(work, truth, {"must": ["corrupt"]}, stopped=None)
    assert row["missed"] == ["layer 8"]


def test_damaged_layers_are_no_tiles_lost(finished, truth):
    truth["stress"] = ["damage:2"]
    work = finished(reasons=["review: z 7-8: damaged"], state="look")
    affines = files.read_json(work / "solve/transforms.json.gz")["tiles"]
    kept = {name: wire for name, wire in affines.items() if name.split(".")[1] not in ("7", "8")}
    files.write_json(work / "solve/transforms.json.gz", {"tiles": kept})
    row = judging.row(work, truth, {"must": ["damaged"]}, stopped=None)
    assert (row["tiles_missing"], row["missed"], row["false"]) == (0, [], [])
    assert judging.row(work, truth, {}, stopped=None)["tiles_missing"] == 2


@pytest.mark.parametrize(("rms", "right"), [(0.43, True), (0.2, False)])
def test_thickness_that_is_not_known_may_be_called_so(rms, right):
    figures = {"z": {"rms_layers": rms}, "nominal": {"z": {"rms_layers": 0.44}}}
    assert judging.rightly_unsure("zcorr: all layers: changes are sure by 5", figures) is right
    assert not judging.rightly_unsure("zcorr: z 7: no image", figures)


def test_a_run_that_stopped_has_its_message_as_finding(tmp_path, truth):
    message = f"✗ check_contrast failed\n  contrast flips at Merlin-6284_{STAMPS[6]}"
    row = judging.row(tmp_path, truth, {"must": ["middle"]}, stopped=message)
    assert (row["verdict"], row["missed"], row["false"]) == ("stopped", [], [])
    assert "relative" not in row


def test_layers_in_a_wrong_order_are_no_steps_of_the_result(finished, truth):
    order = [*range(6, COUNT), *range(6)]
    layers = judging.Layers(finished(order=order), truth)
    assert (layers.neighbours(5), layers.neighbours(6)) == (False, True)
    assert layers.of("z 6 to 7") == {COUNT - 1, 0}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("solve: z 3 to 5: off", {2, 3, 4}),
        ("z 1-2, 5, 7-8: gone", {0, 1, 4, 6, 7}),
        ("review: the gate is closed", set()),
        (f"layer Merlin-6284_{STAMPS[3]} flips", {3}),
        ("z 90: not there", set()),
    ],
)
def test_places_are_read_from_the_words(finished, truth, text, wanted):
    assert judging.Layers(finished(), truth).of(text) == wanted


def test_steps_by_place_have_the_maximum_of_the_score(truth):
    rng = np.random.default_rng(3)
    affines = {tile["tile_id"]: [1, 0, 0, 1, *rng.normal(0, 1, 2)] for tile in truth["tiles"]}
    steps = truths.step_errors(truth, affines)
    assert sorted(steps) == [(k, 0, 0) for k in range(COUNT - 1)]
    score = truths.score(truth, {"tiles": affines})
    assert max(steps.values()) == pytest.approx(score["relative"]["max"])


def test_the_chain_of_the_peer_leads_from_corrected_pixels_to_the_world():
    rng = np.random.default_rng(4)
    big = ndimage.gaussian_filter(rng.standard_normal((140, 140)), 3)
    moves = np.array([[0.0, 0.0], [2.0, -1.0], [5.0, 3.0]])
    images = [big[20 + int(y) : 120 + int(y), 20 + int(x) : 120 + int(x)] for x, y in moves]
    found = peers.chain(images, peers.MODELS["RIGID_BODY"], left=6)
    for (x, y), wire in zip(moves, found, strict=True):
        at = geometry.apply(geometry.from_wire(wire), np.array([[56.0, 50.0]]))
        np.testing.assert_allclose(at, [[50 + x, 50 + y]], atol=0.1)


def test_the_peer_sees_tiles_without_the_distortion_of_the_scan(truth):
    u = np.arange(SIDE, dtype=float)
    a, b, c, d = truth["parameters"]["scan"]
    corrected = u + a * np.exp(-u / b) + c * np.exp(-u / d)
    drawn = peers.straight(np.tile(corrected, (4, 1)), truth)
    wanted = peers.left_px(truth) + np.arange(drawn.shape[1])
    np.testing.assert_allclose(drawn[:, 1:-1], np.tile(wanted[1:-1], (4, 1)), atol=0.05)


def test_every_word_of_the_table_is_known(truth):
    for name, entry in TABLE["stresses"].items():
        stressed = truth | {"stress": [entry["stress"]] if "stress" in entry else []}
        for kind in (*entry.get("must", ()), *entry.get("may", ())):
            judging.places(kind, stressed)
        run.config_of(TABLE, entry, run.OUT / name)
        assert entry.get("on_stop", "at_a_price") in run.ANSWERS


def test_layers_with_little_tissue_are_sparse(truth):
    (place,) = judging.places("sparse", truth | {"stress": ["emerge:3"]})
    assert place == set(range(3))  # discs of 20, 23, 26 px in 100 px; 29 px is more than a quarter


STOPPED = """08:00 …
✗ check_gate failed
Layers 12 to 29 are interleaved.
- auto_share: 20 of 40

Put the layers in order:

ingest:
  layers:
    - {move: a, after: b, renumber: true, reason: its image}  # z 1 behind z 2
    - {move: c, after: a, renumber: true, reason: its image}

review:
  max_contrast_flips: 1
log: here
"""
PRICED = """✗ check_gate failed
Only at a price, as last resorts, further lines of section review:

  # 4 of 16 tiles are left out:
  max_auto_share: 0.26
  # 4 of 16 tiles that show tissue are left out:
  max_lost_tissue_share: 1
log: here
"""


def test_answers_are_the_lines_that_the_message_offers():
    entries = [{"move": m, "after": a, "renumber": True, "reason": "its image"}
               for m, a in ("ab", "ca")]  # fmt: skip
    assert run.lines_as_told(STOPPED) == {"ingest": {"layers": entries}}
    assert run.at_a_price(PRICED) == {
        "review": {"max_auto_share": 0.26, "max_lost_tissue_share": 1}
    }
    assert run.lines_as_told("✗ broken\n") == {}
    assert run.at_a_price("✗ broken\n") == {"review": {}}


def test_a_row_that_is_there_is_not_run_again(tmp_path, monkeypatch, truth):
    for name in ("stress.py", *run.files_of(TABLE)):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    ran = []
    monkeypatch.setattr(run, "measured", lambda _t, *key, **_: ran.append(key) or fake(*key))
    monkeypatch.setattr(page, "write", lambda *_: None)
    argv = ["--data", tmp_path / "data", "--out", tmp_path, "--stress", "none", "turn"]
    argv = [*map(str, argv), "--volume", "fib25", "--seed", "1"]
    run.main([*argv, "2"])
    run.main([*argv, "3"])
    assert [key[2] for key in ran] == [1, 1, 2, 2, 3, 3]
    assert len(json.loads((tmp_path / "accuracy.json").read_text())) == 6
    # judged anew: what has run, at its place at the end
    files.write_json(tmp_path / "turn-fib25-2/ended.json", {})
    run.main([*argv, "2", "--again"])
    assert ran[6:] == [("turn", "fib25", 2)]
    assert len(json.loads((tmp_path / "accuracy.json").read_text())) == 6


def test_a_run_that_stops_for_an_answer_gets_it_and_goes_on(tmp_path, monkeypatch):
    flips = "✗ contrast flips\n\ntransfer:\n  keep_contrast:\n    - {first_dat: a, reason: b}\n"
    configs, ends = [], iter([(1, f"08:00:00 …\n{flips}log: here"), (0, "✓ good")])
    monkeypatch.setattr(run, "workflow", lambda _f, config: configs.append(config) or next(ends))
    how = run.finished(tmp_path, TABLE["stresses"]["invert"], {"transfer": {"a": 1}})
    assert (how["stopped"], how["failed"]) == (flips.strip(), None)
    first, second = (config["transfer"] for config in configs)
    assert first == {"a": 1}
    assert second == {"a": 1, "keep_contrast": [{"first_dat": "a", "reason": "b"}]}
    ends = iter([(1, "✗ broken")])
    assert run.finished(tmp_path, {}, {})["failed"] == "✗ broken"


MIXTURES = yaml.safe_load(mixtures.TABLE.read_text())


def test_a_mixture_gives_the_generator_all_of_its_words(tmp_path, monkeypatch, truth):
    """None of the defects that rows of one stress leave out is left out."""
    commands = []

    def made(command, **_):
        commands.append(command)
        files.write_json(tmp_path / "acquisition/truth.json", truth)

    monkeypatch.setattr(run.subprocess, "run", made)
    monkeypatch.setattr(run, "finished", lambda *_: {"stopped": None, "failed": None})
    monkeypatch.setattr(judging, "row", lambda *_, **__: {"verdict": "good"})
    row = mixtures.measured(MIXTURES["u5"], Path("/data"), tmp_path)
    words = commands[0]
    assert row["verdict"] == "good"
    assert words[words.index("--stress") + 1] == "turn:0.5"
    assert [words[words.index(one) + 1] for one in ("--tile", "--corrupt")] == ["140", "2"]
    assert words[words.index("--grid") + 1 :][:2] == ["1", "3"]
    assert "--resin-fraction" not in words


def test_the_table_of_mixtures_is_written_between_its_marks(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"before\n{mixtures.BEGIN}\nold\n{mixtures.END}\nafter\n")
    row = fake("u6", "fib25", 1105, nominal={}, pystackreg=None)
    mixtures.write(path, MIXTURES, {"u6": row})
    text = path.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| u6 | fib25, 40 layers of 1 × 1 × 140², seed 1105 | damage:2 aspect:1.01" in text


def test_the_lines_of_mixtures_that_did_not_run_here_stay(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"before\n{mixtures.BEGIN}\n{mixtures.END}\nafter\n")
    first, second = (
        {name: fake(name, "fib25", 1105, nominal={}, pystackreg=None, code=code)}
        for name, code in (("u6", "0abcde1"), ("c1", "0abcde2"))
    )
    mixtures.write(path, MIXTURES, first)
    line = next(line for line in path.read_text().splitlines() if line.startswith("| u6 "))
    mixtures.write(path, MIXTURES, second)
    text = path.read_text()
    assert line in text.splitlines()
    assert f"2 of {len(MIXTURES)} have run (code `0abcde1`, `0abcde2`)." in text
    assert "| magnify:1.04 no other defects |" in text


def test_the_lock_of_a_row_that_was_killed_is_no_hindrance(tmp_path, monkeypatch):
    commands = []

    def ended(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(run.subprocess, "run", ended)
    assert run.workflow(tmp_path, {"volume": "a"})[0] == 0
    assert "--nolock" in commands[0]


def fake(name, volume, seed, **more):
    spread = {"rms_px": 0.2, "max_px": 0.9}
    return {
        "stress": name, "volume": volume, "seed": seed, "code": "abc", "failed": None, "wall_s": 9,
        "relative": spread, "absolute": spread, "silent": False, "verdict": "look",
        "findings": ["solve: z 6: a | b"], "false": [], "missed": [], "unnamed": [],
    } | more  # fmt: skip


def test_without_the_data_the_command_says_so(tmp_path):
    with pytest.raises(SystemExit, match="has no stress.py, fib25/fib25_250.h5"):
        run.main(["--data", str(tmp_path)])


def test_the_page_keeps_its_other_text_and_marks_where_the_peer_is_better(tmp_path):
    path = tmp_path / "accuracy.md"
    path.write_text(f"# Title\n\n{page.BEGIN}\nold\n{page.END}\n\n## More\n")
    peer = {"model": "AFFINE", "relative": {"rms_px": 0.1, "max_px": 0.3}}
    peer["absolute"] = {"rms_px": 3.0, "max_px": 5.0}
    rows = [
        fake("turn", "fib25", 1, pystackreg=peer),
        fake("none", "celegans", 1, false=["z 3: made up"], silent=True),
    ]
    page.write(path, rows, TABLE)
    page.write(path, rows, TABLE)
    text = path.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("## More\n")
    assert "old" not in text
    assert text.count(page.BEGIN) == 1
    assert "**0.10 / 0.3; 3.00 / 5.0**" in text
    assert "**silent** look" in text
    assert "- none, celegans, seed 1: false: z 3: made up" in text
    assert text.index("| none |") < text.index("| turn |")


def test_the_lines_of_rows_that_did_not_run_here_stay_and_count(tmp_path):
    path = tmp_path / "accuracy.md"
    path.write_text(f"# Title\n\n{page.BEGIN}\n{page.END}\n")
    wrong = {"relative": {"rms_px": 0.5, "max_px": 1.5}, "unnamed": ["layer 3 to 4: 1.5 px"]}
    page.write(path, [fake("turn", "fib25", 1, silent=True, **wrong)], TABLE)
    line = next(line for line in path.read_text().splitlines() if line.startswith("| turn |"))
    # one of the time before lines told their code
    path.write_text(path.read_text().replace(line, line.removesuffix(" `abc` |")))
    page.write(path, [fake("none", "fib25", 2, false=["z 3: made up"])], TABLE)
    text = path.read_text()
    assert line.replace("`abc`", "earlier") in text.splitlines()
    assert "2 of 108 rows have run." in text
    for words in ("relative max above 1 px", "of these with the verdict good (silent)"):
        assert f"| {words} | 1 |" in text
    assert "| that missed a finding, or did not name a step above 1 px | 1 |" in text
    assert "- turn, fib25, seed 1: unnamed: layer 3 to 4: 1.5 px" in text
    page.write(path, [fake("turn", "fib25", 1)], TABLE)
    assert "| relative max above 1 px | 0 |" in path.read_text()
    assert "unnamed" not in path.read_text()

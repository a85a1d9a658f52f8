"""Is what is wrong told, and what is right left in peace: spoilt volumes, good ones, the meter.

* silent_wrong: of 200 finished volumes, each spoilt in one place (`tests.bad_volumes.spoil`), those
  in which a tile moved by more than 1 px (or layers, images, z changed) and the report is good;
  `elsewhere`: told, and the first line names another place.
* false_alarms: of 50 volumes of other seeds, matched by the workflow's matcher, solved and
  measured, those that the report does not call good.
* meter_over_truth: what the meter says is left, over what the truth says, with every tile moved
  by 0.5 to 2 px (rms); beside it as solved, where tissue's own changes are in the steps.
* bad_volumes: how many of the table are told as it says.
"""

import dataclasses
import json

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.service.records import Leaf
from scripts.lib.transforms import AFFINE, affine_data
from tests.bad_volumes import cases, matched, spoil
from tests.bad_volumes.finished import SMALL, Finished, affine_of
from tests.benchmarks.conftest import ROOT

SPOILT = {True: 200, False: 1}
GOOD = {True: 50, False: 1}
MOVED_PX = (0.5, 1.0, 2.0)  # rms of the moves, in turn
PAGE = ROOT / "docs/trust.md"
MARKS = ("<!-- figures of trust: written by make bench -->\n", "<!-- end of figures -->\n")
FEW = dataclasses.replace(SMALL, layers=5, restart_layer=0, seed=100)


def settings(bench, seed):
    """Small volumes that differ in tissue, motion, thickness, and where the restart is."""
    if not bench.measuring:
        return FEW
    return dataclasses.replace(SMALL, layers=10, restart_layer=seed % 10, seed=100 + seed)


def log(bench, name, lines):
    """Keep what was found of each volume beside the figures."""
    if bench.measuring:
        path = ROOT / "build/bench" / f"trust_{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_what_is_spoilt_is_told(bench, tmp_path):
    volume = Finished(tmp_path, dataclasses.replace(SMALL, seed=4) if bench.measuring else FEW)
    found, must = [], 0
    for seed in range(SPOILT[bench.measuring]):
        spoilt = spoil.spoil(volume, seed)
        verdict = volume.judged(spoilt.state)[0]["verdict"]
        must += spoilt.moved_px is None or spoilt.moved_px > spoil.LEAST_PX
        fault = spoil.fault(spoilt, verdict["reasons"])
        line = [seed, spoilt.kind, spoilt.what, spoilt.moved_px, verdict["state"], fault]
        found.append([*line, *verdict["reasons"][:1]])
    log(bench, "spoilt", found)
    count = {kind: sum(line[5] == kind for line in found) for kind in ("silent", "elsewhere")}
    beside = {"must_be_told": must, "spoilt": len(found), "elsewhere": count["elsewhere"]}
    bench.row("trust.silent_wrong", count["silent"], "volumes", better="lower", **beside)
    assert count == {"silent": 0, "elsewhere": 0}


def moved(volume, rng, px):
    """Every tile moved at random by `px`, rms."""

    def change(tile):
        shift = geometry.translation(*rng.normal(0, px / np.sqrt(2), 2))
        return tile.with_last(Leaf(AFFINE, affine_data(geometry.compose(shift, affine_of(tile)))))

    return volume.start.replace_tiles(change)


def ratios(volume, state, figures):
    """Meter over truth, of steps and of seams."""
    true, told = volume.score(state), figures["solve"]["misalignment"]
    pairs = (("steps", "relative"), ("seams", "seams"))
    return {kind: told[kind]["rms_px"] / true[name] for kind, name in pairs}


def test_what_is_right_is_left_in_peace_and_the_meter_agrees_with_the_truth(
    bench, tmp_path_factory
):
    found, solved, shaken = [], [], []
    for seed in range(GOOD[bench.measuring]):
        folder = tmp_path_factory.mktemp("good")
        volume = Finished(folder, settings(bench, seed), matched.matched)
        figures = volume.judged(volume.start)[0]
        verdict = figures["verdict"]
        solved.append(ratios(volume, volume.start, figures))
        found.append([seed, verdict["state"], *verdict["reasons"][:2], solved[-1]])
        if seed % 4 == 0:
            state = moved(volume, np.random.default_rng(seed), MOVED_PX[seed // 4 % 3])
            shaken.append(ratios(volume, state, volume.judged(state)[0]))
            found[-1].append(shaken[-1])
    log(bench, "good", found)
    alarms = sum(line[1] != "good" for line in found)
    bench.row("trust.false_alarms", alarms, "volumes", better="lower", good_volumes=len(found))
    far = [value for one in shaken for value in one.values()]
    worst = max(far, key=lambda value: abs(np.log(value)))
    beside = {"worst": worst, "volumes": len(shaken)}
    for kind in ("steps", "seams"):
        beside[f"{kind}_as_solved"] = float(np.median([one[kind] for one in solved]))
    bench.row("trust.meter_over_truth", float(np.median(far)), "times", better="lower", **beside)
    assert alarms == 0
    assert abs(worst - 1) < 0.2


def test_bad_volumes_are_told(bench, tmp_path):
    every = cases.all_cases()
    if not bench.measuring:
        pytest.skip("tests/bad_volumes/test_bad_volumes.py runs them")
    faults = {
        case.name: cases.fault(case, case.make(tmp_path / str(i))) for i, case in enumerate(every)
    }
    wrong = {name: words for name, words in faults.items() if words}
    told = len(every) - len(wrong)
    bench.row("trust.bad_volumes", told, "told as expected", better="higher", tried=len(every))
    write_page(bench.rows)
    assert wrong == {}


def write_page(rows):
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    lines = ["| figure | value | beside |\n", "|---|---|---|\n"]
    for row in rows:
        beside = ", ".join(f"{k.replace('_', ' ')} {v:.3g}" for k, v in row["beside"].items())
        lines.append(f"| `{row['name']}` | {row['value']:.3g} {row['unit']} | {beside} |\n")
    PAGE.write_text(before + MARKS[0] + "".join(lines) + MARKS[1] + rest.partition(MARKS[1])[2])

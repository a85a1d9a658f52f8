"""Is what is wrong told, and what is right left in peace: spoilt volumes, good ones, the meter.

* silent_wrong: of 200 finished volumes, each spoilt in one place (`tests.bad_volumes.spoil`), those
  in which a tile moved by more than 1 px (or layers, images, z changed) and the report is good;
  `elsewhere`: told, and the first line names another place.
* false_alarms: of 50 volumes of other seeds, matched by the workflow's matcher, solved and
  measured, those that the report does not call good.
* harder: of volumes of real tissue, of one tile or of small ones, with lost slices, turns, resin or
  a patch (`tests.bad_volumes.harder`), both.
* meter_over_truth: what the meter says is left, over what the truth says, with every tile moved
  by 0.5 to 2 px (rms); beside it as solved, where tissue's own changes are in the steps.
* bad_volumes: how many of the table are told as it says.
"""

import dataclasses
import hashlib
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.service.records import Leaf
from scripts.lib.transforms import AFFINE, affine_data
from tests.bad_volumes import cases, harder, matched, spoil
from tests.bad_volumes.finished import SMALL, Finished, affine_of
from tests.benchmarks.conftest import ROOT, code_of

SPOILT = {True: 200, False: 1}
GOOD = {True: 50, False: 1}
HARDER_SEEDS, HARDER_SPOILT = (1, 2, 3), 20  # volumes of each kind, places that each is spoilt in
OTHER = 1000  # spoilt otherwise than another volume
DATA = ROOT.parent / "shared/data"
MOVED_PX = (0.5, 1.0, 2.0)  # rms of the moves, in turn
PAGE = ROOT / "docs/trust.md"
MARKS = ("<!-- figures of trust: written by make bench -->\n", "<!-- end of figures -->\n")
FEW = dataclasses.replace(SMALL, layers=5, restart_layer=0, seed=100)


def settings(bench, seed):
    """Small volumes that differ in tissue, motion, thickness, and where the restart is."""
    if not bench.measuring:
        return FEW
    return dataclasses.replace(SMALL, layers=10, restart_layer=seed % 10, seed=100 + seed)


def code():
    """What the results of a volume depend on."""
    names = ("bad_volumes/finished", "bad_volumes/spoil", "bad_volumes/matched")
    more = ("report/fabricate", "report/conftest", "benchmarks/test_bench_trust")
    return code_of(*(f"tests/{name}.py" for name in (*names, *more)))


def code_of_all():
    """What the results of the table depend on: cases of it run the whole workflow."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "Snakefile", "rules", "scripts", "config", "tests/bad_volumes"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    digest = hashlib.sha256()
    for name in filter(None, listed):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()[:16]


def spoilt(volume, seed):
    """What is said of a volume that is spoilt: one line of the file of all."""
    made = spoil.spoil(volume, seed)
    verdict = volume.judged(made.state)[0]["verdict"]
    must = made.moved_px is None or made.moved_px > spoil.LEAST_PX
    fault = spoil.fault(made, verdict["reasons"])
    line = [made.kind, made.what, made.moved_px, bool(must), verdict["state"], fault]
    return [*line, *verdict["reasons"][:2]]


def test_what_is_spoilt_is_told(bench, tmp_path):
    volume = Finished(tmp_path, dataclasses.replace(SMALL, seed=4) if bench.measuring else FEW)
    seeds = range(SPOILT[bench.measuring])
    found = list(bench.each("trust_spoilt", seeds, lambda seed: spoilt(volume, seed), code()))
    count = {kind: sum(line[5] == kind for line in found) for kind in ("silent", "elsewhere")}
    must = sum(line[3] for line in found)
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


def left_in_peace(folder, settings, seed):
    """What is said of a good volume, meter over truth, and this with its tiles moved."""
    volume = Finished(folder, settings, matched.matched)
    figures = volume.judged(volume.start)[0]
    verdict, shaken = figures["verdict"], None
    if seed % 4 == 0:
        state = moved(volume, np.random.default_rng(seed), MOVED_PX[seed // 4 % 3])
        shaken = ratios(volume, state, volume.judged(state)[0])
    solved = ratios(volume, volume.start, figures)
    return {"state": verdict["state"], "reasons": verdict["reasons"][:2], "solved": solved,
            "moved": shaken}  # fmt: skip


def test_what_is_right_is_left_in_peace_and_the_meter_agrees_with_the_truth(
    bench, tmp_path_factory
):
    def work(seed):
        with tempfile.TemporaryDirectory(dir=tmp_path_factory.mktemp("good")) as folder:
            return left_in_peace(Path(folder), settings(bench, seed), seed)

    found = list(bench.each("trust_good", range(GOOD[bench.measuring]), work, code()))
    alarms = sum(one["state"] != "good" for one in found)
    bench.row("trust.false_alarms", alarms, "volumes", better="lower", good_volumes=len(found))
    shaken = [one["moved"] for one in found if one["moved"]]
    far = [value for one in shaken for value in one.values()]
    worst = max(far, key=lambda value: abs(np.log(value)))
    beside = {"worst": worst, "volumes": len(shaken)}
    for kind in ("steps", "seams"):
        beside[f"{kind}_as_solved"] = float(np.median([one["solved"][kind] for one in found]))
    bench.row("trust.meter_over_truth", float(np.median(far)), "times", better="lower", **beside)
    assert alarms == 0
    assert abs(worst - 1) < 0.2


def harder_volume(folder, name, seed):
    """What is said of a harder good volume, and of it when it is spoilt in some places."""
    volume, good = harder.made(name, seed, folder, DATA)
    verdict = volume.judged(good)[0]["verdict"]
    lines = [spoilt(volume, OTHER * seed + k) for k in range(HARDER_SPOILT)]
    return {"state": verdict["state"], "reasons": verdict["reasons"][:2], "spoilt": lines}


def test_harder_volumes(bench, tmp_path_factory):
    if not bench.measuring or not DATA.is_dir():
        pytest.skip("measured by make bench, with ../shared/data beside the project")

    def work(key):
        name, _, seed = key.rpartition(" ")
        with tempfile.TemporaryDirectory(dir=tmp_path_factory.mktemp("harder")) as folder:
            return harder_volume(Path(folder), name, int(seed))

    keys = [f"{name} {seed}" for name in harder.KINDS for seed in HARDER_SEEDS]
    found = list(bench.each("trust_harder", keys, work, code()))
    alarms = sum(one["state"] != "good" for one in found)
    bench.row("trust.harder_false_alarms", alarms, "volumes", better="lower", volumes=len(found))
    lines = [line for one in found for line in one["spoilt"]]
    count = {kind: sum(line[5] == kind for line in lines) for kind in ("silent", "elsewhere")}
    beside = {"must_be_told": sum(line[3] for line in lines), "spoilt": len(lines)}
    beside["elsewhere"] = count["elsewhere"]
    # not 0: what one window of a small tile cannot show stands in docs/trust.md
    bench.row("trust.harder_silent_wrong", count["silent"], "volumes", better="lower", **beside)
    assert alarms == 0


def test_bad_volumes_are_told(bench, tmp_path):
    every = cases.all_cases()
    if not bench.measuring:
        pytest.skip("tests/bad_volumes/test_bad_volumes.py runs them")
    made = {case.name: case for case in every}

    def work(name):
        folder = tmp_path / str(list(made).index(name))
        return cases.fault(made[name], made[name].make(folder))

    faults = dict(zip(made, bench.each("trust_bad", list(made), work, code_of_all()), strict=True))
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

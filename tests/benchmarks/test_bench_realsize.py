"""Cost at real size: eight layers of 1 x 2 tiles of 8875 x 3500 px, with pairs that cannot match.

What the jobs of a volume spend on a tile, a pair or a voxel, and what that comes to for a published
one (Z0720-07m Sec26: 108,155 tiles). The tables in docs/scale.md are written here.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scripts.correct import measure_overlaps
from scripts.export import check_slab, plan_export, render_slab
from scripts.lib import files, geometry
from scripts.lib.numerics import models
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import Leaf, TileSet
from scripts.lib.transforms import AFFINE, affine_data
from scripts.solve import measure_misalignment
from scripts.zcorr import correlate_layers
from tests.benchmarks import realsize, whole_volume_jobs
from tests.benchmarks.realsize import RENDER, SMALL, VOLUME, Size
from tests.benchmarks.simulated_volume import Volume
from tests.benchmarks.test_bench_export import EXPORT

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/scale.md"
MARKS = ("<!-- realsize: written by make bench -->\n", "<!-- end of realsize -->\n")

# of Sec26, and what eight layers of such tiles cost at first
TILES, CROSS, MONTAGE, GVOXELS = 108_155, 715_143, 93_341, 3261
FAILING = {"cross": 0.17, "montage": 0.15}  # of its pairs
BEFORE = {
    "transfer with mipmaps": ("41", 1.35),
    "survey": ("8.7", None),
    "montage pairs, saved": ("2.4", 0.11),
    "montage pairs, failed": ("up to 40", 10.4),
    "cross pairs, saved": ("66", 0.40),
    "cross pairs, failed": ("60 to 270", 8),
    "export": ("19.7", 21.7),
    "check of the export": ("6.3", 7.0),
}
# a chunk as docs/cluster.md advises, of columns of textured tiles none of which matches
COLUMNS, CHUNK, Z_DISTANCE = 4, 256, 6
# jobs of a chunk that come through all tiles after the matching
LATER = {
    "misalignment": "measure_misalignment",
    "thickness": "correlate_layers",
    "overlaps of tiles": "measure_overlaps",
}
# moments of the pairs, whole-volume jobs and `balance_tiles`: test_bench_solve, test_bench_global
REST_CORE_H = 0.2

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not VOLUME.exists(), reason="no real volume beside the project"),
]


@pytest.fixture(scope="module")
def acquired(bench, tmp_path_factory):
    """Folder of the acquisition, its size, and CPU seconds of the conversion of a tile."""
    folder, size = tmp_path_factory.mktemp("realsize"), Size() if bench.measuring else SMALL
    seconds, before = [], Path.cwd()

    def convert(plan, dats, work):
        start = time.process_time()
        align = realsize.convert(plan, dats, work)
        seconds.append((time.process_time() - start) / len(plan))
        return align

    os.chdir(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("RENDER_WS_URL", raising=False)
            realsize.acquire(folder, size, convert)
            yield folder, size, float(np.median(seconds))
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def matched(acquired):
    """What the match jobs spent, and the rows of their timing tables."""
    command = [sys.executable, "-m", "tests.benchmarks.match_job"]
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    paths = os.environ | one | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=paths, capture_output=True, text=True, check=True)
    rows = {
        run: list(files.read_table(acquired[0] / f"match/timing/{run}/0000.tsv.gz"))
        for run in ("montage", "cross")
    }
    return json.loads(done.stdout), rows


def kind(row):
    """What a pair is: saved or failed, by what its tiles hold."""
    columns = {int(row[side][-1]) for side in ("p_id", "q_id")}
    if columns <= {0, 1}:
        return "saved"
    return "resin" if 3 in columns else "tissue"


def mean_s(rows, of):
    return float(np.mean([float(row["cpu_s"]) for row in rows if kind(row) == of]))


def as_in_a_long_chunk(rows, of):
    """CPU seconds of a pair between layers where a tile is read once for all its pairs.

    Of the few pairs here each reads more: the first of a tile, in the job's order, pays for it.
    """
    rows = sorted(rows, key=lambda row: (row["p_cell"], float(row["p_group"]), int(row["dz"])))
    seen, fresh = set(), []
    for row in rows:
        tiles = {row["p_id"], row["q_id"]}
        fresh.append(len(tiles - seen))
        seen |= tiles
    known = [float(r["cpu_s"]) for r, n in zip(rows, fresh, strict=True) if not n]
    same = [kind(r) == of for r, n in zip(rows, fresh, strict=True) if not n]
    alone = np.mean(np.array(known)[same] if any(same) else min(known, default=0.0))
    mine = [(float(r["cpu_s"]), n) for r, n in zip(rows, fresh, strict=True) if n and kind(r) == of]
    tile = sum(s - alone for s, _ in mine) / sum(n for _, n in mine)
    return float(alone + tile * TILES / CROSS)


def test_pairs(bench, matched):
    job, rows = matched
    for row in (*rows["montage"], *rows["cross"]):
        assert (row["saved"] == "1") == (kind(row) == "saved"), row
    for run, way in (("cross", as_in_a_long_chunk), ("montage", mean_s)):
        of_pairs = sum(float(row["cpu_s"]) for row in rows[run])
        shared = max(job["cpu_s"][run] - of_pairs, 0) / len(rows[run])
        kinds = ("saved", "tissue", "resin")
        spent = {one: shared + way(rows[run], one) for one in kinds}
        here = {one: shared + mean_s(rows[run], one) for one in kinds}
        # half of what fails is resin, more or less
        spent["failed"] = (spent["tissue"] + spent["resin"]) / 2
        beside = {
            "saved": {"of_these_layers": here["saved"]},
            "failed": {one: spent[one] for one in ("tissue", "resin")}
            | {f"{one}_of_these_layers": here[one] for one in ("tissue", "resin")},
        }
        for what, others in beside.items():
            figure = f"realsize.{run}.{what}.cpu_s_per_pair"
            bench.row(figure, spent[what], "CPU s", better="lower", **others)
        if run == "cross":
            minutes = COLUMNS * CHUNK * Z_DISTANCE * spent["tissue"] / 60
            bench.row("realsize.cross.failing_chunk_min", minutes, "min", better="lower",
                      columns=COLUMNS, layers=CHUNK)  # fmt: skip
    survey = job["cpu_s"]["survey"] / len(files.read_table("review/survey/0000.tsv.gz"))
    bench.row("realsize.survey.cpu_s_per_tile", survey, "CPU s", better="lower")
    bench.row("realsize.match.peak_mb", job["peak_mb"], "MB", better="lower")


def test_points(bench, acquired, matched):
    """What the collection holds of a pair, and how far the points' affine is from the truth."""
    truth = files.read_json(acquired[0] / "truth.json")
    client, error, kilobytes, counts = RenderClient(**RENDER), {}, [], []
    for group in client.p_groups("m"):
        for pair in client.matches("m", group):
            kilobytes.append(len(json.dumps(pair.to_json())) / 1e3)
            counts.append(len(pair.w))
            dz = round(abs(float(pair.q_group) - float(pair.p_group)))
            if dz and truth[pair.p_id] and truth[pair.q_id]:
                error.setdefault(dz, []).append(error_px(pair, truth, acquired[1]))
    bench.row("realsize.match.kb_per_pair", np.mean(kilobytes), "kB", better="lower")
    bench.row("realsize.match.points_per_pair", np.mean(counts), "points", better="lower")
    for dz, found in error.items():
        bench.row(f"realsize.cross.rms_px.dz{dz}", np.mean(found), "px", better="lower")
        assert np.mean(found) < dz


def error_px(pair, truth, size):
    """Rms distance, over p, of the affine of the points from the true one."""
    to_p, to_q = (np.array(truth[one]) for one in (pair.p_id, pair.q_id))
    x, y = np.meshgrid(np.linspace(0, size.width, 9), np.linspace(0, size.height, 9))
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    true = geometry.apply(geometry.invert(to_q), geometry.apply(to_p, grid))
    found = geometry.apply(models.fit_affine(pair.p, pair.q, pair.w), grid)
    return math.sqrt(float(((found - true) ** 2).sum(axis=1).mean()))


def test_conversion(bench, acquired):
    bench.row("realsize.convert.cpu_s_per_tile", acquired[2], "CPU s", better="lower")


@pytest.fixture(scope="module")
def aligned(acquired):
    """The receipt of a stack of the tiles of two columns, where they truly are."""
    folder, size, _ = acquired
    client, truth = RenderClient(**RENDER), files.read_json(folder / "truth.json")
    tiles = [one for one in client.tiles("s", 0, size.layers).tiles if truth[one.tile_id]]
    placed = [
        one.with_last(Leaf(AFFINE, affine_data(np.array(truth[one.tile_id])))) for one in tiles
    ]
    receipt = client.publish_stack(
        "a", TileSet(tuple(placed)).with_bounds(), resolution_nm=(8, 8, 8), inputs=[], params={}
    )
    receipt.write(folder / "stacks/a.json")
    return "stacks/a.json"


def test_solve_thickness_and_intensity(bench, acquired, matched, aligned):
    """What the jobs of a chunk spend on a tile; those of the volume are in `test_bench_global`."""
    given = whole_volume_jobs.config(Volume(acquired[1].layers))
    chunk = {"chunks": "ingest/chunks.tsv", "chunk": "0000", "render": RENDER}
    intensity = given["correct"]["intensity"]
    jobs = {
        "measure_misalignment": lambda: measure_misalignment.main(
            align=aligned, out="m.tsv.gz", section=given["solve"]["misalignment"], **chunk
        ),
        "correlate_layers": lambda: correlate_layers.main(
            receipt=aligned, correlations="c.npz", layers="l.npz", zcorr=given["zcorr"], **chunk
        ),
        "measure_overlaps": lambda: measure_overlaps.main(
            source=aligned,
            out="o.npz",
            **{key: intensity[key] for key in ("regions", "overlap_scale")},
            **chunk,
        ),
    }
    for name, job in jobs.items():
        job() if bench.measuring else None  # machine code is compiled by the first
        shutil.rmtree("kept", ignore_errors=True)
        seconds = bench.cpu_s(job, repeats=1) / (2 * acquired[1].layers)
        bench.row(f"realsize.{name}.cpu_s_per_tile", seconds, "CPU s", better="lower")


def test_export(bench, acquired, aligned):
    folder, size, _ = acquired
    last = size.layers - 1
    lines = [f"{z} {z + (0.3 if 0 < z < last else 0)}\n" for z in range(size.layers)]
    files.write_text(folder / "zcorr/Zcoords.txt", "".join(lines))
    plan_export.main(
        receipt=aligned,
        chunks="ingest/chunks.tsv",
        out="export/plan.json",
        volume="v",
        voxel_nm={"pixel_nm": 8.0, "z_nm": 8.0},
        export=EXPORT,
    )
    # machine code is compiled by the first
    rendered = [render() for _ in range(2 if bench.measuring else 1)]
    gigavoxels = files.read_json("export/slabs/0000.json")["voxels"] / 1e9
    paths = {"slab": "export/slabs/0000.json", "out": "export/checked/0000.json"}
    checked = bench.cpu_s(lambda: check_slab.main(plan="export/plan.json", **paths), repeats=1)
    for name, seconds in (("render", min(rendered)), ("check", checked)):
        figure = f"realsize.{name}.cpu_s_per_gvoxel"
        bench.row(figure, seconds / gigavoxels, "CPU s", better="lower")


def render():
    """CPU seconds of a slab, from nothing."""
    for path in Path("v.n5").rglob("s*/*/"):
        shutil.rmtree(path, ignore_errors=True)
    start = time.process_time()
    render_slab.main(
        plan="export/plan.json",
        receipt="stacks/a.json",
        chunks="ingest/chunks.tsv",
        coordinates="zcorr/Zcoords.txt",
        out="export/slabs/0000.json",
        chunk="0000",
        render=RENDER,
        export=EXPORT,
    )
    return time.process_time() - start


def test_published_volume(bench):
    """Extrapolate; the last test of this file, since it takes the figures of all."""
    if not bench.measuring:
        pytest.skip("a figure only")
    found = {row["name"]: row["value"] for row in bench.rows}
    rates = {
        "transfer with mipmaps": (found["realsize.convert.cpu_s_per_tile"], TILES),
        "survey": (found["realsize.survey.cpu_s_per_tile"], TILES),
        **{
            f"{run} pairs, {what}": (found[f"realsize.{run}.{what}.cpu_s_per_pair"], share * pairs)
            for run, pairs in (("montage", MONTAGE), ("cross", CROSS))
            for what, share in (("saved", 1 - FAILING[run]), ("failed", FAILING[run]))
        },
        **{name: (found[f"realsize.{job}.cpu_s_per_tile"], TILES) for name, job in LATER.items()},
        "export": (found["realsize.render.cpu_s_per_gvoxel"], GVOXELS),
        "check of the export": (found["realsize.check.cpu_s_per_gvoxel"], GVOXELS),
    }
    hours = {name: rate * number / 3600 for name, (rate, number) in rates.items()}
    total = sum(hours.values()) + REST_CORE_H
    bench.row("realsize.sec26.core_hours", total, "core-hours", better="lower")
    lines = ["| stage | CPU s each, at first | core-hours, at first | CPU s each | core-hours |\n"]
    lines.append("|---|---|---|---|---|\n")
    for name, (rate, _) in rates.items():
        core_h, each = BEFORE.get(name, ("", None))
        first = "" if each is None else f"{each:g}"
        lines.append(f"| {name} | {first} | {core_h} | {rate:.3g} | {hours[name]:.1f} |\n")
    lines.append(f"| solve, intensity, other jobs | | 8.2, with thickness | | {REST_CORE_H} |\n")
    lines.append(f"| all | | 250 to 460 | | {total:.0f} |\n")
    print("".join(lines))  # noqa: T201
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    PAGE.write_text(before + MARKS[0] + "".join(lines) + MARKS[1] + after)

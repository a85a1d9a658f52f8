"""A simulated volume at the size of real ones: what the jobs of chunks leave, without pixel work.

Tables, matches and small files are made up, a chunk at a time; everything that a job of the whole
volume makes is left to that job. Layers have 2 x 4 tiles, tiles of consecutive layers match over
six layers: 240,000 tiles give 1.7 million pairs.
"""

import itertools
import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from scripts.export import slabs
from scripts.ingest import headers
from scripts.lib import files, flow
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import CanvasMatches
from scripts.lib.volumes import multiscale
from scripts.solve import misalignment
from tests.ingest.synthetic_layers import write_layer

ROWS, COLUMNS, REACH = 2, 4, 6
CELLS = list(itertools.product(range(ROWS), range(COLUMNS)))
OF_TRANSFER = 50  # layers of a job of the transfer
STEP_XY, SIDE_XY = (45, 36), (56, 44)  # px
START = datetime(2024, 3, 7)  # noqa: DTZ001 - clock of the scope
RENDER = {"owner": "bench", "project": "bench"}
RUNS = ("montage_top_bottom", "montage_left_right", "cross")
PLAN = ("p_group", "p_id", "q_group", "q_id", "dz", "p_position", "q_position")
RESULT = (*PLAN[:4], "run", "dz", "p_cell", "q_cell", "stage", "saved", "count", "rms_px",
          "coverage_pct", "reason")  # fmt: skip
SURVEY = (
    "tile_id z row column texture noise saturated_share dead_share like unlike_share judged_blocks"
    " unlike_from unlike_to displaced_share displaced_from shift_px opposite unlike_before"
    " unlike_after"
)
LEFT_OVER = dict.fromkeys(misalignment.COLUMNS, 0.0) | {
    "x": 30, "y": 30, "used": 6, "tried": 8, "error_px": 0.1, "rms_error_px": 0.1,
    "corner_error_px": 0.1, "scale": 1.0, "alike": 0.8, "alike_windows": 0,
    **dict.fromkeys(("alike_after", "alike_gain", "alike_gain_error"), "nan"),
}  # fmt: skip
POINTS = np.array([[10.0, 10.0], [30.0, 10.0], [20.0, 30.0]])
SAVED = 0.97  # of the pairs
REASON = "crossPass0:few_blocks(4<18 of 70); crossPass1:few_inliers(7<12 of 12)"


def edges(run):
    """Neighbouring cells within a layer, of one run of the montage."""
    dr, dc = (1, 0) if run == "montage_top_bottom" else (0, 1)
    return [((r, c), (r + dr, c + dc)) for r, c in CELLS if (r + dr, c + dc) in CELLS]


class Volume:
    """`layers` layers, in chunks of so many, in the folder that is the working directory."""

    def __init__(self, layers, chunk=256):
        self.layers, self.chunk = layers, chunk
        self.stamps = [
            f"{START + timedelta(minutes=k):%y-%m-%d_%H%M%S}" for k in range(layers)
        ]  # of z = 1, 2 …
        self.rng = np.random.default_rng(1)

    @property
    def tiles(self):
        return self.layers * len(CELLS)

    def chunks(self):
        """Number, first and last z of each chunk."""
        for number, first in enumerate(range(1, self.layers + 1, self.chunk)):
            yield f"{number:04d}", first, min(first + self.chunk - 1, self.layers)

    def paths(self, pattern):
        return [pattern.format(chunk=chunk) for chunk, _, _ in self.chunks()]

    def tile_id(self, z, cell):
        return f"{self.stamps[z - 1]}_0-{cell[0]}-{cell[1]}.{z}.0"

    def align_h5(self, z):
        stamp = self.stamps[z - 1]
        day = f"20{stamp[:8].replace('-', '/')}/{stamp[9:11]}"
        return f"h5/align/M-1/{day}/M-1_{stamp}.uint8.h5"

    def transfer(self):
        """Align HDF5, one small file copied with another time stamp, and the tables of its jobs."""
        place = {cell: {"FirstX": 45 * cell[1], "FirstY": 36 * cell[0]} for cell in CELLS}
        made = _align_file(place)
        for z in range(1, self.layers + 1):
            path = Path(self.align_h5(z))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made.replace(b"21-05-20_120000", self.stamps[z - 1].encode()))
        columns = ("layer_id", "tile_key", "dat", "status", "reason")
        for number, first in enumerate(range(0, self.layers, OF_TRANSFER)):
            ids = [f"M-1_{stamp}" for stamp in self.stamps[first : first + OF_TRANSFER]]
            rows = (
                {"layer_id": one, "tile_key": f"0-{r}-{c}", "dat": f"{one}_0-{r}-{c}.dat",
                 "status": "ok", "reason": ""}
                for one in ids
                for r, c in CELLS
            )  # fmt: skip
            files.write_table(f"transfer/converted/{number:04d}.tsv", columns, rows)

    def converted(self):
        return sorted(map(str, Path("transfer/converted").glob("*.tsv")))

    def spans(self):
        """Chunks of the transfer of each job that reads headers."""
        return flow.spans([Path(path).stem for path in self.converted()], OF_TRANSFER)

    def headers(self):
        """What these jobs leave, as if they had read every file: they are all alike."""
        one = headers.read_part(
            [{"layer_id": f"M-1_{self.stamps[0]}", "align_h5": self.align_h5(1)}]
        )
        alike = one.layers[0].tolist()[4:]
        for span, chunks in self.spans().items():
            first = int(span) * OF_TRANSFER
            rows = []
            for z in range(first + 1, min(first + len(chunks) * OF_TRANSFER, self.layers) + 1):
                path = self.align_h5(z)
                status = Path(path).stat()
                key = (f"M-1_{self.stamps[z - 1]}", path, status.st_size, status.st_mtime_ns)
                rows.append((*key, *alike))
            shard = headers.Shard(np.array(rows, one.layers.dtype), np.tile(one.tiles, len(rows)))
            headers.save(Path("ingest/read"), span, shard)

    def survey(self):
        """What the survey says of every tile: tissue, with one tile in 2000 damaged."""
        names = SURVEY.split()
        for chunk, first, last in self.chunks():
            cells = list(itertools.product(CELLS, range(first, last + 1)))
            texture = self.rng.normal(10, 0.5, len(cells)).round(4).tolist()
            noise = self.rng.normal(5, 0.1, len(cells)).round(4).tolist()
            unlike = (0.6 * (self.rng.random(len(cells)) < 5e-4)).round(4).tolist()
            rows = (
                dict(zip(names, (self.tile_id(z, cell), z, *cell, t, n, 0.0, 0.0, 0.9, u, 40, 0.0,
                                 1.0, 0.0, 0.0, 0.5, 0.0, "", ""), strict=True))
                for (cell, z), t, n, u in zip(cells, texture, noise, unlike, strict=True)
            )  # fmt: skip
            files.write_table(f"review/survey/{chunk}.tsv.gz", names, rows)

    def pairs(self, run, first, last):
        """z and cells of p and q of the pairs of a run whose lower layer is in a chunk."""
        if run == "cross":
            for z, cell, dz in itertools.product(
                range(first, last + 1), CELLS, range(1, REACH + 1)
            ):
                if z + dz <= self.layers:
                    ends = (z, cell), (z + dz, cell)
                    yield ends if f"{z}.0" < f"{z + dz}.0" else ends[::-1]
        else:
            for z, (a, b) in itertools.product(range(first, last + 1), edges(run)):
                yield (z, a), (z, b)

    def matches(self):
        """Plans and results of all runs and chunks, and the saved pairs in the collection."""
        client = RenderClient(**RENDER)
        for chunk, first, last in self.chunks():
            put = []
            for run in RUNS:
                rows = [self._row(run, *ends) for ends in self.pairs(run, first, last)]
                files.write_table(f"match/pairs/{run}/{chunk}.tsv.gz", PLAN, rows)
                files.write_table(f"match/results/{run}/{chunk}.tsv.gz", RESULT, rows)
                put += [_matched(row) for row in rows if row["saved"]]
            client.put_matches("bench_v1", put)
        files.write_table("match/wide/results.tsv.gz", RESULT, [])
        columns = ("z_first", "z_last", "cells", "tiles", "dx_px", "dy_px", "pairs", "comparisons")
        files.write_table("match/wide/parts.tsv", columns, [])

    def _row(self, run, p, q):
        (z_p, a), (z_q, b) = p, q
        saved = self.rng.random() < SAVED
        stage = f"{'cross' if run == 'cross' else 'montage'}Pass{0 if saved else 2}"
        return {
            "p_group": f"{z_p}.0", "p_id": self.tile_id(z_p, a),
            "q_group": f"{z_q}.0", "q_id": self.tile_id(z_q, b),
            "run": run, "dz": abs(z_q - z_p),
            "p_cell": f"{a[0]},{a[1]}", "q_cell": f"{b[0]},{b[1]}",
            "p_position": "", "q_position": "", "stage": stage, "saved": saved,
            "count": 90 if saved else 0, "rms_px": 0.512 if saved else None,
            "coverage_pct": 92.5 if saved else None, "reason": "" if saved else REASON,
        }  # fmt: skip

    def patch_results(self):
        """Results of the patches of the first round: all of them match."""
        put = []
        for run in RUNS:
            rows = files.read_table(f"review/patch_pairs/1/{run}.tsv.gz")
            done = [row | {"run": run, "p_cell": _cell(row["p_id"]), "q_cell": _cell(row["q_id"]),
                           "stage": "crossPass0", "saved": 1, "count": 90, "rms_px": 0.5,
                           "coverage_pct": 90, "reason": ""}
                    for row in rows]  # fmt: skip
            files.write_table(f"review/patch_results/1/{run}.tsv.gz", RESULT, done)
            put += [_matched(row) for row in done]
        RenderClient(**RENDER).put_matches("bench_v1_review", put)

    def moments(self):
        """Moments of the saved pairs, as if each had 90 points."""
        spread = np.diag([200.0, 120.0])
        for chunk, first, _ in self.chunks():
            tables = [f"match/results/{run}/{chunk}.tsv.gz" for run in RUNS]
            if first == 1:
                tables += [f"review/patch_results/1/{run}.tsv.gz" for run in RUNS]
            rows = [row for path in tables for row in files.read_table(path) if row["saved"] == "1"]
            n = len(rows)
            cells = {
                side: np.array([row[f"{side}_cell"].split(",") for row in rows], int).reshape(n, 2)
                for side in "pq"
            }
            dz = np.array([row["dz"] for row in rows], float)
            off = (cells["p"] - cells["q"])[:, ::-1] * np.array(STEP_XY, float)
            p = np.full((n, 2), [28.0, 22.0])
            _save(
                f"solve/moments/{chunk}.npz",
                p_id=np.array([row["p_id"] for row in rows], np.str_),
                q_id=np.array([row["q_id"] for row in rows], np.str_),
                dz=dz, count=np.full(n, 90), weight=np.full(n, 90.0), p=p,
                q=p + off + self.rng.normal(0, 0.2, (n, 2)),
                **{name: np.tile(spread, (n, 1, 1)) for name in ("pp", "qq", "pq")},
            )  # fmt: skip

    def misalignment(self):
        """Places of what is left over: each seam, and each tile with the next layer."""
        for chunk, first, last in self.chunks():
            rows = []
            for run in RUNS[:2]:
                rows += [("seam", *ends) for ends in self.pairs(run, first, last)]
            below = range(first, min(last, self.layers - 1) + 1)
            rows += [("layer", (z, cell), (z + 1, cell)) for z in below for cell in CELLS]
            px = np.abs(self.rng.normal(0, 0.3, len(rows))).round(4).tolist()
            table = [
                LEFT_OVER
                | {"kind": kind, "z": z, "other_z": y, "p_id": self.tile_id(z, a),
                   "q_id": self.tile_id(y, b), "p_cell": f"{a[0]}-{a[1]}",
                   "q_cell": f"{b[0]}-{b[1]}", "dx_px": d, "px": d,
                   "square_px2": round(d * d - 0.01, 6)}
                for (kind, (z, a), (y, b)), d in zip(rows, px, strict=True)
            ]  # fmt: skip
            path = f"solve/misalignment/{chunk}.tsv.gz"
            files.write_table(path, misalignment.COLUMNS, table)

    def correlations(self):
        """Correlations of layers with the three that follow, and small pictures of them."""
        rng, fall = self.rng, np.array([0.9, 0.8, 0.7])
        for chunk, first, last in self.chunks():
            n = last - first + 1
            corr = fall + rng.normal(0, 0.01, (n, 3))
            corr[np.arange(first, last + 1)[:, None] + [1, 2, 3] > self.layers] = np.nan
            band = rng.normal(0.9, 0.01, (n, 48))
            _save(
                f"zcorr/correlations/{chunk}.npz",
                z=np.arange(first, last + 1), present=np.ones(n, bool), own=np.ones(n, bool),
                offsets=np.array([1, 2, 3]), corr=corr, share=np.ones((n, 3)), band=corr,
                band_share=np.ones((n, 3)), shift=np.zeros((n, 3, 2)),
                curvature=np.full((n, 3, 3), 0.01), variance=np.full(n, 100.0), inplane=band,
                regional=np.repeat(corr[:, :1, None], 2, axis=2),
                cell_band=np.repeat(corr[..., None], 16, axis=2).astype(np.float32),
                cell_share=np.ones((n, 16), np.float32),
                cell_inplane=np.repeat(band[:, None], 16, axis=1).astype(np.float32),
                cell_variance=np.full((n, 16), 100, np.float32), pixel_layers=np.ones(2),
                scale=np.float64(1), region_size_px=np.array([100.0, 80.0]),
                region_centre_px=np.array([50.0, 40.0]), region_voxel_nm=np.array([8.0, 800, 640]),
            )  # fmt: skip
            grey = rng.normal(120, 20, (1, 64, 96)) + rng.normal(0, 3, (n, 1, 1))
            pixels = np.clip(grey, 1, 255).astype(np.uint8)
            _save(f"zcorr/layers/{chunk}.npz", z=np.arange(first, last + 1), pixels=pixels,
                  scale=np.float64(1), x0=np.float64(0), y0=np.float64(0))  # fmt: skip

    def compared(self):
        """Moments of layers against the two before."""
        for chunk, first, last in self.chunks():
            q = np.repeat(np.arange(max(first, 3), last + 1), 2)
            p = q - np.tile([2, 1], len(q) // 2)
            moments = self.rng.normal([120, 120, 20, 20], 0.3, (len(q), 4))
            _save(f"correct/compared/{chunk}.npz", z=np.arange(first, last + 1),
                  links=np.column_stack([p, q, moments]))  # fmt: skip

    def maps(self):
        """Maps of gain and offset of all tiles, in 8 x 8 regions."""
        for chunk, first, last in self.chunks():
            z, cell = np.divmod(np.arange((last - first + 1) * len(CELLS)), len(CELLS))
            row, column = np.array(CELLS)[cell].T
            maps = self.rng.normal([1, 0], 0.01, (len(z), 8, 8, 2))
            _save(f"correct/maps/{chunk}.npz", z=z + first, row=row, column=column, maps=maps,
                  squares=np.array([100.0, 0.1, 0.01]))  # fmt: skip

    def overlaps(self):
        """Sums of what tiles show of the same places, 24 pairs of regions for each seam."""
        rng, seams = self.rng, [pair for run in RUNS[:2] for pair in edges(run)]
        for chunk, first, last in self.chunks():
            z = np.repeat(np.arange(first, last + 1), len(seams) * 24)
            ends = np.tile(
                np.repeat(np.array(seams).reshape(-1, 4), 24, axis=0), (last - first + 1, 1)
            )
            n, p, q = np.full(len(z), 500.0), *rng.normal(0.5, 0.01, (2, len(z)))
            region = np.tile(np.arange(24), len(z) // 24)
            _save(
                f"correct/overlaps/{chunk}.npz",
                z=z, p_row=ends[:, 0], p_column=ends[:, 1], q_row=ends[:, 2], q_column=ends[:, 3],
                p_region=(8 * region + 7) % 64, q_region=8 * region % 64, n=n, p_sum=n * p,
                q_sum=n * q, p_squares=n * (p**2 + 0.01), q_squares=n * (q**2 + 0.01),
            )  # fmt: skip

    def voxels(self):
        """The files of an export and its records: about one block a tile and target, all alike."""
        plan = slabs.Plan.from_json(files.read_json("export/plan.json"))
        levels = []
        for level in range(plan.spec.levels):
            regions = slabs.tasks(plan, level)
            rows = [
                {"zyx": [[one.start, one.stop] for one in region], "crc32": 0} for region in regions
            ]
            for target in plan.targets:
                store = multiscale.open_level(target, level)
                for region, row in zip(regions, rows, strict=True):
                    row["blocks"] = _write_files(store, region)
            levels.append(rows)
        empty = [[] for _ in levels[1:]]
        for k, (chunk, _, _) in enumerate(self.chunks()):
            own = {
                "chunk": chunk,
                "levels": [rows[k :: len(list(self.chunks()))] for rows in levels],
            }
            files.write_json(f"export/slabs/{chunk}.json", own)
        files.write_json("export/pyramid.json", {"levels": empty})


def _cell(tile_id):
    """``row,column`` of a tile, or of a patch."""
    return ",".join(tile_id.split("_0-")[1].partition(".")[0].split("-"))


def _matched(row):
    ends = (row[name] for name in PLAN[:4])
    return CanvasMatches(*ends, POINTS, POINTS, np.ones(len(POINTS)))


def _write_files(store, region):
    known, count = {}, 0
    for path, parts in store._files(region):
        shape = tuple(part.stop - part.start for part in parts)
        if shape not in known:
            known[shape] = b"".join(store._parts(np.full(shape, 100, np.uint8)))
        try:
            Path(path).write_bytes(known[shape])
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(known[shape])
        count += 1
    return count


def _save(path, **arrays):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def _align_file(place):
    """Bytes of an align HDF5 of one layer, with the stamp of `synthetic_layers.START`."""
    import h5py

    row = write_layer("one", 0, cells=CELLS, XResolution=SIDE_XY[0], YResolution=SIDE_XY[1])
    path = Path("one", row["align_h5"])
    with h5py.File(path, "r+") as file:
        for (r, c), header in place.items():
            file[f"0-{r}-{c}"].attrs.update(header)
    return path.read_bytes()


def write_document(path, value):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(value))

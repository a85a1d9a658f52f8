"""A finished working directory, fabricated to the letter of the stages' file contracts.

Pixels come from a synthetic acquisition, the solution is its truth with a little noise, the tables
are what the stages would write. Nothing of the stages is run.
"""

from pathlib import Path

import h5py
import numpy as np

from scripts.lib import files, geometry, transforms
from scripts.lib.drawing import compose
from scripts.lib.geometry import Box
from scripts.lib.service import records
from scripts.lib.service.records import CanvasMatches, Leaf, TileSet, TileSpec
from scripts.lib.volumes import metadata, multiscale

RUNS = ("montage_top_bottom", "montage_left_right", "cross")


class Service:
    """Stacks and matches in memory, with the calls that the album makes."""

    def __init__(self, stacks, pairs):
        self.stacks, self.pairs = stacks, pairs

    def z_values(self, stack):
        return sorted({tile.z for tile in self.stacks[stack].tiles})

    def tiles(self, stack, z_min=None, z_max=None):
        held = self.stacks[stack]
        return TileSet(tuple(t for t in held.tiles if z_min <= t.z <= z_max), held.shared)

    def matches(self, _collection, p_group):
        return [pair for pair in self.pairs if pair.p_group == p_group]


def pixels_of(path):
    data = path.read_bytes()
    w, h = np.frombuffer(data[100:108], ">u4")
    return np.frombuffer(data[1024 : 1024 + 2 * w * h], ">i2").reshape(-1, w).astype(float)


def fabricate(root: Path, acquisition: Path, truth: dict, *, export=True, seed=0) -> Service:
    """Write the working directory `root`; gives the service that holds the stacks."""
    rng = np.random.default_rng(seed)
    good = [tile for tile in truth["tiles"] if not tile["corrupt"]]
    aligned = {}
    for tile in good:
        m = np.array(tile["true_affine"])
        m[4:] += rng.normal(0, 0.12, 2) - truth_origin(truth)
        aligned[tile["tile_id"]] = m.tolist()
    urls = write_h5(root, acquisition, good)
    stacks = {
        "v1_acquire": stack(truth, good, urls, nominal=True, affines=None),
        "v1_acquire_trimmed_align": stack(
            truth, [t for t in good if t["kind"] == "tissue"], urls, nominal=False, affines=aligned
        ),
    }
    write_transfer(root, truth)
    write_ingest(root, truth)
    pairs = write_match(root, truth, good, rng)
    write_review(root, truth, good)
    write_solve(root, truth, good, aligned, rng)
    write_misalignment(root, aligned, good)
    write_zcorr(root, truth, rng)
    if export:
        write_export(root, stacks["v1_acquire_trimmed_align"], truth)
    write_benchmarks(root, rng)
    return Service(stacks, pairs)


def truth_origin(truth):
    first = truth["tiles"][1]["true_affine"]
    return np.array(first[4:]) - np.array(truth["tiles"][1]["stage_xy"])


def z_of(tile):
    return tile["layer"] + 1


def tile_id(tile):
    return f"{tile['tile_id']}.{z_of(tile)}.0"


def write_h5(root, acquisition, tiles):
    urls = {}
    (root / "h5").mkdir(parents=True, exist_ok=True)
    for tile in tiles:
        raw = pixels_of(acquisition / "dat" / tile["file"])
        grey = np.clip(255 * (1 - (raw - 800) / 4200), 0, 255).astype("u1")
        path = root / "h5" / f"{tile['tile_id'][:15]}.uint8.h5"
        key = f"0-{tile['row']}-{tile['column']}"
        with h5py.File(path, "a") as f:
            f.create_dataset(f"{key}/mipmap.0", data=grey[None])
        urls[tile["tile_id"]] = f"file://{path.absolute()}?dataSet=/{key}/mipmap.0&z=0"
    return urls


def stack(truth, tiles, urls, *, nominal, affines):
    scan = truth["scan_correction"]
    shared = {"scan": Leaf(scan["className"], scan["dataString"], "scan")}
    p = truth["parameters"]
    specs = []
    for tile in tiles:
        affine = (
            geometry.translation(*tile["stage_xy"])
            if nominal
            else geometry.from_wire(affines[tile["tile_id"]])
        )
        leaf = Leaf(transforms.AFFINE, transforms.affine_data(affine))
        specs.append(
            TileSpec(
                tile_id=tile_id(tile),
                z=float(z_of(tile)),
                width=p["tile_width"],
                height=p["tile_height"],
                image_url=urls[tile["tile_id"]],
                transforms=(records.Ref("scan"), leaf),
                row=tile["row"],
                column=tile["column"],
                stage_x=tile["stage_xy"][0],
                stage_y=tile["stage_xy"][1],
            )
        )
    return TileSet(tuple(specs), shared).with_bounds()


def layer_id(layer):
    return f"Merlin-6284_{layer['stamp']}"


def corrupt_keys(truth, k):
    return [
        f"0-{t['row']}-{t['column']}" for t in truth["tiles"] if t["layer"] == k and t["corrupt"]
    ]


def write_transfer(root, truth):
    cells = truth["parameters"]["rows"] * truth["parameters"]["columns"]
    rows, bad = [], []
    for layer in truth["layers"]:
        lost = corrupt_keys(truth, layer["layer"])
        rows.append(
            {
                "layer_id": layer_id(layer),
                "scope": "Merlin-6284",
                "stamp": layer["stamp"],
                "tiles": cells - len(lost),
                "expected": cells,
                "bad": len(lost),
                "status": "partial" if lost else "ok",
                "raw_h5": "h5/raw/x.h5",
                "align_h5": "h5/align/x.h5",
                "message": "",
            }
        )
        bad += [
            {
                "layer_id": layer_id(layer),
                "tile_key": key,
                "dat": f"{layer_id(layer)}_{key}.dat",
                "reason": "truncated: 55424 of 164864 bytes",
            }
            for key in lost
        ]
    files.write_table(root / "transfer/layers.tsv", list(rows[0]), rows)
    columns = ["layer_id", "tile_key", "dat", "reason"]
    files.write_table(root / "transfer/quarantine.tsv", columns, bad)


def write_ingest(root, truth):
    cells = truth["parameters"]["rows"] * truth["parameters"]["columns"]
    rows = []
    for layer in truth["layers"]:
        lost = corrupt_keys(truth, layer["layer"])
        rows.append(
            {
                "z": layer["layer"] + 1,
                "layer_id": layer_id(layer),
                "tiles": cells - len(lost),
                "missing": ",".join(lost),
                "status": "partial" if lost else "ok",
                "gap_before_s": 62.0 if layer["layer"] else None,
                "align_h5": "h5/align/x.h5",
            }
        )
    files.write_table(root / "ingest/layers.tsv", list(rows[0]), rows)
    restart = truth["parameters"]["restart_layer"]
    restarts = [{"z": restart + 1, "reason": "acquisition_delay"}] if restart else []
    files.write_table(root / "ingest/restarts.tsv", ["z", "reason"], restarts)
    chunk = {"chunk": "0000", "z_first": 1, "z_last": len(rows)}
    files.write_table(root / "ingest/chunks.tsv", list(chunk), [chunk])


def neighbors(good):
    by_cell = {(t["layer"], t["row"], t["column"]): t for t in good}
    for (k, r, c), tile in by_cell.items():
        for run, step in zip(RUNS, ((0, 1, 0), (0, 0, 1), (1, 0, 0)), strict=True):
            other = by_cell.get((k + step[0], r + step[1], c + step[2]))
            if other:
                yield run, step[0], tile, other
        far = by_cell.get((k + 2, r, c))
        if far:
            yield "cross", 2, tile, far


def write_match(root, truth, good, rng):
    rows, pairs = {run: [] for run in RUNS}, []
    for run, dz, one, other in neighbors(good):
        p, q = sorted((one, other), key=lambda t: (geometry.section_id(z_of(t)), tile_id(t)))
        resin = "resin" in (p["kind"], q["kind"])
        hard = rng.random() < 0.15
        stage, reason = "crossPass1", ""
        if resin:
            stage, reason = (
                "crossPass2",
                "crossPass1:few_keypoints(0<20); crossPass2:few_inliers(0<20)",
            )
        elif hard:
            stage, reason = "crossPass2", "crossPass1:few_inliers(7<20)"
        count = (
            0 if resin else int(rng.integers(30, 60) if run != "cross" else rng.integers(80, 240))
        )
        row = {
            "p_group": geometry.section_id(z_of(p)),
            "p_id": tile_id(p),
            "q_group": geometry.section_id(z_of(q)),
            "q_id": tile_id(q),
            "run": run,
            "dz": dz,
            "p_cell": f"{p['row']}-{p['column']}",
            "q_cell": f"{q['row']}-{q['column']}",
            "stage": stage,
            "saved": not resin,
            "count": count,
            "rms_px": None if resin else round(float(rng.gamma(9, 0.06)), 4),
            "coverage_pct": None,
            "reason": reason,
        }
        rows[run].append(row)
        if not resin and len(pairs) < 900:
            pairs.append(matched(truth, p, q, count, rng))
    for run, part in rows.items():
        files.write_table(root / f"match/results/{run}/0000.tsv.gz", list(row), part)
    return pairs


def matched(truth, p, q, count, rng):
    """True correspondences of two tiles, in their matching frames."""
    width, height = truth["parameters"]["tile_width"], truth["parameters"]["tile_height"]
    xy = rng.uniform([8, 4], [width - 4, height - 4], (4000, 2))
    there = geometry.apply(
        geometry.invert(geometry.from_wire(q["true_affine"])),
        geometry.apply(geometry.from_wire(p["true_affine"]), xy),
    )
    inside = ((there > [8, 4]) & (there < [width - 4, height - 4])).all(axis=1)
    xy, there = xy[inside][:count], there[inside][:count]
    sections = [geometry.section_id(z_of(t)) for t in (p, q)]
    return CanvasMatches(
        sections[0], tile_id(p), sections[1], tile_id(q), xy, there, np.ones(len(xy))
    )


def write_review(root, truth, good):
    rows = []
    for tile in good:
        loose = tile["kind"] == "resin"
        rows.append(
            {
                "tile_id": tile_id(tile),
                "z": z_of(tile),
                "row": tile["row"],
                "column": tile["column"],
                "cluster": None if loose else 1,
                "pairs_montage": 0 if loose else 2,
                "pairs_cross": 0 if loose else 4,
                "texture": 0.1 if loose else 9.0,
                "state": "excluded" if loose else "ok",
                "reason": "resin: no texture" if loose else "",
            }
        )
    files.write_table(root / "review/tiles.tsv", list(rows[0]), rows)
    columns = ["row_a", "column_a", "row_b", "column_b", "z_first", "z_last", "layers"]
    edge = dict(zip(columns, (0, 0, 0, 1, 1, 8, 8), strict=True))
    files.write_table(root / "review/edges.tsv", columns, [edge])
    files.write_json(root / "review/clusters.json", {"clusters": 1})
    checks = [
        {"name": "connected", "found": 1, "expected": "one cluster", "status": "passed"}
        | {"message": ""},
    ]
    files.write_json(root / "review/gate.json", {"status": "passed", "checks": checks})


def write_solve(root, truth, good, aligned, rng):
    rows, solved = [], {}
    middle = (np.array([truth["parameters"][k] for k in ("tile_width", "tile_height")]) - 1) / 2
    for tile in good:
        if tile["kind"] != "tissue":
            continue
        affine = geometry.from_wire(aligned[tile["tile_id"]])
        moved = geometry.apply(affine, middle) - middle - tile["stage_xy"]
        solved[tile_id(tile)] = aligned[tile["tile_id"]]
        rows.append(
            {
                "tile_id": tile_id(tile),
                "z": z_of(tile),
                "row": tile["row"],
                "column": tile["column"],
                "pairs": 6,
                "rms_px": round(float(rng.gamma(20, 0.025)), 4),
                "scale_x": 1.0,
                "scale_y": 1.001,
                "rotation_mrad": 0.3,
                "shear": 0.0,
                "dx_px": round(float(moved[0]), 4),
                "dy_px": round(float(moved[1]), 4),
            }
        )
    rows[40 % len(rows)]["rms_px"] = 2.9
    files.write_table(root / "solve/tiles.tsv", list(rows[0]), rows)
    files.write_json(root / "solve/transforms.json.gz", {"tiles": solved})
    files.write_json(root / "solve/solve.json", {"iterations": 6})
    pairs = [
        {
            "p_id": tile_id(p),
            "q_id": tile_id(q),
            "dz": dz,
            "count": 50,
            "rms_px": round(float(rng.gamma(9, 0.05 - 0.02 * (dz == 0))), 4),
            "weight": 1.0,
        }
        for _, dz, p, q in neighbors(good)
        if {p["kind"], q["kind"]} == {"tissue"}
    ]
    files.write_table(root / "solve/pairs.tsv.gz", list(pairs[0]), pairs)


def write_misalignment(root, aligned, good):
    """Every seam and step is off by 0.2 px, but for one seam: 0.5 px."""
    rows = []
    for _, dz, p, q in neighbors(good):
        if dz > 1 or {p["kind"], q["kind"]} != {"tissue"}:
            continue
        middle = [
            np.array(aligned[t["tile_id"]][4:]) + aligned[t["tile_id"]][0] * np.array([40, 32])
            for t in (p, q)
        ]
        x, y = np.rint(np.mean(middle, axis=0)).astype(int).tolist()
        px = 0.5 if (z_of(p), dz) == (5, 0) else 0.2
        row = {"kind": "step" if dz else "seam", "z": z_of(p), "other_z": z_of(q)}
        row |= {"p_id": tile_id(p), "q_id": tile_id(q), "x": x, "y": y}
        rows.append(row | {"px": px, "error_px": 0.05, "used": 9, "tried": 12})
    files.write_table(root / "solve/misalignment.tsv.gz", list(rows[0]), rows)
    figures = {"places": len(rows), "measured": len(rows), "rms_px": 0.21, "error_px": 0.01}
    figures |= {"rms_nm": 1.7, "p95_px": 0.2, "max_px": 0.5}
    document = {"state": "good", "reasons": [], "steps": figures, "findings": []}
    document["seams"] = figures | {"rms_px": 0.24, "error_px": None}
    files.write_json(root / "solve/misalignment.json", document)


def write_zcorr(root, truth, rng):
    z = np.array([layer["z_true"] for layer in truth["layers"]])
    step = np.diff(z)
    corrected = 1 + (z - z[0]) * (len(z) - 1) / (z[-1] - z[0])
    lines = [f"{k + 1} {float(v)!r}" for k, v in enumerate(corrected)]
    files.write_text(root / "zcorr/Zcoords.txt", "\n".join(lines) + "\n")
    layers = []
    for k in range(len(z)):
        cc = 0.93 - 0.06 * step[k] + rng.normal(0, 0.006) if k < len(step) else None
        low = k == min(20, len(step) - 1)
        layers.append(
            {
                "z": k + 1,
                "cc_next": round(cc - 0.15 * low, 5) if cc else None,
                "delta_z": round(float(corrected[k] - corrected[k - 1]), 5) if k else None,
                "problem": "correlation with next 0.716 is below 0.75" if low else None,
            }
        )
    files.write_json(root / "zcorr/qc.json", {"layers": layers})


def write_export(root, tiles, truth):
    box = Box.around(tile.box for tile in tiles.tiles)
    by_z = {}
    for placed in compose.place(tiles):
        by_z.setdefault(placed.tile.z, []).append(placed)
    zs = sorted(by_z)
    voxels = np.stack([compose.render(by_z[z], box).pixels for z in zs]).round().astype("u1")
    spec = multiscale.VolumeSpec(
        shape_zyx=voxels.shape,
        block_zyx=(32, 64, 64),
        dtype="uint8",
        voxel_nm_zyx=(8.0, 8.0, 8.0),
        origin_px_zyx=(int(zs[0]), int(box.y0), int(box.x0)),
        levels=1,
    )
    target = multiscale.Target("n5", str(root / "demo.n5"), "em/fibsem-uint8", "gzip", 1)
    metadata.create(target, spec)
    whole = tuple(slice(0, n) for n in voxels.shape)
    multiscale.open_level(target, 0).write(whole, voxels)
    listed = {
        "format": "n5",
        "path": str(target.group),
        "codec": "gzip",
        "neuroglancer": {"state": {}, "link": "https://viewer.invalid/#!x"},
    }
    description = {
        "volume": "demo",
        "stack": "v1_acquire_trimmed_align",
        **{k: v for k, v in spec.to_json().items() if k != "levels"},
        "levels": [{"level": 0, "shape_zyx": list(voxels.shape), "blocks": 1}],
        "targets": [listed],
    }
    files.write_json(root / "export/volume.json", description)


def write_benchmarks(root, rng):
    columns = ["s", "h:m:s", "max_rss", "cpu_time"]
    jobs = {"convert_layers": 4, "match_pairs": 12, "gather_moments": 4, "solve_transforms": 1}
    jobs |= {"correlate_layers": 4, "render_slab": 4, "number_layers": 1, "infer_z": 1}
    for rule, count in jobs.items():
        for i in range(count):
            s = round(float(rng.gamma(4, 1.5)), 2)
            rss = "NA" if rule == "number_layers" else round(float(rng.uniform(150, 600)), 1)
            row = dict(zip(columns, (s, "0:00:05", rss, round(s * 0.9, 2)), strict=True))
            files.write_table(root / f"benchmarks/{rule}/{i:04d}.tsv", columns, [row])

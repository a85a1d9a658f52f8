"""Bars to clear: what other programs left, and what fields leave of tiles that are bent.

    python -m tests.accuracy.bars [--data FOLDER] [--name NAME ...]

Each line of `bars.yaml` is an acquisition without any trouble, the workflow on it as far as its
align stack, and its score. ``build/accuracy/bars.json`` holds the rows, each from the moment it is
done; the tables of ``docs/accuracy.md`` and ``docs/solve.md`` are written from it.
"""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import yaml

from scripts.lib import files, geometry
from scripts.lib import truth as truths
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import CanvasMatches, TileSet
from scripts.solve import solver
from scripts.solve.graph import Weighting, graph_of, solution, tiles_of
from scripts.solve.moments import of_matches
from tests.accuracy import judging, mixtures, page, peers, run, warp

TABLE = Path(__file__).with_suffix(".yaml")
VOLUME = "fib25/fib25_250.h5"
GENERATOR = "make_misaligned.py"
SCAN = (0.001, 12, 0.001, 60)  # next to none, as where the other programs ran: they know of none
AXES = {"z": (0, 1, 2), "x": (2, 1, 0), "y": (1, 0, 2)}  # of the volume, in the order z, y, x
ALIGNED = "stacks/v1_acquire_trimmed_align.json"
KINDS = ("relative", "absolute", "seams")
PEERS_HEAD = ("", "acquisition", "aligned by", "relative, px", "absolute, px", "seams, px")
BENT_HEAD = (
    "",
    "acquisition",
    "warp, px",
    "relative, px",
    "field",
    "absolute, px",
    "field",
    "code",
)
PEERS = ("<!-- bars: written by `make bars` -->", "<!-- end of bars -->")
BENT = ("<!-- bent: written by `make bars` -->", "<!-- end of bent -->")


def main(argv=None):
    """Command line."""
    table = yaml.safe_load(TABLE.read_text())
    args = mixtures.options(__doc__, table, argv)
    kept = args.out / "bars.json"
    for name in args.name:
        if name not in mixtures.rows_in(kept):
            row = measured(table[name], args.data, args.out / name)
            files.write_json(kept, mixtures.rows_in(kept) | {name: row})
            print(name, row, flush=True)
    write(run.ROOT / "docs", table, mixtures.rows_in(kept))


def measured(entry, data, folder):
    """Run one acquisition as far as its align stack; give its errors."""
    if "case" in entry:
        return of_case(data / entry["case"]) | {"code": run.revision()}
    truth = acquired(entry, data, folder)
    rows, columns = entry["grid"]
    layout = {"own": {"rows": rows, "columns": columns}}
    config = run.config_of({"layouts": layout}, {"layout": "own"}, folder)
    scan = " ".join(map(str, truth["parameters"]["scan"]))
    config["ingest"] = {"scan_correction": {"data": f"{scan} 0"}}
    if "warp" in entry:
        config["solve"] = {"refine": "field"}
    code, text = run.workflow(folder, config, ALIGNED)
    if code:
        raise RuntimeError(f"{folder}: the workflow ended with {code}: {run.last_message(text)}")
    if "warp" not in entry:
        return straight(folder / "work", truth) | {"code": run.revision()}
    scan_correct = warp.generator(data / GENERATOR).scan_correct
    return bent(folder / "work", truth, scan_correct) | {"code": run.revision()}


def acquired(entry, data, folder):
    """Make the acquisition of a row if it is not there; give its truth."""
    path = folder / "acquisition/truth.json"
    if not path.exists():
        words = [folded(data / VOLUME, entry["axis"], folder / "volume.h5"), path.parent]
        words += ["--layers", entry["layers"], "--grid", *entry["grid"], "--seed", entry["seed"]]
        words += ["--tile", entry["tile"], entry["tile"], "--scan", *SCAN, *run.CLEAN]
        words += ["--warp", *entry.get("warp", (0, 1, 0)), *entry.get("options", ())]
        module = [sys.executable, "-m", "tests.accuracy.warp", data / GENERATOR]
        subprocess.run(list(map(str, [*module, *words])), check=True, cwd=run.ROOT)
    return files.read_json(path)


def folded(volume, axis, out):
    """Give the file of a volume whose z is another axis of it."""
    if axis == "z":
        return volume
    out.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(volume) as source, h5py.File(out, "w") as file:
        file["volume"] = source["volume"][:].transpose(AXES[axis])
    return out


# ---- errors ----------------------------------------------------------------------------------


def of_case(folder):
    """Give rms px of a solve of matches that are at hand."""
    truth, tiles, pairs = (
        files.read_json(folder / f"{part}.json.gz")
        for part in ("truth", "resolved_tiles", "matches")
    )
    arrays = tiles_of([TileSet.from_json(tiles)])
    moments, weighting = of_matches([CanvasMatches.from_json(pair) for pair in pairs]), Weighting()
    found = solver.solve(arrays, graph_of(arrays, moments, weighting), solver.Options())
    transforms = solution(arrays, found.placement)
    figures = truths.figures(truth, transforms=transforms)
    return {kind: rms(figures, kind) for kind in KINDS} | {"pystackreg": None}


def straight(work, truth):
    """Give rms px of what the affines leave, and of a chain of registrations of the same tiles."""
    found = {kind: rms(judging.figures_of(work, truth), kind) for kind in KINDS}
    single = truth["parameters"]["rows"] * truth["parameters"]["columns"] == 1
    chain = peers.stackreg(work, truth) if single else None
    return found | {"pystackreg": chain and {kind: rms(chain, kind) for kind in KINDS}}


def rms(figures, kind):
    return (figures.get(kind) or {}).get("rms_px")


def bent(work, truth, scan_correct):
    """Give rms px of what affines leave at a grid of points, and of what fields do."""
    scan = truth["parameters"]["scan"]

    def affine(numbers):
        matrix = geometry.from_wire(numbers)
        return lambda raw: geometry.apply(
            matrix, np.column_stack([scan_correct(raw[:, 0], scan), raw[:, 1]])
        )

    affines = {name: affine(numbers) for name, numbers in judging.solved(work).items()}
    return {
        "affine": warp.score(truth, affines, scan_correct),
        "field": warp.score(truth, chains_of(work), scan_correct),
    }


def chains_of(work):
    """Give the whole chains of the align stack, raw pixels to world, by the truth's tile ids."""
    client = RenderClient("accuracy", "accuracy", base_url=f"sqlite:///{work / 'render-ws.db'}")
    tiles = client.tiles(Path(ALIGNED).stem)
    return {truths.truth_tile_id(str(one.tile_id)): tiles.chain(one).apply for one in tiles.tiles}


# ---- pages -----------------------------------------------------------------------------------


def write(docs, table, rows):
    """Put the tables between their marks of the pages; lines of what did not run here stay."""
    peers_of = {name: entry for name, entry in table.items() if "peer" in entry}
    warps = {name: entry for name, entry in table.items() if "warp" in entry}
    between(docs / "accuracy.md", PEERS, PEERS_HEAD, peers_of, rows, peer_lines)
    between(docs / "solve.md", BENT, BENT_HEAD, warps, rows, bent_lines)


def between(path, marks, head, table, rows, lines_of):
    before, rest = path.read_text().split(marks[0])
    old, after = rest.split(marks[1])
    lines = [line_of(*head), "|" + "---|" * len(head)]
    for name, entry in table.items():
        there = [line for line in old.splitlines() if line.startswith(f"| {name} |")]
        lines += there if there and name not in rows else lines_of(name, entry, rows.get(name))
    text = "\n".join([before + marks[0], "", *lines, "", marks[1]])
    files.write_text(path, text + after)


def peer_lines(name, entry, row):
    """Give the lines of an acquisition: what the other program left, this one, and a chain."""
    by = {entry["peer"]["name"]: entry["peer"]}
    if row:
        by[f"this workflow (`{row['code']}`)"] = row
    if row and row["pystackreg"]:
        by["pystackreg"] = row["pystackreg"]
    return [line_of(name, size_of(entry), who, *three(left)) for who, left in by.items()]


def bent_lines(name, entry, row):
    """Give the line of an acquisition that is bent, or is not; none before it has run."""
    if not row:
        return []
    cells = []
    for kind in ("relative", "absolute"):
        before, after = row["affine"][kind], row["field"][kind]
        cells += [f"{before:.3f}", f"{after:.3f} ({after / before:.2f})"]
    return [line_of(name, size_of(entry), entry["warp"][0], *cells, f"`{row['code']}`")]


def size_of(entry):
    rows, columns = entry["grid"]
    layers = f"{entry['layers']} layers of {rows} × {columns} × {entry['tile']}²"
    return f"{layers} along {entry['axis']}, seed {entry['seed']}"


def three(figures):
    return [f"{figures[kind]:.3f}" if figures.get(kind) else "-" for kind in KINDS]


def line_of(*cells):
    return "| " + " | ".join(page.plain(str(cell)) for cell in cells) + " |"


if __name__ == "__main__":
    main()

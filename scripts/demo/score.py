"""Score: how well a finished run met the truth of its acquisition.

    python -m scripts.demo.score WORK_DIR TRUTH.json [--source VOLUME.h5]

prints the errors of the solution beside those of the nominal stage positions, and where the
report is. With the volume that the acquisition was cut from, also how like it the exported volume
is, beside the likeness that the true geometry would give.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.demo import likeness
from scripts.lib import files, truth

TRANSFORMS = "solve/transforms.json.gz"
LAYERS = "ingest/layers.tsv"
Z_COORDS = "zcorr/Zcoords.txt"
REPORT = "report/index.html"


def _score_run(work_dir: Path, truth_path: Path) -> dict[str, Any]:
    """Return `lib.truth.figures` of a working directory; FileNotFoundError before the solve."""
    z_coords = work_dir / Z_COORDS
    return truth.figures(
        truth.read_truth(truth_path),
        transforms=files.read_json(work_dir / TRANSFORMS)["tiles"],
        layers=[(int(r["z"]), r["layer_id"]) for r in files.read_table(work_dir / LAYERS)],
        corrected=truth.read_z_coords(z_coords) if z_coords.exists() else None,
    )


def _table(figures: Mapping[str, Any]) -> str:
    """Lay the figures out as text, solution beside stage positions."""
    nominal = figures["nominal"]
    rows: list[tuple[str, ...]] = [("", "aligned", "as acquired", "")]
    for label, group, key, unit in (
        ("jitter from layer to layer, rms", "relative", "rms_px", "px"),
        ("jitter, 95th percentile", "relative", "p95_px", "px"),
        ("seams between tiles of a layer, rms", "seams", "rms_px", "px"),
        ("position in the whole stack, rms", "absolute", "rms_px", "px"),
        ("depth of the layers, rms", "z", "rms_layers", "layers"),
    ):
        if group in figures:
            values = (f"{g[group][key]:.3f}" if group in g else "-" for g in (figures, nominal))
            rows.append((label, *values, unit))
    lines = [f"  {a:<34}{b:>10}{c:>14}  {d}" for a, b, c, d in rows]
    missing = figures.get("tiles_missing", 0)
    lines.append(f"  tiles scored: {figures.get('tiles_scored', 0)}, not solved: {missing}")
    return "\n".join(lines)


def _likeness_table(found: Mapping[str, float]) -> str:
    """Lay the likeness out as text: reached, with the true geometry, share of it."""
    lines = [f"  {'correlation of layers':<34}{'exported':>10}{'with truth':>14}{'share':>9}"]
    for key, label in (("source", "with the source volume"), ("next", "with the next layer")):
        values = found[key], found[f"{key}_ceiling"], found[f"{key}_share"]
        lines.append("  {:<34}{:>10.4f}{:>14.4f}{:>9.4f}".format(label, *values))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Score a finished run against its truth.")
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--source", type=Path, help="HDF5 the acquisition was cut from")
    args = parser.parse_args(argv)
    try:
        figures = _score_run(args.work_dir, args.truth)
    except (FileNotFoundError, ValueError) as error:
        sys.stderr.write(f"nothing to score: {error}\n")
        return 1
    shown = _table(figures)
    if args.source is not None:
        shown += "\n" + _likeness_table(likeness.of_run(args.work_dir, args.truth, args.source))
    report = (args.work_dir / REPORT).resolve()
    where = report if report.exists() else f"{report} (not made yet)"
    sys.stdout.write(f"Errors against the known truth\n{shown}\nreport: {where}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

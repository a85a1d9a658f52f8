"""Infer the thickness of all layers and list those that do not fit.

Inputs
    ``zcorr/correlations/{chunk}.npz`` and ``zcorr/layers/{chunk}.npz`` of all chunks (see
    correlate_layers), ``ingest/layers.tsv`` for their names, ``ingest/missing_layers.tsv``
Outputs
    ``zcorr/coordinates.txt``: line ``z corrected`` for each layer that has tiles, z the true one
    ``zcorr/qc.json``: ``figures`` of the stack, ``curve`` of correlation against distance, and
    ``layers``: z, cc_next (Pearson), delta_z (layers, from the layer before), lost_before,
    missing_before (layers without any file, as ingest says), problem;
    ``order``: layers that seem out of place, and the z that each should follow
    ``zcorr/thickness.html``: the same as plots, with pictures of the layers that do not fit
    ``zcorr/proposals.yaml``: tiles of such layers, as entries for ``review.exclude``
    ``zcorr/regions.npz``: ``z`` (n,), ``correlation`` (n, rows, columns) float32 of each region
    with the same region of the next layer, NaN = no data
    ``zcorr/regions.zarr``: the same as OME-Zarr that viewers lay over the export (`region_volume`);
    no declared output, for Snakemake removes folders of jobs that fail
Method
    `zcorr.inference`: isotropic (see `isotropy`, `decay`, `thickness`), or reference (Hanslovsky,
    Bogovic, Saalfeld 2017, doi:10.1093/bioinformatics/btw794; see `inference`)
"""

import logging
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib import commands, files
from scripts.lib.job import job
from scripts.zcorr import layer_lines, methods, order, pictures, plot, qc, region_volume, zcoords
from scripts.zcorr.measured import Measured
from scripts.zcorr.methods import Result

log = logging.getLogger(__name__)


def main(
    *,
    correlations: Sequence[str],
    layers: Sequence[str],
    names: str,
    missing: str | None = None,
    out: Mapping[str, str],
    volume: str,
    grid: tuple[int, int],
    zcorr: Mapping[str, Any],
) -> None:
    """Read all correlations, infer, write text, figures and plots."""
    parts = [_arrays(path) for path in correlations]
    found = Measured.joined(parts).trimmed()
    result = methods.METHODS[zcorr["inference"]](found, zcorr)
    absent = files.read_table(missing) if missing else []
    report = report_of(found, result, zcorr, {int(one["z"]): int(one["layers"]) for one in absent})
    log.info("%s", report["figures"])
    shown = pictures.of(report["layers"], _opened(layers))
    limit = zcorr["problem_deviations"]
    proposed = qc.proposals(report["layers"], found.regional, grid, limit, found.corr)
    lines = _offered(proposed, layer_lines.of(report["layers"], _names(names), absent))
    page = plot.page(f"{volume}: thickness", report["layers"], result, found.regional, shown, lines)
    corrected = found.z[0] + result.z
    files.write_text(out["page"], page)
    files.write_json(out["report"], report)
    files.write_text(out["proposals"], qc.as_yaml(proposed))
    with files.atomic_path(out["regions"]) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, z=found.z, correlation=found.regional.astype(np.float32))
    place = region_volume.Place.of_arrays(parts[0])
    store = Path(out["regions"]).with_suffix(".zarr")
    region_volume.write(store, int(found.z[0]), found.regional, place)
    text = zcoords.to_text(found.z[found.present], corrected[found.present])
    files.write_text(out["coordinates"], text)


def _offered(proposed: Sequence[Mapping[str, Any]], layers: str) -> dict[str, str]:
    """Return lines of the config by what they are for."""
    tiles = f"review:\n{textwrap.indent(qc.as_yaml(proposed), '  ')}" if proposed else ""
    puts = (
        f" ({commands.module('scripts.lib.paste', '--write')} puts it into a section that is there)"
    )
    return {
        f"To take these tiles out of the next solve, add to the config{puts}:": tiles,
        "Layers shown twice, slices lost (the corrected z has their gaps already), layers without"
        f" any file, to count z anew{puts}:": layers,
    }


def _names(path: str) -> dict[int, str]:
    """Return layer ids by z."""
    return {int(row["z"]): row["layer_id"] for row in files.read_table(path) if row["layer_id"]}


def _arrays(path: str) -> dict[str, NDArray[Any]]:
    with np.load(path) as stored:
        return dict(stored)


def _opened(paths: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open one file after the other, closed before the next: of many pictures few are read."""
    for path in paths:
        with np.load(path) as stored:
            yield stored


def report_of(
    found: Measured,
    result: Result,
    zcorr: Mapping[str, Any],
    missing: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """Return the content of ``zcorr/qc.json``.

    Parameters
    ----------
    found
        Correlations of all chunks, joined.
    result
        The inferred z.
    zcorr
        Section ``zcorr`` of the config.
    missing
        Layers without any file, by the z behind them.

    Returns
    -------
    dict
        ``figures``, ``curve`` and ``layers``, JSON values.
    """
    corrected, cc_next = found.z[0] + result.z, found.corr[:, 0]
    limits = {k: zcorr[k] for k in ("problem_correlation", "problem_deviations")}
    low = qc.problems(cc_next, band=found.band[:, 0], **limits)
    alone = qc.uncompared(found.own, found.corr)
    twice = qc.repeats(cc_next, repeated_correlation=zcorr["repeated_correlation"])
    wrong = [a or b or c for a, b, c in zip(alone, low, twice, strict=True)]
    layers = qc.rows(found.z, found.present, cc_next, corrected, wrong, result.lost, missing)
    copies = found.present & ~found.own
    figures = qc.summary(found.z, found.present, cc_next, corrected) | result.figures
    figures["problems"] = sum(row["problem"] is not None for row in layers)
    figures["copied_layers"] = found.z[copies].tolist()
    figures["lost_slices"] = [row["z"] for row in layers if row["lost_before"]]
    curve = [{"distance": d.round(4).tolist(), "correlation": c.tolist()} for d, c in result.curves]
    moved = order.rows(order.find(found.band, found.cell_band), int(found.z[0]))
    return {"figures": figures, "curve": curve, "layers": layers, "order": moved}


if __name__ == "__main__":
    with job(snakemake):
        main(
            correlations=snakemake.input.correlations,
            layers=snakemake.input.layers,
            names=snakemake.input.names,
            missing=snakemake.input.missing,
            out=dict(snakemake.output.items()),
            volume=snakemake.params.volume,
            grid=snakemake.params.grid,
            zcorr=snakemake.params.zcorr,
        )

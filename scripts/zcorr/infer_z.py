# mypy: disable-error-code="name-defined"
"""Infer the thickness of all layers and list those that do not fit.

Inputs
    ``zcorr/correlations/{chunk}.npz`` of all chunks (see correlate_layers)
Outputs
    ``zcorr/Zcoords.txt``: line ``z corrected`` for each layer that has tiles, z the true one
    ``zcorr/qc.json``: ``figures`` of the stack, ``curve`` of correlation against distance, and
    ``layers``: z, cc_next (Pearson), delta_z (layers, from the layer before), problem (words)
    ``zcorr/thickness.html``: the same as plots
Method
    Hanslovsky, Bogovic, Saalfeld 2017, doi:10.1093/bioinformatics/btw794; see `inference`.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.lib import files
from scripts.lib.job import job
from scripts.zcorr import inference, plot, qc, zcoords

log = logging.getLogger(__name__)


def main(
    *,
    correlations: Sequence[str],
    coordinates: str,
    report: str,
    page: str,
    volume: str,
    zcorr: Mapping[str, Any],
) -> None:
    """Read all correlations, infer, write text, figures and plots."""
    found = inference.Correlations.joined([np.load(path) for path in correlations]).trimmed()
    weights = inference.trust(found.share)
    estimate = inference.infer(found.corr, found.present, inference.Options.of(zcorr), weights)
    corrected = found.z[0] + estimate.z
    limits = {k: zcorr[k] for k in ("problem_correlation", "problem_deviations")}
    problems = qc.problems(found.corr[:, 0], **limits)
    layers = qc.rows(found.z, found.present, found.corr[:, 0], corrected, problems)
    figures = qc.summary(found.z, found.present, found.corr[:, 0], corrected)
    figures["problems"] = sum(row["problem"] is not None for row in layers)
    log.info("%d iterations; %s", estimate.iterations, figures)
    curve = np.round(estimate.curve, 6)
    html = plot.page(f"{volume}: thickness", layers, corrected - found.z, curve)
    files.write_text(page, html)
    files.write_json(report, {"figures": figures, "curve": curve.tolist(), "layers": layers})
    files.write_text(coordinates, zcoords.to_text(found.z[found.present], corrected[found.present]))


if __name__ == "__main__":
    with job(snakemake):
        main(
            correlations=snakemake.input.correlations,
            coordinates=snakemake.output.coordinates,
            report=snakemake.output.report,
            page=snakemake.output.page,
            volume=snakemake.params.volume,
            zcorr=snakemake.params.zcorr,
        )

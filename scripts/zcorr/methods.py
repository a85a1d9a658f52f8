"""The two ways from comparisons to coordinates, behind one signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib.arrays import Array, Bool
from scripts.zcorr import decay, inference, misalignment, sampling, thickness
from scripts.zcorr.changes import Limits
from scripts.zcorr.evenness import Cells
from scripts.zcorr.inference import Options
from scripts.zcorr.measured import Measured


@dataclass(frozen=True, eq=False)
class Result:
    """Coordinates of n layers and how they came about."""

    z: Array  # (n,) corrected coordinate in layers, 0 = nominal position of the first layer
    weight: Array  # (n,) trust in each layer, 0..1
    lost: Bool  # (n,) whether a slice was lost before the layer
    curves: list[tuple[Array, Array]]  # distance in layers, correlation
    figures: dict[str, Any]  # what the method reports about itself


def reference(found: Measured, zcorr: Mapping[str, Any]) -> Result:
    """Infer coordinates with one curve for all layers (Hanslovsky, Bogovic, Saalfeld 2017).

    Parameters
    ----------
    found
        Comparisons of n layers.
    zcorr
        Section of the config.

    Returns
    -------
    Result
        Of n layers.

    References
    ----------
    doi:10.1093/bioinformatics/btw794
    """
    weights = inference.trust(found.share)
    estimate = inference.infer(found.corr, found.present, Options.of(zcorr), weights)
    distance = np.arange(estimate.curve.shape[1], dtype=float)
    return Result(
        estimate.z,
        estimate.weight,
        np.zeros(len(estimate.z), bool),
        [(distance, np.round(row, 6)) for row in estimate.curve],
        {"inference": "reference", "iterations": estimate.iterations},
    )


def isotropic(found: Measured, zcorr: Mapping[str, Any]) -> Result:
    """Infer coordinates with curves of the layers' own planes (`isotropy`, `decay`, `thickness`).

    Parameters
    ----------
    found
        Comparisons of n layers.
    zcorr
        Section of the config.

    Returns
    -------
    Result
        Of n layers.

    References
    ----------
    doi:10.1109/ISBI.2014.6867833
    """
    n, reach = found.band.shape
    curve = decay.decay(found.inplane, found.variance, found.pixel_layers, reach)
    around = zcorr["isotropy_error_layers"]
    band = misalignment.compensated(found.band, found.shift, found.curvature, around)
    distance = decay.distances(band, curve)
    weight = inference.layer_weights(found.band)
    trust = inference.trust(found.band_share)
    for k in range(min(reach, n - 1)):
        trust[: n - k - 1, k] *= weight[: n - k - 1] * weight[k + 1 :]
    each = sampling.influence(found, band, curve)
    fit = thickness.positions(distance, trust, sampling.pair_variance(each, found.band_share))
    floor = (zcorr["isotropy_error"], zcorr["isotropy_error_layers"])
    error = sampling.step_error(each, fit, curve.anisotropy, found.band_share[:, 0], floor)
    known = thickness.spanned(distance, trust)
    limits = Limits(**{name: zcorr[name] for name in Limits.__annotations__})
    measured = np.diff(fit.z)
    relative = sampling.step_influence(each, fit) / np.maximum(measured, error.least)[:, None]
    cells = Cells(relative, found.cell_share[:-1].astype(float), found.band_share[:-1, 0])
    steps, lost, model = thickness.posterior(measured, known, error, limits, cells)
    z = np.concatenate([[0.0], np.cumsum(steps)])
    options = Options.of(zcorr)
    z = inference.bounded(z, np.flatnonzero(found.present), options)
    scale = float(np.nanmedian(fit.scale)) if np.isfinite(fit.scale).any() else None
    return Result(
        inference.normalise_edges(z, options.edge_layers),
        weight,
        np.concatenate([[False], lost]),
        [(curve.nodes, np.asarray(np.nanmean(curve.curves, axis=0)).round(6))] if scale else [],
        {
            "inference": "isotropic",
            # of tissue seen as isotropic; nominal layers
            "measured_thickness": None if scale is None else round(scale, 4),
            "signal_share": round(float(np.mean(curve.signal)), 4),
            "distance_deviation_layers": round(fit.deviation, 4),
            "thickness_sd": round(model.strength, 4),
            "thickness_scale_layers": model.scale_layers,
            "thickness_error_sd": round(model.error, 4),
            "significance": round(model.significance, 2),
            "thickness_chance": float(f"{model.chance:.2g}"),
            "error_chance": float(f"{model.error_chance:.2g}"),
            "correction_significance": round(model.correction_significance, 2),
            "independent_samples": round(float(np.median(each.samples)), 1),
        },
    )


METHODS: dict[str, Callable[[Measured, Mapping[str, Any]], Result]] = {
    "reference": reference,
    "isotropic": isotropic,
}

"""Make the page for the person at the microscope: what came, what drifts, how long it will take.

Inputs
    ``preview/layers.tsv``, ``preview/restarts.tsv``, ``preview/metadata.json`` and ``.npz`` (header
    fields), ``transfer/layers.tsv``, ``transfer/quarantine.tsv``, ``transfer/misfits.tsv``; where
    they are there, ``solve/misalignment.json`` and ``zcorr/qc.json`` of the last run
Outputs
    ``preview/imaging.html``; ``preview/imaging.json``: its figures (see `imaging.summarise`)
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scripts.ingest import header_table, imaging, imaging_page, metadata
from scripts.ingest.imaging import Row, Series, Space
from scripts.lib import files
from scripts.lib.job import job

SAMPLED = 300  # layers whose file is opened for the range of grey values
NEWEST = 20  # layers that tell what a layer takes


def contrast(layers: Sequence[Row]) -> dict[str, Series]:
    """Read over what range of counts the images of some layers are spread.

    Parameters
    ----------
    layers
        Rows of ``preview/layers.tsv``.

    Returns
    -------
    dict of Series
        ``Contrast`` (width of the range) and ``Brightness`` (its middle), counts.
    """
    some = [layers[k] for k in np.unique(np.linspace(0, len(layers) - 1, SAMPLED).astype(int))]
    z, ends = [], []
    for row in some if layers else ():
        try:
            with h5py.File(row["align_h5"]) as file:
                ends.append(np.sort(file.attrs["contrast_range"]))
        except (OSError, KeyError):
            continue  # removed, or of an older version
        z.append(float(row["z"]))
    if not z:
        return {}
    low, high = np.array(ends, float).T
    at = np.array(z)
    return {
        "Contrast": Series(at, high - low, "counts"),
        "Brightness": Series(at, (high + low) / 2, "counts"),
    }


def space_of(transferred: Sequence[Row]) -> Space:
    """Measure the HDF5 files of the newest layers, and what is free where they lie.

    Parameters
    ----------
    transferred
        Rows of ``transfer/layers.tsv``.

    Returns
    -------
    Space
        Zero for layers whose files are gone.
    """
    sizes = [
        sum(
            Path(row[name]).stat().st_size for name in ("raw_h5", "align_h5") if _is_file(row[name])
        )
        for row in transferred[-NEWEST:]
    ]
    known = [size for size in sizes if size]
    return Space(sum(known) / max(len(known), 1), shutil.disk_usage(Path()).free)


def _is_file(path: str) -> bool:
    return path not in ("", "-") and Path(path).is_file()


def main(
    *,
    inputs: Mapping[str, str],
    page: str,
    summary: str,
    volume: str,
    planned_layers: int | None,
    z_nm: float,
) -> None:
    """Read what there is, summarise, draw."""
    rows = {name: files.read_table(inputs[name]) for name in ("layers", "transferred")}
    table = header_table.read(rows["layers"], Path(inputs["cache"]))
    series = imaging.of_headers(table) | contrast(rows["layers"])
    seen = imaging.Seen(
        rows["layers"],
        quarantine=files.read_table(inputs["quarantine"]),
        misfits=files.read_table(inputs["misfits"]),
        restarts=files.read_table(inputs["restarts"]),
        series=series,
        misalignment=_known("solve/misalignment.json"),
        thickness=_known("zcorr/qc.json"),
        changed=metadata.warnings(files.read_json(inputs["metadata"])),
    )
    space = space_of(rows["transferred"])
    figures = imaging.summarise(seen, space, planned=planned_layers, z_nm=z_nm)
    files.write_json(summary, figures)
    files.write_text(page, imaging_page.page(figures, series, volume=volume, here=page))


def _known(path: str) -> dict[str, Any]:
    return dict(files.read_json(path)) if Path(path).is_file() else {}


if __name__ == "__main__":
    with job(snakemake):
        main(
            inputs=dict(snakemake.input.items()),
            page=snakemake.output.page,
            summary=snakemake.output.summary,
            volume=snakemake.params.volume,
            planned_layers=snakemake.params.planned_layers,
            z_nm=snakemake.params.z_nm,
        )

"""Take corrected z over, after a look whether they are those of this volume's layers.

Inputs
    the aligned stack (its receipt), ``takeover.zcoords``
Outputs
    ``takeover/Zcoords.txt``: the coordinates as `check_thickness` releases them;
    ``takeover/zcoords.json``: number of layers, greatest move, digest
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib.files import digest_of_file, write_json, write_text
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.zcorr import taken_over, zcoords

log = logging.getLogger(__name__)


def main(
    *,
    align: str | Path,
    zcoords_path: str,
    render: Mapping[str, Any],
    out: Mapping[str, str],
    z_range: Sequence[float] | None = None,
) -> None:
    """Read, check, write."""
    client, receipt = RenderClient(**render), StackReceipt.read(align)
    client.require(receipt)
    source = Path(zcoords_path)
    z, corrected = taken_over.coordinates(
        source.read_text(), client.z_values(receipt.stack), source.name, part=z_range is not None
    )
    write_text(out["coordinates"], zcoords.to_text(z, corrected))
    figures = {"layers": len(z), "most_moved_layers": float(np.abs(corrected - z).max())}
    write_json(out["receipt"], figures | {"digest": digest_of_file(source)})
    log.info("%s: %d layers are taken over", source.name, len(z))


if __name__ == "__main__":
    with job(snakemake):
        main(
            align=snakemake.input.align,
            zcoords_path=snakemake.params.zcoords,
            render=snakemake.params.render,
            z_range=snakemake.params.z_range,
            out=dict(snakemake.output.items()),
        )

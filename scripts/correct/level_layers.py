"""Find gain and offset of all layers, and the usual range of grey values.

Inputs
    ``correct/compared/{chunk}.npz`` and ``correct/overlaps/{chunk}.npz`` of all chunks, or none
Outputs
    ``correct/levels.npz``: ``z`` (n,), ``maps`` (n, 2) gain and offset (8-bit grey values) of the
    layers; ``grey`` (2,) start and length of the range of the overlaps, shares of the brightest
"""

from collections.abc import Sequence

import numpy as np

from scripts.correct import levels
from scripts.correct.regions import Grey
from scripts.lib import array_files
from scripts.lib.job import job


def main(
    *,
    compared: Sequence[str],
    overlaps: Sequence[str],
    out: str,
    method: str,
    hold_layers: float,
) -> None:
    """Solve for the layers, add the overlaps up, write."""
    z, maps = levels.solved([array_files.read(path) for path in compared], method, hold_layers)
    grey = Grey.of(array_files.read(path) for path in overlaps)
    array_files.write(out, {"z": z, "maps": maps, "grey": np.array([grey.black, grey.span])})


if __name__ == "__main__":
    with job(snakemake):
        main(
            compared=snakemake.input.compared,
            overlaps=snakemake.input.overlaps,
            out=snakemake.output[0],
            method=snakemake.params.method,
            hold_layers=snakemake.params.hold_layers,
        )

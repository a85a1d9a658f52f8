"""Compare the small pictures of neighbouring layers, for one chunk.

Inputs
    ``zcorr/layers/{chunk}.npz`` of the chunk and of those just before it
Outputs
    ``correct/compared/{chunk}.npz``: moments of pairs of layers, or of each layer (see `levels`)
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from scripts.correct import levels
from scripts.lib import array_files
from scripts.lib.job import job


def main(*, layers: Sequence[str], out: str, chunk: str, method: str, cutoff_share: float) -> None:
    """Read, compare, write."""
    (own,) = (path for path in layers if Path(path).stem == chunk)
    pictures = levels.pictures(own)
    if method == "statistics":
        found = levels.greys(pictures, cutoff_share)
    else:
        others = [path for path in layers if path != own]
        before = itertools.chain.from_iterable(map(levels.pictures, others))
        found = levels.compared(before, pictures)
    array_files.write(out, found)


if __name__ == "__main__":
    with job(snakemake):
        main(
            layers=snakemake.input.layers,
            out=snakemake.output[0],
            chunk=snakemake.wildcards.chunk,
            method=snakemake.params.method,
            cutoff_share=snakemake.params.cutoff_share,
        )

"""Set the grey values of 16 bit that become black and white in 8, by the rule of the config.

Inputs
    ``export/grey_values/{chunk}.npz`` of all chunks
Outputs
    ``export/contrast.npz``: ``low``, ``high`` (n, gy, gx) at layers ``z`` and centres of cells
    ``y``, ``x`` (world px); see `contrast` for the rules
    ``export/contrast.json``: for the report: the histogram, and what became black and white in
    each layer looked at (median of its cells)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.export import contrast
from scripts.lib import files
from scripts.lib.job import job


def main(*, measured: Sequence[str], out: str, shown: str, settings: Mapping[str, Any]) -> None:
    """Apply the rule; write both files."""
    parts = [part for path in measured if len((part := contrast.Measured.load(path)).z)]
    found, histogram = contrast.limits(parts, settings)
    found.save(out)
    files.write_json(shown, {"rule": settings["rule"]} | contrast.picture(found, histogram))


if __name__ == "__main__":
    with job(snakemake):
        main(
            measured=snakemake.input,
            out=snakemake.output.limits,
            shown=snakemake.output.shown,
            settings=snakemake.params.settings,
        )

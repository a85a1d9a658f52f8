"""Set the grey values of 16 bit that become black and white in 8, by the rule of the config.

Inputs
    ``export/grey_values/{chunk}.npz`` of all chunks
Outputs
    ``export/contrast.npz``: ``low``, ``high`` (n, gy, gx) at layers ``z`` and centres of cells
    ``y``, ``x`` (world px); see `contrast` for the rules
    ``export/contrast.json``: for the report: the histogram, and what became black and white in
    each layer looked at (median of its cells)
    While a volume grows layers are shown as before, as far as nobody sees the difference
    (``export/kept/contrast.npz`` and ``.json``, no declared outputs)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.export import contrast
from scripts.export.shown import Limits
from scripts.lib import files
from scripts.lib.job import job


def main(
    *,
    measured: Sequence[str],
    out: str,
    shown: str,
    settings: Mapping[str, Any],
    keep_grey: float = 0.0,
) -> None:
    """Apply the rule; write both files."""
    parts = [part for path in measured if len((part := contrast.Measured.load(path)).z)]
    found, histogram = contrast.limits(parts, settings)
    if keep_grey > 0:
        found = _held(found, dict(settings), keep_grey, Path(out).parent / "kept/contrast")
    found.save(out)
    files.write_json(shown, {"rule": settings["rule"]} | contrast.picture(found, histogram))


def _held(found: Limits, settings: dict[str, Any], keep_grey: float, kept: Path) -> Limits:
    limits, made_with = kept.with_suffix(".npz"), kept.with_suffix(".json")
    # other settings are meant to change something
    if limits.is_file() and made_with.is_file() and files.read_json(made_with) == settings:
        found = contrast.held(found, Limits.load(limits), keep_grey)
    found.save(limits)
    files.write_json(made_with, settings)
    return found


if __name__ == "__main__":
    with job(snakemake):
        main(
            measured=snakemake.input.measured,
            out=snakemake.output.limits,
            shown=snakemake.output.shown,
            settings=snakemake.params.settings,
            keep_grey=snakemake.params.get("keep_grey", 0),
        )

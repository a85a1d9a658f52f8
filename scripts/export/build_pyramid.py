# mypy: disable-error-code="name-defined"
"""Build all lower resolutions of the exported volumes.

Inputs
    ``export/plan.json``; ``export/slabs/{chunk}.json`` of all chunks (level 0 is complete)
Outputs
    ``export/pyramid.json``: records of the tasks of level 1, 2 … (as in export/slabs)
    Side effect: the blocks, in every target.
"""

import logging

from scripts.export import pyramid, slabs
from scripts.lib import files
from scripts.lib.job import job

log = logging.getLogger(__name__)


def main(*, plan: str, out: str) -> None:
    """Build level after level."""
    what = slabs.Plan.from_json(files.read_json(plan))
    levels = [list(pyramid.build(what, level)) for level in range(1, what.spec.levels)]
    log.info("%d levels of %d, %d tasks", len(levels), what.spec.levels, sum(map(len, levels)))
    files.write_json(out, {"levels": levels})


if __name__ == "__main__":
    with job(snakemake):
        main(plan=snakemake.input.plan, out=snakemake.output[0])

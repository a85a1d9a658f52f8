# mypy: disable-error-code="name-defined"
"""Build all lower resolutions of the exported volumes.

Inputs
    ``export/plan.json``; ``export/slabs/{chunk}.json`` of all chunks (level 0 is complete)
Outputs
    ``export/pyramid.json``: records of the tasks of level 1, 2 … (as in export/slabs, and what each
    was made of). When it is there already (a preview, which grows), only what changed is made.
    Side effect: the blocks, in every target.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from scripts.export import pyramid, slabs
from scripts.lib import files
from scripts.lib.job import job

log = logging.getLogger(__name__)


def main(*, plan: str, slab_records: Sequence[str], out: str) -> None:
    """Build level after level."""
    what = slabs.Plan.from_json(files.read_json(plan))
    known = files.read_json(out)["levels"] if Path(out).exists() else []
    levels = [[row for path in slab_records for row in files.read_json(path)["tasks"]]]
    for level in range(1, what.spec.levels):
        earlier = known[level - 1] if level <= len(known) else ()
        levels.append(list(pyramid.build(what, level, levels[-1], earlier)))
        fresh = len(levels[-1]) - sum(row in earlier for row in levels[-1])
        log.info("level %d: %d tasks, %d of them made now", level, len(levels[-1]), fresh)
    files.write_json(out, {"levels": levels[1:]})


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            slab_records=snakemake.input.slabs,
            out=snakemake.output[0],
        )

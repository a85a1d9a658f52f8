# mypy: disable-error-code="name-defined"
"""Build what the slabs left of the lower resolutions of the exported volumes.

Inputs
    ``export/plan.json``; ``export/slabs/{chunk}.json`` of all chunks (level 0 is complete, and of
    the next levels what lies within single slabs)
Outputs
    ``export/pyramid.json``: records of the tasks of level 1, 2 … that were made here (as in
    export/slabs, and what each was made of). When it is there already (a preview, which grows),
    only what changed is made.
    With review levels also ``review``, the same of the pyramid that keeps every layer.
    Side effect: the blocks, in every target. Of a preview also ``preview/pyramid.made.json``, the
    digest of the former, which is gone while the former is not up to date.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.export import promotion, pyramid, slabs, storing
from scripts.lib import files
from scripts.lib.job import job

Row = dict[str, Any]

log = logging.getLogger(__name__)


def main(*, plan: str, slab_records: Sequence[str], out: str, made: str | None = None) -> None:
    """Build level after level."""
    what = slabs.Plan.from_json(files.read_json(plan))
    promotion.refuse_promoted(what)
    records = [files.read_json(path) for path in slab_records]
    known = files.read_json(out) if Path(out).exists() else {}
    with storing.told():
        built = {
            kind: _levels(each, kind, records, known.get(kind, []))
            for kind, each in what.kinds.items()
        }
    storing.flush(what)
    files.write_json(out, built)
    if made is not None:
        files.write_json(made, {"digest": files.digest_of_file(out)})


def _levels(
    plan: slabs.Plan, kind: str, records: Sequence[Row], known: Sequence[Sequence[Row]]
) -> list[list[Row]]:
    """Build level after level of one pyramid; gives the records of what was made here."""
    levels: list[list[Row]] = []
    below = pyramid.made(plan, 0, records)
    for level in range(1, plan.spec.levels):
        earlier = known[level - 1] if level <= len(known) else ()
        there = pyramid.made(plan, level, records, kind)
        levels.append(list(pyramid.build(plan, level, below, there, earlier)))
        below = [*there, *levels[-1]]
        fresh = len(levels[-1]) - sum(row in earlier for row in levels[-1])
        log.info(
            "%s: level %d: %d tasks by the slabs, %d here, %d of them made now",
            kind,
            level,
            len(there),
            len(levels[-1]),
            fresh,
        )
    return levels


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            slab_records=snakemake.input.slabs,
            out=snakemake.output[0],
            made=snakemake.output.get("made"),
        )

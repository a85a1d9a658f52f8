"""Stop before the solve when the match graph is not fit for it.

Inputs
    ``review/clusters.json``, ``review/tiles.tsv``, ``review/edges.tsv``, ``review/patches.tsv``,
    ``review/proposals.yaml``, ``match/summary.tsv``, ``ingest/layers.tsv`` and the receipt of the
    match collection;
    ``review/index.html`` is one too, so that there is something to look at when the gate does not
    open

Output
    ``review/gate.json``: each check with what was found and expected. A failing gate writes nothing
    and says why, which tiles, where all of them are listed, and the lines to add to the config.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib.files import write_json
from scripts.lib.job import UserError, job
from scripts.review import gate, remedies
from scripts.review.evidence import Evidence, Limits

log = logging.getLogger(__name__)


def main(
    *,
    inputs: Mapping[str, str],
    out: str | Path,
    limits: Mapping[str, Any],
    given: Mapping[str, Any],
    preset: str,
) -> None:
    """Check, and write the gate file when all checks pass."""
    found, most = Evidence.read(inputs, preset), Limits(**limits)
    checks = gate.checks(found, most)
    for check in checks:
        log.info("%s: %s (expected %s): %s", check.name, check.found, check.expected, check.status)
        if check.status == "warning":
            log.warning("%s", check.message)
    failed = remedies.failure(checks, found, most, given)
    if failed is not None:
        raise UserError("\n".join(failed))
    write_json(out, {"status": "passed", "checks": [check.to_json() for check in checks]})


if __name__ == "__main__":
    with job(snakemake):
        main(
            inputs=dict(snakemake.input.items()),
            out=snakemake.output[0],
            limits=snakemake.params.limits,
            given=snakemake.params.given,
            preset=snakemake.params.preset,
        )

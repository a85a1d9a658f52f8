# mypy: disable-error-code="name-defined"
"""Stop before the solve when the match graph is not fit for it.

Inputs
    ``review/clusters.json``, ``review/tiles.tsv``, ``review/edges.tsv``, ``review/proposals.yaml``
    and the receipt of the match collection

Output
    ``review/gate.json``: each check with what was found and expected. A failing gate writes nothing
    and says which tiles, where all of them are listed, and the lines to add to the config.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib.files import read_json, read_table, write_json
from scripts.lib.job import UserError, job
from scripts.lib.receipts import CollectionReceipt
from scripts.review import gate

log = logging.getLogger(__name__)
LIMITS = tuple(gate.Limits.__dataclass_fields__)


def checks_of(
    found: Mapping[str, Any],
    tiles: list[dict[str, str]],
    gaps: list[dict[str, str]],
    *,
    planned: int,
    yaml: str,
    limits: gate.Limits,
) -> list[gate.Check]:
    """Give all checks on what the review found."""
    return [
        gate.check_attempted(found["pairs_attempted"], planned),
        *gate.check_connected(tiles, len(found["after"]["clusters"]), yaml),
        gate.check_auto(tiles, limits),
        gate.check_edges(gaps, limits),
        *gate.check_shares(found["saved"], limits),
    ]


def main(*, inputs: Mapping[str, str], out: str | Path, params: Mapping[str, Any]) -> None:
    """Check, and write the gate file when all checks pass."""
    checks = checks_of(
        read_json(inputs["clusters"]),
        read_table(inputs["tiles"]),
        read_table(inputs["edges"]),
        planned=CollectionReceipt.read(inputs["matches"]).pairs_planned,
        yaml=Path(inputs["proposals"]).read_text(),
        limits=gate.Limits(**{name: params[name] for name in LIMITS}),
    )
    for check in checks:
        log.info("%s: %s (expected %s): %s", check.name, check.found, check.expected, check.status)
        if check.status == "warning":
            log.warning("%s", check.message)
    message = gate.failure(checks)
    if message is not None:
        raise UserError(message)
    write_json(out, {"status": "passed", "checks": [check.to_json() for check in checks]})


if __name__ == "__main__":
    with job(snakemake):
        main(
            inputs=dict(snakemake.input.items()),
            out=snakemake.output[0],
            params=snakemake.params.review,
        )

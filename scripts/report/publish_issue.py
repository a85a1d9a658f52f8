"""Write the text of a volume into its tracking issue, or show what would change.

Inputs
    ``report/issue.md`` and ``report/summary.json``; the issue as it is.
Outputs
    ``report/published.json``: where, whether it was written, and the difference;
    ``report/published.txt`` the same for a person. Without ``tracking.publish`` nothing is written
    there.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.job import job
from scripts.report import issue, published

log = logging.getLogger(__name__)


def main(
    *,
    text: str,
    summary: str,
    outputs: Mapping[str, str],
    tracking: Mapping[str, Any],
    volume: str,
    imaging: bool,
) -> None:
    """Compare, and write where that is asked for."""
    place = published.Place.of(tracking)
    steps = issue.workflow(files.read_json(summary), Path(), imaging=imaging)
    part = issue.with_workflow(Path(text).read_text(encoding="utf-8"), steps)
    before = published.fetch(place)
    after = published.merged(before, part, volume)
    difference = published.difference(before, after)
    if tracking["publish"] and difference:
        published.write(place, after)
    state = published.state(difference, publish=tracking["publish"])
    log.info("%s: %s", place.url, state)
    record = {"issue": place.url, "state": state, "difference": difference}
    files.write_json(outputs["record"], record)
    files.write_text(outputs["shown"], f"{difference}\n{place.url}: {state}\n".lstrip())


if __name__ == "__main__":
    with job(snakemake):
        main(
            text=snakemake.input.text,
            summary=snakemake.input.summary,
            outputs=dict(snakemake.output.items()),
            tracking=snakemake.params.tracking,
            volume=snakemake.params.volume,
            imaging=snakemake.params.imaging,
        )

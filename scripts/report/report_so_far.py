"""Report how far a run has come: what is done, what stopped it, what is still to do.

Inputs
    none: whatever receipts, tables and logs are in the working directory now

Outputs
    ``report/so_far.html``, as the report of a finished run, with what stopped it first
    ``report/so_far.json``  all figures, as ``report/summary.json``, and the errors
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.report import gather, page, places, progress, whole


def main(
    *,
    outputs: Mapping[str, str],
    render: Mapping[str, str],
    names: Mapping[str, Any],
    limits: Mapping[str, Any],
    truth_path: str | None,
    dat_root: str,
    asked: Mapping[str, Any],
) -> None:
    """Read what is there, and write the two files."""
    evidence = gather.gather(
        Path(),
        results=sorted(Path().glob("match/results/*/*.tsv.gz")),
        corrections=[f"correct/{step}.json" for step, _, _ in names["corrections"]],
        stacks=sorted(Path().glob("stacks/*.json")),
        truth_path=places.truth_file(truth_path, dat_root),
        asked=asked,
    )
    stopped = progress.stops()
    done = progress.chunks_done(Path(), len(evidence["chunks"]), names["runs"])
    service = RenderClient(render["owner"], render["project"])
    first = page.how_far(evidence, stopped, done)
    made = whole.report(evidence, service, names=names, limits=limits, first=first, so_far=True)
    errors = [{"rule": s.rule, "message": s.message, "log": s.log} for s in stopped]
    files.write_json(outputs["summary"], {**made.figures, "stopped": errors})
    files.write_text(outputs["page"], made.page)


if __name__ == "__main__":
    with job(snakemake):
        main(
            outputs=dict(snakemake.output.items()),
            render=snakemake.params.render,
            names=snakemake.params.names,
            limits=snakemake.params.limits,
            truth_path=snakemake.params.truth,
            dat_root=snakemake.params.dat_root,
            asked=snakemake.params.asked,
        )

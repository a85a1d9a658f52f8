"""Make the report of a run: what happened, is it good, where to look next.

Inputs
    every receipt and table of the stages, in the working directory; the stacks (for pictures);
    Snakemake's benchmark files; a ``truth.json`` when the acquisition is a simulated one.
Outputs
    ``report/index.html``  one page, works without a network
    ``report/section.png``  the same section before and after
    ``report/summary.json``  all figures, units in the names
    ``report/issue.md``  text for the tracking issue
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.report import gather, issue, page, places, waves, whole


def main(
    *,
    results: Sequence[str],
    receipts: Sequence[str],
    corrections: Sequence[str],
    outputs: Mapping[str, str],
    render: Mapping[str, str],
    names: Mapping[str, Any],
    limits: Mapping[str, Any],
    truth_path: str | None,
    dat_root: str,
    asked: Mapping[str, Any],
) -> None:
    """Read everything, draw, write the three files."""
    evidence = gather.gather(
        Path(),
        results=results,
        corrections=corrections,
        stacks=receipts,
        truth_path=places.truth_file(truth_path, dat_root),
        asked=asked,
    )
    service = RenderClient(render["owner"], render["project"])
    told = waves.noted(Path(), evidence, names["final"])
    wave = waves.sentence(told, imaging=names.get("imaging", False))
    made = whole.report(evidence, service, names=names, limits=limits, wave=wave)
    rows, facts = page.cards(made.figures), places.facts(evidence, render, names)
    files.write_json(outputs["summary"], made.figures)
    files.write_text(outputs["issue"], issue.issue(made.figures, rows, made.findings, facts))
    files.write_bytes(outputs["picture"], made.section)
    files.write_text(outputs["page"], made.page)


if __name__ == "__main__":
    with job(snakemake):
        main(
            results=snakemake.input.results,
            receipts=snakemake.input.receipts,
            corrections=snakemake.input.corrections,
            outputs=dict(snakemake.output.items()),
            render=snakemake.params.render,
            names=snakemake.params.names,
            limits=snakemake.params.limits,
            truth_path=snakemake.params.truth,
            dat_root=snakemake.params.dat_root,
            asked=snakemake.params.asked,
        )

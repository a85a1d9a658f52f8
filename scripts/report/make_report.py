"""Make the report of a run: what happened, is it good, where to look next.

Inputs
    every receipt and table of the stages, in the working directory; the stacks (for pictures);
    Snakemake's benchmark files; a ``truth.json`` when the acquisition is a simulated one.
Outputs
    ``report/index.html``  one page, works without a network
    ``report/summary.json``  all figures, units in the names
    ``report/issue.md``  text for the tracking issue
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.report import album, findings, gather, issue, meeting, page, places, plots, summary
from scripts.report.judged import Rules


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
) -> None:
    """Read everything, draw, write the three files."""
    evidence = gather.gather(
        Path(),
        results=results,
        corrections=corrections,
        stacks=receipts,
        truth_path=places.truth_file(truth_path, dat_root),
    )
    figures = summary.summarise(evidence, volume=names["volume"])
    found = findings.findings(evidence, figures, Rules.of(limits, names))
    figures = summary.judge(figures, found)
    holes = [hole["z"] for hole in figures["ingest"].get("holes", [])]
    service = RenderClient(render["owner"], render["project"])
    drawn = album.draw(
        service,
        places.album_names(names),
        holes=holes,
        volume=places.level(evidence),
    )
    met = meeting.draw(service, names["align"], meeting.places(evidence))
    plotted = plots.all_plots(evidence)
    shown = album.of_stages(evidence.documents, drawn, met)
    where = places.where(evidence, Path.cwd())
    text = page.page(figures, findings=found, album=shown, plots=plotted, where=where)
    facts = places.facts(evidence, render, names)
    files.write_json(outputs["summary"], figures)
    files.write_text(outputs["issue"], issue.issue(figures, page.cards(figures), found, facts))
    files.write_text(outputs["page"], text)


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
        )

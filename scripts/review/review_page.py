"""Make the page of the review: proposals with pictures, plots over the layers, tables.

Inputs
    the tables of the review, ``match/results/{run}/{chunk}.tsv.gz``, ``match/summary.tsv``,
    ``ingest/restarts.tsv``, stack ``v1_acquire`` (its receipt) and its images, the match collection

Outputs
    ``review/index.html``     one page, works without a network, also when the gate does not open
    ``review/pictures.json``  the pictures of the proposals, for the report
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.lib.files import read_json, read_table, write_json, write_text
from scripts.lib.job import job
from scripts.lib.pages.pictures import Shown
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.review import page, patches, plots, remedies, statistics
from scripts.review.evidence import Evidence, Limits
from scripts.review.gate import checks
from scripts.review.survey import read_pixels

log = logging.getLogger(__name__)


def pairs_shown(
    client: RenderClient, collection: str, pairs: statistics.Pairs, tiles: Mapping[str, Any]
) -> list[Shown]:
    """Return the pictures of the worst pairs.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    pairs
        Columns of all attempted pairs.
    tiles
        Tile specs by tile id.

    Returns
    -------
    list of Shown
        Two tiles with their matches each.
    """
    out = []
    for i in page.worst(pairs):
        found = client.matches_between(collection, pairs["p_group"][i], pairs["q_group"][i])
        mine = [m for m in found if (m.p_id, m.q_id) == (pairs["p_id"][i], pairs["q_id"][i])]
        out += [page.pair_picture(pairs, i, one, tiles, read_pixels) for one in mine]
    return out


def closed(
    inputs: Mapping[str, Any], *, limits: Mapping[str, Any], given: Mapping[str, Any], preset: str
) -> tuple[str, str] | None:
    """Return what the gate is about to say when it does not open: message, and lines to add.

    Parameters
    ----------
    inputs
        Paths of the inputs of the gate, by name.
    limits
        Limits of the gate.
    given
        Decisions of the config.
    preset
        Name of the stage table.

    Returns
    -------
    tuple of str or None
        None when the gate opens.
    """
    found, most = Evidence.read(inputs, preset), Limits(**limits)
    return remedies.failure(checks(found, most), found, most, given)


def main(
    *,
    inputs: Mapping[str, Any],
    out: Mapping[str, str],
    render: dict[str, Any],
    volume: str,
    collection: str,
    gate: Mapping[str, Any],
) -> None:
    """Write the page and the pictures."""
    client = RenderClient(**render)
    acquired = client.tiles(StackReceipt.read(inputs["acquire"]).stack).tiles
    at, pairs = patches.places(acquired), statistics.read(inputs["results"])
    tiles, figures = read_table(inputs["tiles"]), read_json(inputs["clusters"])
    proposals = Path(inputs["proposals"]).read_text()
    proposed = [
        *page.patch_strips(read_table(inputs["patches"]), at, read_pixels),
        *page.trim_strips(yaml.safe_load(proposals).get("exclude", []), tiles, at, read_pixels),
    ]
    worst = pairs_shown(client, collection, pairs, {t.tile_id: t for t in acquired})
    restarts = [float(row["z"]) for row in read_table(inputs["restarts"])]
    rows = page.tables(
        figures, tiles, read_table(inputs["edges"]), read_table(inputs["statistics"])
    )
    write_json(out["pictures"], [one.to_json() for one in proposed])
    text = page.page(
        volume=volume, figures=figures, tables=rows, proposals=proposals,
        sections=[("Proposals", proposed), ("Pairs with the fewest matches", worst)],
        plots=plots.all_plots(pairs, restarts), closed=closed(inputs, **gate),
    )  # fmt: skip
    write_text(out["page"], text)
    log.info("%d proposals with pictures, %.2f MB", len(proposed), len(text) / 1e6)


if __name__ == "__main__":
    with job(snakemake):
        main(
            inputs=dict(snakemake.input.items()),
            out=dict(snakemake.output.items()),
            render=snakemake.params.render,
            volume=snakemake.params.volume,
            collection=snakemake.params.collection,
            gate=snakemake.params.gate,
        )

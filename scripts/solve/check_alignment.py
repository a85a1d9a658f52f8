"""The gate between the alignment and all that is drawn from it: stop where tiles do not meet.

Input
    ``solve/misalignment.json``

Output
    ``solve/gate.json``: the state, what was accepted and why

A place beyond ``solve.misalignment.stop_px`` ends the run with its tiles and the lines to add,
unless an entry of ``solve.misalignment.accept`` covers its layers and says why.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import commands
from scripts.lib.documents import Misalignment, Misplaced
from scripts.lib.files import read_json, write_json
from scripts.lib.job import UserError, job
from scripts.solve.misalignment_summary import sentence

log = logging.getLogger(__name__)
MOST = 5  # places named in the message


def refused(
    findings: Sequence[Misplaced], accept: Sequence[Mapping[str, Any]], stop_px: float
) -> list[Misplaced]:
    """Return the findings beyond `stop_px` whose layers no entry of `accept` covers.

    Parameters
    ----------
    findings
        Of the summary.
    accept
        Entries ``{z: [first, last], reason}``.
    stop_px
        Shift from which on a place is wrong, px.

    Returns
    -------
    list of dict
        Worst first, as given.
    """
    ranges = [entry["z"] for entry in accept]
    return [
        one
        for one in findings
        if one["px"] is not None
        and one["px"] > stop_px
        and not any(low <= one["z_first"] and one["z_last"] <= high for low, high in ranges)
    ]


def message(wrong: Sequence[Misplaced], stop_px: float) -> str:
    """Return what a person has to read: the worst places and what to do about them.

    Parameters
    ----------
    wrong
        Findings that stop the run, at least one.
    stop_px
        The limit they exceed, px.

    Returns
    -------
    str
        Several lines.
    """
    first = wrong[0]
    lines = [f"the alignment leaves tiles {first['px']:.1f} px beside each other:"]
    lines += [f"  {sentence(one)}" for one in wrong[:MOST]]
    if len(wrong) > MOST:
        lines.append(f"  … and {len(wrong) - MOST} more, in solve/misalignment.json")
    lines += [
        "Look at solve/solve.html: residuals of matches. Pictures of these places are in"
        f" report/so_far.html, made by: {commands.run('report_so_far')}",
        "Tiles that are wrong: name them under review.exclude. Matches that are wrong or too few:"
        " see match.preset.",
        f"The limit is solve.misalignment.stop_px: {stop_px:g}. To export it as it is, add:",
        "solve:",
        "  misalignment:",
        "    accept:",
        *(
            f"      - {{z: [{one['z_first']}, {one['z_last']}], reason: say why}}"
            for one in wrong[:MOST]
        ),
    ]
    return "\n".join(lines)


def main(
    *, summary: str | Path, out: str | Path, stop_px: float, accept: Sequence[Mapping[str, Any]]
) -> None:
    """Stop, or write the gate's record."""
    found: Misalignment = read_json(summary)
    wrong = refused(found["findings"], accept, stop_px)
    if wrong:
        raise UserError(message(wrong, stop_px))
    write_json(out, {"state": found["state"], "accepted": list(accept)})
    log.info("the alignment is %s", found["state"])


if __name__ == "__main__":
    with job(snakemake):
        main(
            summary=snakemake.input[0],
            out=snakemake.output[0],
            stop_px=snakemake.params.stop_px,
            accept=snakemake.params.accept,
        )

"""Stop before the export when too many layers do not fit, and release the corrected z.

Inputs
    ``takeover/Zcoords.txt``, which is released as it is; else
    ``zcorr/qc.json``, ``zcorr/coordinates.txt``, ``zcorr/proposals.yaml``, ``ingest/layers.tsv``,
    ``ingest/missing_layers.tsv``
Outputs
    ``zcorr/gate.json``: what was found and expected; ``zcorr/Zcoords.txt``: the coordinates. A
    failing gate writes nothing and says which layers, and the lines to change in the config.
    While a volume grows layers stay where they were released before, as far as their thickness is
    within its own error of what was inferred now (``zcorr/kept/Zcoords.json``, no declared output)
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import files, growing
from scripts.lib.job import UserError, job
from scripts.zcorr import order, qc, remedies, scaling, zcoords

log = logging.getLogger(__name__)
_RELEASED = Path("zcorr/kept/Zcoords.json")


def main(
    *,
    inputs: Mapping[str, str],
    out: Mapping[str, str],
    gate_problem_pct: float,
    gate_few_layers: int,
    accept_layers: Sequence[int],
    scaled: Sequence[Mapping[str, Any]] = (),
    keep_thickness: float = 0.0,
    made_with: Mapping[str, Any] | None = None,
) -> None:
    """Judge, then release."""
    if "taken" in inputs:
        judged: dict[str, Any] = {"status": "taken over"}
    else:
        judged = _judged(inputs, gate_problem_pct, gate_few_layers, accept_layers)
    text = Path(inputs.get("taken") or inputs["coordinates"]).read_text()
    files.write_json(out["gate"], judged)
    text = scaling.scaled(text, scaled) if scaled else text
    if keep_thickness > 0 and "taken" not in inputs:
        settings = {"zcorr": made_with, "scaled": list(scaled)}
        error = growing.error_of_thickness(files.read_json(inputs["report"]).get("figures", {}))
        text = _held(text, settings, keep_thickness, error)
    files.write_text(out["coordinates"], text)


def _judged(
    inputs: Mapping[str, str], limit_pct: float, few: int, accepted: Sequence[int]
) -> dict[str, Any]:
    """Return what was found; raise when it is too much."""
    report = files.read_json(inputs["report"])
    judged = qc.gate(report, accepted=accepted, limit_pct=limit_pct, few=few)
    log.info("%s", judged)
    if judged["order"]:  # first, for what is out of order correlates badly too
        raise UserError(order.refusal(judged["order"], files.read_table(inputs["layers"])))
    if judged["status"] == "failed":
        proposed = Path(inputs["proposals"]).read_text()
        named = {int(r["z"]): r["layer_id"] for r in files.read_table(inputs["layers"])}
        missing = files.read_table(inputs["missing"]) if "missing" in inputs else []
        named = {z: name for z, name in named.items() if name}
        raise UserError(remedies.refusal(judged, proposed, report["layers"], named, missing))
    return judged


def _held(text: str, made_with: Mapping[str, Any], keep_thickness: float, error: float) -> str:
    """Return what to release: what was found, or what was released before where as good."""
    found = files.read_json(_RELEASED) if _RELEASED.is_file() else {}
    if found.get("made_with") == made_with:  # other settings are meant to change something
        text, kept = zcoords.held(text, found["coordinates"], keep_thickness, error)
        log.info("%d of %d layers keep their z", kept, text.count("\n"))
    files.write_json(_RELEASED, {"coordinates": text, "made_with": made_with})
    return text


if __name__ == "__main__":
    with job(snakemake):
        main(
            inputs=dict(snakemake.input.items()),
            out=dict(snakemake.output.items()),
            gate_problem_pct=snakemake.params.gate_problem_pct,
            gate_few_layers=snakemake.params.gate_few_layers,
            accept_layers=snakemake.params.accept_layers,
            scaled=snakemake.params.get("scaled", ()),
            keep_thickness=snakemake.params.get("keep_thickness", 0),
            made_with=snakemake.params.get("made_with"),
        )

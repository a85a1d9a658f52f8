"""What the gate of the thickness says: which layers, why, and the lines to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from scripts.zcorr import layer_lines
from scripts.zcorr.qc import gaps

_MOST_NAMED = 20  # layers
_MOST_GAPS = 5
Row = Mapping[str, Any]


def refusal(
    judged: Row,
    proposed: str,
    layers: Sequence[Row] = (),
    names: Mapping[int, str] | None = None,
    missing: Sequence[Mapping[str, str]] = (),
) -> str:
    """Say why the gate fails: the layers, known gaps among them, and the lines to change.

    Parameters
    ----------
    judged
        Of `qc.gate`.
    proposed
        Entries of ``review.exclude`` as YAML; there may be none.
    layers
        Rows of `qc.rows`.
    names
        Layer id by z.
    missing
        Rows of ``ingest/missing_layers.tsv``.

    Returns
    -------
    str
        Message for a person.
    """
    z = judged["layers"]
    accepted = ", ".join(str(v) for v in z)
    fine = "".join(f"\n- {line}" for line in _known(layers, missing))
    if fine:
        fine = f"\nNot counted, since the layers on both sides are as good as others:{fine}"
    lines = layer_lines.of(layers, names or {}, missing)
    if lines:
        lines = (
            "\n\nTo count z anew, with a place for what is missing (all after ingest is made again)"
            f"\n\n{lines}"
        )
    return (
        f"{len(z)} layers ({judged['found_pct']:.1f} %) correlate badly with the next, expected at"
        f" most {judged['expected_pct']:g} %: z {_shown(z)}. Look at zcorr/thickness.html and, tile"
        f" by tile, at the end of review/index.html.{fine}{lines}\n{_choice(proposed)}accept them"
        f" as they are\n\nzcorr:\n  accept_layers: [{accepted}]\n\nor raise"
        " zcorr.gate_problem_pct."
    )


def _shown(z: Sequence[int]) -> str:
    more = len(z) - _MOST_NAMED
    return ", ".join(map(str, z[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")


def _choice(proposed: str) -> str:
    """Return the lines that take tiles out, or why there are none, up to the other choice."""
    entries = (yaml.safe_load(proposed) or {}).get("exclude") if proposed else None
    if not entries:
        return (
            "No tile is proposed to be left out: each of these layers fits one neighbour, or they"
            " are most of all. So either mend what jumps there, or "
        )
    pasted = "".join(f"  {line}\n" for line in proposed.splitlines())
    return f"Then either take tiles out of the solve\n\nreview:\n{pasted}\nor "


def _known(layers: Sequence[Row], missing: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Say what is missing across the known gaps."""
    told = {int(row["z"]): row for row in missing}
    found = gaps(layers)
    for i, k in found[:_MOST_GAPS]:
        low, high = layers[i], layers[k]
        if row := told.get(high["z"]):
            what = f"{row['layers']} layer(s) without any file: {row['evidence']}"
        else:
            what = "a slice was lost (milled, not imaged), as the images say"
        wide = (
            "" if high["delta_z"] is None else f"; {high['delta_z']:.2f} layers in the z made now"
        )
        yield f"z {low['z']} to {high['z']}: {what}{wide}"
    if len(found) > _MOST_GAPS:
        yield f"and {len(found) - _MOST_GAPS} more, in zcorr/thickness.html"

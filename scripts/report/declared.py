"""Declared: what a person wrote into the config, held against what the files and layers say.

What is declared is answered: named as a note, and no reason to look once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripts.lib.verdicts import GOOD
from scripts.report import summary
from scripts.report.finding import Finding, spans
from scripts.report.gather import Evidence

AUTO = "auto:"  # begins the reason of what the workflow decided by itself
NO_IMAGE = "no image"
RELATIVE = "of its surroundings"  # ends a problem that an absolute limit does not name
FILLED = "interpolate"
PIXEL = "PixelSize"


def header_pixel_nm(evidence: Evidence) -> float | None:
    """Return the pixel size that the headers say.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    float or None
        The median over the tiles, nm; None where no header says it.
    """
    document = evidence.documents["metadata"]
    if not isinstance(document, Mapping):
        return None
    found = [one["median"] for one in document.get("varying", ()) if one["field"] == PIXEL]
    for one in document.get("constants", ()):
        found += one["values"] if one["field"] == PIXEL else []
    return float(found[0]) if found else None


def _gaps(evidence: Evidence) -> set[int]:
    """Return the gaps of the table of layers."""
    layers = evidence["layers"]
    return set(layers["z"][layers["status"] == "gap"].tolist())


def gap_layers(evidence: Evidence) -> set[int]:
    """Return z without an image, each of which has a finding of its own.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    set of int
        Gaps of the table of layers, and layers whose tiles were all excluded by a person.
    """
    review, out = evidence["review"], _gaps(evidence)
    by_hand: dict[int, bool] = {}
    for row in review.rows():
        decided = row["state"] == "excluded" and not row["reason"].startswith(AUTO)
        by_hand[row["z"]] = by_hand.get(row["z"], True) and decided
    return out | {z for z, all_of_them in by_hand.items() if all_of_them}


def turned(evidence: Evidence, ranges: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the layers after which the contrast is said to turn.

    Parameters
    ----------
    evidence
        What the run left.
    ranges
        ``transfer.keep_contrast``: first and last ``.dat``, either may be absent.

    Returns
    -------
    set of int
        The last z before each end of a range.
    """
    layers = evidence["layers"]
    known = [(z, name) for z, name in zip(layers["z"], layers["layer_id"], strict=True) if name]
    out = set()
    for one in ranges:
        first, last = one.get("first_dat"), one.get("last_dat")
        before = [z for z, name in known if first and name < _layer(first)]
        inside = [z for z, name in known if last and name <= _layer(last)]
        out |= {max(some) for some in (before, inside) if some}
    return out


def _layer(dat: str) -> str:
    """Return the layer id that the name of a file or of a layer begins with."""
    return "_".join(dat.removesuffix(".dat").split("_")[:3])


def filled(evidence: Evidence, fill_gaps: str | None) -> Iterator[Finding]:
    """Tell what the exported volume shows where layers have no tile.

    Parameters
    ----------
    evidence
        What the run left.
    fill_gaps
        ``export.fill_gaps``.

    Yields
    ------
    Finding
        A note.
    """
    empty = filled_layers(evidence)
    if not empty or evidence.documents["volume"] is None or fill_gaps is None:
        return
    there = sorted(set(evidence["solved"]["z"].tolist()))
    if fill_gaps == FILLED:
        used = {max(z for z in there if z < one) for one in empty}
        used |= {min(z for z in there if z > one) for one in empty}
        what = f"{len(empty)} layer(s) without an image are filled from z {spans(used)}"
        advice = (
            "no voxel of them was imaged (attribute filledLayers of the volumes says so);"
            " export.fill_gaps: leave shows nothing there"
        )
    else:
        what, advice = f"{len(empty)} layer(s) without an image are empty", "as export.fill_gaps"
    yield Finding("export", f"{what} in the volume", f"z {spans(empty)}", advice, GOOD)


def filled_layers(evidence: Evidence) -> list[int]:
    """Return the layers between others that have no placed tile.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    list of int
        z, ascending; none before the solve.
    """
    there = set(evidence["solved"]["z"].tolist())
    known = set(evidence["layers"]["z"].tolist())
    return sorted(z for z in known - there if there and min(there) < z < max(there))


def excluded_layers(evidence: Evidence) -> Iterator[Finding]:
    """Name the layers that a person left out as a whole.

    Parameters
    ----------
    evidence
        What the run left.

    Yields
    ------
    Finding
        A note.
    """
    out = gap_layers(evidence) - _gaps(evidence)
    out &= {row["z"] for row in summary.qc_layers(evidence) or [] if row.get("problem") == NO_IMAGE}
    if out:
        what = f"{len(out)} layer(s) have no image, as review.exclude says"
        yield Finding("review", what, f"z {spans(out)}", "nothing to do", GOOD)

"""Layers in the wrong order, and layers that show the same image, by how alike their pixels are.

Along z tissue changes, so a layer is more like the next one than like the one after that. Where
layer z is more like z + 2 than like z + 1 although z + 1 and z + 2 are alike, those two are in the
wrong order (the principle by which Hanslovsky, Bogovic, Saalfeld 2017,
doi:10.1093/bioinformatics/btw794, sort layers). Where they are not alike, z + 1 is damaged or of
another place. Two exposures of one face differ by the noise of each; pixels without any such
difference are one image twice.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scripts.lib.documents import Misplaced, Place

_CLOSER = 0.5  # share of what other layers of the cell differ by, that one image twice may have

Row = Mapping[str, str]


@dataclass(frozen=True)
class Limits:
    """When layers are out of order, or the same: ``solve.misalignment`` of the config."""

    order_sd: float  # standard errors
    order_share: float  # of what tissue loses from one layer to two
    repeated_correlation: float


@dataclass(frozen=True)
class _Seen:
    """How alike a layer is to the next (`near`) and to the one after it (`far`), -1 to 1."""

    row: Row
    near: float
    far: float
    gain: float  # mean of far - near over the same windows
    error: float  # standard error of that


def findings(rows: Sequence[Row], limits: Limits) -> list[Misplaced]:
    """Return the layers that are out of order, fit between no others, or are shown twice.

    Parameters
    ----------
    rows
        Rows of `misalignment.COLUMNS`, as texts.
    limits
        When.

    Returns
    -------
    list of dict
        ``kind`` (``order``, ``odd`` or ``repeat``), ``z_first``, ``z_last``, ``cells``, ``worst``
        as of the other findings, and ``value``, a correlation or a difference of two. In order
        of z.
    """
    by_cell: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row["kind"] == "step" and row["p_cell"] == row["q_cell"]:
            by_cell.setdefault(row["p_cell"], {})[int(row["z"])] = row
    found = [
        one for own in by_cell.values() for one in (*_repeats(own, limits), *_order(own, limits))
    ]
    return _joined(found)


def sentence(finding: Misplaced) -> str:
    """Say a finding in one sentence.

    Parameters
    ----------
    finding
        Of `findings`.

    Returns
    -------
    str
        What is wrong and in which layers.
    """
    worst, cells = finding["worst"], ", ".join(finding["cells"][:4])
    if finding["kind"] == "odd":
        return (
            f"z {finding['z_first']}: does not fit between its neighbours, which are more alike by"
            f" {finding['value']:.3f} of correlation than {worst['p_id']} and {worst['q_id']}:"
            f" it is damaged, or of another place (cells {cells})"
        )
    z = f"z {finding['z_first']} to {finding['z_last']}"
    if finding["kind"] == "repeat":
        return (
            f"{z}: the same image twice, {worst['p_id']} and {worst['q_id']} correlate by"
            f" {finding['value']:.3f} (cells {cells})"
        )
    return (
        f"{z}: layers seem to be in the wrong order, the one beyond the next is more alike by"
        f" {finding['value']:.3f} of correlation (cells {cells})"
    )


def _repeats(own: Mapping[int, Row], limits: Limits) -> Iterator[Misplaced]:
    alike_of = {z: float(row["alike"]) for z, row in own.items()}
    known = [value for value in alike_of.values() if math.isfinite(value)]
    # a specimen that hardly changes from layer to layer is no repetition of one
    least = 1 - _CLOSER * (1 - statistics.median(known)) if len(known) > 2 else -1.0
    for z, row in own.items():
        alike = alike_of[z]
        if alike >= max(limits.repeated_correlation, least):
            yield _finding("repeat", z, int(row["other_z"]), alike, row)


def _order(own: Mapping[int, Row], limits: Limits) -> Iterator[Misplaced]:
    """Test the layers of a cell, each with the two that follow it."""
    seen = {z: one for z, row in own.items() if (one := _seen(row)) is not None}
    gains = [one.gain for one in seen.values() if math.isfinite(one.gain)]
    if not gains:
        return
    least = limits.order_share * max(-statistics.median(gains), 0.0)

    def sure(gain: float, error: float) -> bool:  # of a single window the error is not known
        return math.isfinite(error) and gain > max(least, limits.order_sd * error)

    for z, one in seen.items():
        first = int(one.row["other_z"])
        middle = seen.get(first)
        if middle is None:
            if sure(one.gain, one.error):
                yield _finding("odd", first, first, one.gain, one.row)
            continue
        # what z and `second` have in common beyond what `first` has with each of them
        below, above = one.gain, one.far - middle.near
        error = math.hypot(one.error, middle.error)
        both = sure(below, one.error), sure(above, error)
        if both == (True, False):
            yield _finding("order", first, int(middle.row["other_z"]), below, one.row)
        elif both == (False, True):
            yield _finding("order", z, first, above, one.row)
        elif min(below, above) > 0 and sure((below + above) / 2, error / 2):
            yield _finding("odd", first, first, (below + above) / 2, one.row)


def _seen(row: Row) -> _Seen | None:
    """Read a row; None where it was not measured at full resolution."""
    if float(row["scale"]) != 1.0 or not math.isfinite(float(row["alike"])):
        return None
    names = ("alike", "alike_after", "alike_gain", "alike_gain_error")
    return _Seen(row, *(float(row[name]) for name in names))


def place(row: Row) -> Place:
    """Return the place of a row.

    Parameters
    ----------
    row
        Of `misalignment.COLUMNS`.

    Returns
    -------
    Place
        Layers, tiles, world px.
    """
    return {
        "z": row["z"],
        "other_z": row["other_z"],
        "p_id": row["p_id"],
        "q_id": row["q_id"],
        "x": row["x"],
        "y": row["y"],
    }


def _finding(kind: str, first: int, last: int, value: float, row: Row) -> Misplaced:
    return {
        "kind": kind,
        "z_first": first,
        "z_last": last,
        "cells": [f"{row['p_cell']}/{row['q_cell']}"],
        "places": 1,
        "px": None,
        "error_px": None,
        "value": value,
        "worst": place(row),
    }


def _joined(found: Sequence[Misplaced]) -> list[Misplaced]:
    """Join the findings of different cells, and of both tests, in the same layers."""
    out: dict[tuple[str, int, int], Misplaced] = {}
    for one in sorted(found, key=lambda each: (each["z_first"], -each["value"])):
        key = one["kind"], one["z_first"], one["z_last"]
        first = out.setdefault(key, one)
        first["cells"] = sorted({*first["cells"], *one["cells"]})
        first["places"] = len(first["cells"])
    return list(out.values())

"""Matches made by hand: entries of ``match.by_hand`` with the landmarks that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib import landmarks
from scripts.lib.job import UserError
from scripts.lib.service.records import CanvasMatches, TileSet
from scripts.match.decisions import ByHand, Tiles
from scripts.match.frames import Frame


def read(
    entries: Sequence[Mapping[str, Any]], tiles: TileSet, known: Tiles, dz_exponent: float
) -> list[ByHand]:
    """Read what all entries name.

    The solve discounts a pair by its distance in z, since nearer ones say better what it says. A
    pair made by hand is there because no nearer one is: so its weights make up for the discount.

    Parameters
    ----------
    entries
        ``match.by_hand``, paths absolute.
    tiles
        Of the acquired stack.
    known
        The same tiles by id.
    dz_exponent
        ``solve.dz_exponent``: a pair dz layers apart weighs dz to minus this power there.

    Returns
    -------
    list of ByHand
        In the order of the entries.

    Raises
    ------
    UserError
        When a tile or file does not exist, a file holds no landmarks, or they lie outside of the
        pictures, or two entries are of one pair.
    """
    out: dict[tuple[str, ...], ByHand] = {}
    for number, entry in enumerate(entries):
        where = f"match.by_hand[{number}]"
        one = _read(where, entry, tiles, known, dz_exponent)
        if one.matches.key in out:
            raise UserError(
                f"{where}: expected one entry for each pair, found another of {entry['moving']} and"
                f" {entry['fixed']} before it"
            )
        out[one.matches.key] = one
    return list(out.values())


def _read(
    where: str, entry: Mapping[str, Any], tiles: TileSet, known: Tiles, dz_exponent: float
) -> ByHand:
    ends = [known.get(entry[side], f"{where}.{side}") for side in ("moving", "fixed")]
    if ends[0] is ends[1]:
        raise UserError(f"{where}: moving and fixed are one tile, {entry['fixed']}, expected two")
    path = Path(entry["landmarks"])
    places = landmarks.of_file(path, f"{where}.landmarks: {path.name}")
    full = []
    for side, tile, xy in zip(("moving", "fixed"), ends, places, strict=True):
        frame = Frame.of(tiles, tile, entry["scale"])
        if not frame.holds(xy):
            x, y = xy.max(axis=0)
            raise UserError(
                f"{where}: {path.name} has landmarks up to x {x:g}, y {y:g} px in the {side}"
                f" picture, expected inside of {frame.width * frame.scale:.0f} x"
                f" {frame.height * frame.scale:.0f} px: scale {entry['scale']:g} is not that of the"
                " pictures, or moving and fixed are exchanged"
            )
        full.append(frame.to_full(xy))
    p, q = ends
    discount = max(1.0, abs(p.z - q.z)) ** -dz_exponent
    weights = np.full(len(full[0]), entry["weight"] / discount)
    found = CanvasMatches(
        p.section_id, p.tile_id, q.section_id, q.tile_id, full[0], full[1], weights
    )
    return ByHand(found.ordered(), path.name, entry["reason"])

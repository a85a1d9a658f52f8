"""Lists about sections that were reordered, merged or imaged again.

A section's id is the z of its acquisition as text; 3407.1 is the second image of layer 3407.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from scripts.render_ws.errors import BadRequest
from scripts.render_ws.model import Json


def reordered(sections: Sequence[Json]) -> list[Json]:
    """Return the sections whose whole z is another than that of their id.

    Raises
    ------
    BadRequest
        When an id is no number.
    """
    try:
        return [one for one in sections if int(float(one["sectionId"])) != int(one["z"])]
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            f"reordered sections cannot be told: a section id is no z ({error})"
        ) from error


def merged(sections: Sequence[Json]) -> list[float]:
    """Return the z that have several sections, ascending."""
    counts = Counter(one["z"] for one in sections)
    return sorted(z for z, count in counts.items() if count > 1)


def mergeable(z_values: Sequence[float]) -> list[float]:
    """Return the whole z that have others with a fraction, and these, ascending."""
    found = {z for whole, _, again, _ in _pairs(z_values) for z in (whole, again)}
    return sorted(found)


def mergeable_lines(z_values: Sequence[float]) -> str:
    """Return ``place < place : z < z`` for each z with a fraction beside its whole one."""
    rows = (f"{i} < {j} : {whole} < {again}\n" for whole, i, again, j in _pairs(z_values))
    return "".join(rows)


def _pairs(z_values: Sequence[float]) -> Iterator[tuple[float, int, float, int]]:
    """Return whole z, its place, z with a fraction and its place, from ascending z."""
    last: tuple[float, int] | None = None
    for i, z in enumerate(z_values):
        if z == int(z):
            last = z, i
        elif last is not None and int(last[0]) == int(z):
            yield *last, z, i

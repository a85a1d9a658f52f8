"""Chunks: contiguous ranges of z, the unit of work of all later stages."""

from __future__ import annotations

COLUMNS = ("chunk", "z_first", "z_last")


def plan(z_first: int, z_last: int, layers: int) -> list[dict[str, str | int]]:
    """Cut z_first to z_last (inclusive, with gaps) into chunks of `layers` z; the rest is last.

    Parameters
    ----------
    z_first, z_last
        First and last layer, both included.
    layers
        Layers of a chunk.

    Returns
    -------
    list of dict
        Rows of `COLUMNS`; both limits are included, names count from ``0000``.
    """
    return [
        {"chunk": f"{index:04d}", "z_first": z, "z_last": min(z + layers - 1, z_last)}
        for index, z in enumerate(range(z_first, z_last + 1, layers))
    ]

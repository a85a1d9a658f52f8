"""Polarity: layers whose images are the negative of those before, and the lines that turn them.

A detector whose contrast flips makes every image after it the negative of what it was: nothing
matches across, and dark and bright change places in the volume. Which side is right no image says;
the lines take the layers before the first flip for right, as they are now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripts.lib.job import UserError
from scripts.lib.names import LayerRange, parse_layer
from scripts.lib.sections import flow

NAMED = 4  # layers in one sentence
Entry = Mapping[str, Any]


def require(
    flips: Sequence[float], layer_ids: Mapping[float, str], kept: Sequence[Entry], *, most: int
) -> None:
    """Stop when the contrast flips more often than is allowed.

    Parameters
    ----------
    flips
        z of layers that look like the negative of the layer before, sorted.
    layer_ids
        z -> layer id.
    kept
        The config's ``transfer.keep_contrast``.
    most
        Flips that are let pass.

    Raises
    ------
    UserError
        Names the layers, and the lines to add.
    """
    if len(flips) <= most:
        return
    shown = ", ".join(f"{z:g} ({layer_ids.get(z, '')})" for z in flips[:NAMED])
    more = f" and {len(flips) - NAMED} more" if len(flips) > NAMED else ""
    entries = wanted(flips, layer_ids, kept)
    lines = "".join(f"    - {flow(entry)}\n" for entry in entries) or "    []\n"
    raise UserError(
        f"contrast flips at z {shown}{more}: there most tiles look like the negative of the layer"
        " before, and nothing would match. If membranes are dark before the first of them, this is"
        " how the key should stand; its layers are converted anew, those of other entries too:\n\n"
        f"transfer:\n  keep_contrast:\n{lines}\n"
        "If they are dark after it, name the other layers instead. To go on as it is:\n\n"
        f"review:\n  max_contrast_flips: {len(flips)}\n"
    )


def wanted(
    flips: Sequence[float], layer_ids: Mapping[float, str], kept: Sequence[Entry]
) -> list[dict[str, Any]]:
    """Return ``transfer.keep_contrast`` as it should stand, so that no contrast flips any more.

    Parameters
    ----------
    flips
        z of layers that look like the negative of the layer before, sorted.
    layer_ids
        z -> layer id, of all layers that have an image.
    kept
        The key as it stands.

    Returns
    -------
    list of dict
        Entries, each for a run of layers; ends that are those of the volume are left open.
    """
    order = sorted(layer_ids)
    return [
        _entry(run, layer_ids, order, flips)
        for run in _runs(order, _turned(layer_ids, flips, kept))
    ]


def _turned(
    layer_ids: Mapping[float, str], flips: Sequence[float], kept: Sequence[Entry]
) -> dict[float, bool]:
    """Tell of each layer whether its contrast is to be kept."""
    ranges = [LayerRange.of(entry) for entry in kept]
    return {
        z: any(each.holds(parse_layer(layer_id)) for each in ranges)
        != bool(sum(flip <= z for flip in flips) % 2)
        for z, layer_id in layer_ids.items()
    }


def _runs(order: Sequence[float], marked: Mapping[float, bool]) -> Iterator[list[float]]:
    run: list[float] = []
    for z in order:
        if marked[z]:
            run.append(z)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _entry(
    run: Sequence[float],
    layer_ids: Mapping[float, str],
    order: Sequence[float],
    flips: Sequence[float],
) -> dict[str, Any]:
    ends = {"first_dat": (run[0], order[0]), "last_dat": (run[-1], order[-1])}
    named = {key: layer_ids[z] for key, (z, outermost) in ends.items() if z != outermost}
    at = [flip for flip in flips if run[0] <= flip <= run[-1] + 1]
    why = f"contrast flips at z {', '.join(f'{z:g}' for z in at)}" if at else "as before"
    return named | {"reason": why}

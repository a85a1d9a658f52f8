"""Zcoords.txt: one line ``z corrected`` for each layer that has an image; z is the true one."""

from __future__ import annotations

import numpy as np

from scripts.lib import growing
from scripts.lib.arrays import Array, Int64

# tolerances; so much thickness found anew is spread over the layers behind, or all of them move
_TAKEN_BACK = 5


def to_text(z: Int64, corrected: Array) -> str:
    """Lay coordinates out as the text of ``Zcoords.txt``.

    Parameters
    ----------
    z
        (n,) true z of the layers.
    corrected
        (n,) corrected z, layers; 6 decimals are kept, far below any claim.

    Returns
    -------
    str
        One line ``z corrected`` per layer.

    Raises
    ------
    ValueError
        When a corrected z is no number or does not rise; names the layer.
    """
    bad = ~np.isfinite(corrected)
    bad[1:] |= ~(np.diff(corrected) > 0)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"layer z {z[i]} has corrected z {corrected[i]}, expected a number above that of the"
            f" layer before ({corrected[i - 1] if i else 'none'})"
        )
    pairs = zip(z.tolist(), corrected.tolist(), strict=True)
    return "".join(f"{layer} {value:.6f}\n" for layer, value in pairs)


def held(text: str, published: str, tolerance: float, error: float = 0.0) -> tuple[str, int]:
    """Return coordinates whose layers stay where they are published, as far as that is as good.

    The scale of the whole is that of nominal z, so with every wave of new layers all z change, the
    farther from the first layer the more; the thickness of a layer hardly does.

    Parameters
    ----------
    text
        What was inferred now, in the form of `to_text`.
    published
        What was released before; may lack layers, and have others.
    tolerance
        Most that the distance of two neighbouring layers may differ from what was inferred now,
        layers (`growing.followed`). 0 keeps nothing.
    error
        Standard deviation that the thickness found now errs by, share of it: two looks that differ
        by less say the same. The tolerance of a layer is no less than that of its thickness.

    Returns
    -------
    text : str
        For each layer of `text`. A layer whose thickness is found anew moves, and those behind it
        until its change is taken back. New layers follow the last that stays, and the last of them
        is where it was found now; to that end as many layers before them may move. Where that would
        take more than the tolerance, nothing is kept.
    kept : int
        How many layers stay.
    """
    now, before = _values(text), _values(published)
    z = np.array(list(now))
    new = np.array([float(value) for value in now.values()])
    old = np.array([float(before.get(layer, "nan")) for layer in now])
    most = np.maximum(tolerance, error * np.diff(new, prepend=new[0])) if tolerance > 0 else 0.0
    drift, stays = growing.followed((new - old)[:, None], most, taken_back=_TAKEN_BACK)
    if not stays.any():
        return text, 0
    last = _last_kept(new, drift[:, 0], np.flatnonzero(stays), max(tolerance, error))
    if last is None:
        return text, 0
    stays[last + 1 :] = False
    out = np.where(stays, old, new - drift[:, 0])
    # the volume ends with the last layer: what is not followed is spread over those behind
    behind = new[last + 1 :] - new[last]
    if len(behind):
        out[last + 1 :] = new[last + 1 :] - drift[last, 0] * (1 - behind / behind[-1])
    return to_text(z, out), int(stays.sum())


def _last_kept(new: Array, drift: Array, stays: Int64, share: float) -> int | None:
    """Return the last layer that can stay: its drift must fit into the layers behind it.

    These are the new layers, and as many before them, each of which takes up no more than a share
    of its thickness; None where that is not enough.
    """
    fewest = 2 * stays[-1] - (len(new) - 1)
    for last in stays[stays >= fewest][::-1].tolist():
        if abs(drift[last]) <= share * (new[-1] - new[last]):
            return int(last)
    return None


def _values(text: str) -> dict[int, str]:
    return {int(z): value for z, value in map(str.split, text.splitlines())}

"""Output layers from input layers: which two layers an output z lies between, and their mixture.

Output z runs over whole numbers; layer a lies at its corrected z. An output z between two layers
shows ``share * a + (1 - share) * b``, linear; one that hits a layer shows it alone (spec
solve-export 3.7). Where one of the two has no data the other stands in at full strength.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.lib.arrays import Array, Int64, Voxels
from scripts.lib.drawing import spans
from scripts.lib.drawing.compose import Drawn, Layer
from scripts.lib.job import UserError

_PIN = 0.5  # layers; the ends may be so far from their nominal z, as in the reference
_BAND_ROWS = 128  # drawn at a time: of 4,096 columns they fit a processor's second cache
_HIT = 1e-6  # layers; a share below this is none
_REMEDY = "Set zcorr.regularization: BORDER, or export.z_correction: false."


@dataclass(frozen=True)
class Mixture:
    """What an output layer is made of: ``share`` of layer `a`, the rest of layer `b`."""

    a: int
    b: int
    share: float


def read_coordinates(text: str, name: str) -> dict[int, float]:
    """Read ``z corrected`` lines and pin both ends to their nominal z.

    Parameters
    ----------
    text
        The lines.
    name
        Of the file, for messages.

    Returns
    -------
    dict
        Corrected z by layer, in ascending order.

    Raises
    ------
    UserError
        When corrected z does not rise strictly, or an end is more than half a layer off; the
        message names the line and `name`.
    """
    pairs = [line.split() for line in text.splitlines()]
    z = [int(pair[0]) for pair in pairs]
    corrected = [float(pair[1]) for pair in pairs]
    for i in (0, len(z) - 1):
        if abs(corrected[i] - z[i]) > _PIN:
            raise UserError(
                f"{name}: the {'last' if i else 'first'} layer {z[i]} has corrected z"
                f" {corrected[i]}, expected at most {_PIN} from it. {_REMEDY}"
            )
        corrected[i] = float(z[i])
    for i in range(1, len(z)):
        if corrected[i] <= corrected[i - 1] or z[i] <= z[i - 1]:
            raise UserError(
                f"{name}: line {i + 1} (layer {z[i]}, corrected {corrected[i]}) does not lie behind"
                f" the line before (layer {z[i - 1]}, corrected {corrected[i - 1]}). {_REMEDY}"
            )
    return dict(zip(z, corrected, strict=True))


def mixtures(
    corrected: dict[int, float], z_out: Iterable[int], *, fill_gaps: bool
) -> list[Mixture | None]:
    """Say for each output z what it is made of.

    Nothing lies outside the first and last layer. Over missing layers, whose neighbours a and b are
    more than one z apart, `fill_gaps` mixes the two; without it an output z shows nothing when the
    nearest layer is a missing one, else the nearest alone.

    Parameters
    ----------
    corrected
        Corrected z by layer.
    z_out
        Output z, whole numbers.
    fill_gaps
        Whether missing layers are interpolated.

    Returns
    -------
    list of Mixture or None
        None = nothing.
    """
    layers = np.array(list(corrected))
    at = np.array(list(corrected.values()))
    return [_mixture(layers, at, z, fill_gaps=fill_gaps) for z in z_out]


def of_slab(
    coordinates: str | Path,
    wanted: Iterable[int],
    *,
    z_correction: bool,
    fill_gaps: str,
) -> list[Mixture | None]:
    """Say what each output z of a slab is made of, by the config's words.

    Parameters
    ----------
    coordinates
        Path of ``Zcoords.txt``.
    wanted
        Output z, whole numbers.
    z_correction
        ``export.z_correction``: False takes each layer at its own z.
    fill_gaps
        ``export.fill_gaps``.

    Returns
    -------
    list of Mixture or None
        As of `mixtures`.

    Raises
    ------
    UserError
        As `read_coordinates`.
    """
    path = Path(coordinates)
    status = path.stat()
    as_it_is = status.st_ino, status.st_size, status.st_mtime_ns
    corrected = _read(path.resolve(), str(coordinates), as_it_is)
    if not z_correction:
        corrected = {z: float(z) for z in corrected}
    return mixtures(corrected, wanted, fill_gaps=fill_gaps == "interpolate")


@functools.lru_cache(maxsize=1)
def _read(path: Path, name: str, _as_it_is: tuple[int, ...]) -> dict[int, float]:
    """Read a file once for all slabs that one job asks about."""
    return read_coordinates(path.read_text(), name)


def _mixture(layers: Int64, at: Array, z: int, *, fill_gaps: bool) -> Mixture | None:
    if not at[0] <= z <= at[-1]:
        return None
    i = min(int(np.searchsorted(at, z, side="right")) - 1, max(0, len(at) - 2))
    j = min(i + 1, len(at) - 1)
    a, b = int(layers[i]), int(layers[j])
    share = 1 - (z - at[i]) / (at[j] - at[i]) if j > i else 1.0
    if b - a > 1 and not fill_gaps:
        nearest = round(a + (1 - share) * (b - a))
        return Mixture(nearest, nearest, 1.0) if nearest in (a, b) else None
    if share > 1 - _HIT:
        return Mixture(a, a, 1.0)
    return Mixture(b, b, 1.0) if share < _HIT else Mixture(a, b, float(share))


def interpolate(
    made_of: Sequence[Mixture | None], layer_of: Callable[[int], Layer], out: Voxels
) -> None:
    """Interpolate the output layers of an area; layers are drawn once, in order of z.

    A layer that is drawn is mixed in bands that the processor's cache still holds, and takes the
    place of the layer before when that is done with: mostly one is held.

    Parameters
    ----------
    made_of
        What each output layer is made of.
    layer_of
        Gives an input layer by z, over the area (h, w) in the volume's type.
    out
        (n, h, w), written.
    """
    held: dict[int, Drawn] = {}
    for k, mixture in enumerate(made_of):
        if mixture is None:
            out[k] = 0
            continue
        a, b = mixture.a, mixture.b
        held = {z: held[z] for z in (a, b) if z in held}  # the former goes before one is drawn
        if a not in held:
            held[a] = layer_of(a).rows(slice(None))
        if b in held:
            mix(held[a], held[b], mixture.share, out[k])
            continue
        done_with = a not in _next(made_of, k)
        buffer = held[a].pixels if done_with else np.empty_like(held[a].pixels)
        held[b] = _mix_new(held[a], layer_of(b), mixture.share, out[k], buffer)
        if done_with:
            del held[a]


def _next(made_of: Sequence[Mixture | None], k: int) -> tuple[int, ...]:
    """Return the layers of the next output layer that has any."""
    return next(((one.a, one.b) for one in made_of[k + 1 :] if one is not None), ())


def _mix_new(a: Drawn, layer: Layer, share: float, out: Voxels, buffer: Voxels) -> Drawn:
    """Draw a layer and mix it with `a` into `out`; return it, in `buffer` (may be that of `a`)."""
    found = []
    for first in range(0, len(buffer), _BAND_ROWS):
        band = slice(first, first + _BAND_ROWS)
        new = layer.rows(band)
        mix(a.rows(band), new, share, out[band])
        buffer[band] = new.pixels
        found.append(new.spans)
    return Drawn(buffer, np.concatenate(found))


def mix(a: Drawn, b: Drawn, share: float, out: Voxels) -> None:
    """Mix two pictures, ``share`` of `a`, into `out`, rounded (halves to even).

    Where one has no data the other alone is shown, where both have none 0. (Other exports cut
    fractions off, which darkens by half a grey level.)

    Parameters
    ----------
    a, b
        The pictures.
    share
        Of `a`, 0 to 1.
    out
        (h, w) of the same type, written.
    """
    if a is b:
        np.copyto(out, a.pixels)
    else:
        spans.mix(a.pixels, a.spans, b.pixels, b.spans, share, out)

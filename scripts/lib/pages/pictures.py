"""Pictures of pages: grey levels, layout, and data URIs, so that a page is one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import exposure

Values = NDArray[Any]
Bytes = NDArray[np.uint8]

INK, LINE = (213, 94, 0), (86, 180, 233)  # vermilion and sky: outlines and points, joining lines
JPEG_QUALITY = 85
MOST_LINES = 40  # matches drawn
MOST_WEBP_PX = 16383  # a side has 14 bits in the format
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"optimize": True},
    "JPEG": {"quality": JPEG_QUALITY, "subsampling": 0},
    "WEBP": {"quality": JPEG_QUALITY, "method": 4},
}


@dataclass(frozen=True)
class Shown:
    """One picture of a page, and what it shows."""

    uri: str
    width_px: int
    height_px: int
    title: str
    caption: str = ""
    pixelated: bool = False  # shown without smoothing
    wide: bool = False  # a row of its own

    def to_json(self) -> dict[str, Any]:
        """Return the form that the report reads.

        Returns
        -------
        dict
            All but how it is laid out.
        """
        names = ("uri", "width_px", "height_px", "title", "caption")
        return {name: getattr(self, name) for name in names}


def shown(
    canvas: Bytes,
    title: str,
    caption: str = "",
    *,
    form: str = "PNG",
    pixelated: bool = False,
    wide: bool = False,
) -> Shown:
    """Make a picture of a page.

    Parameters
    ----------
    canvas
        (h, w) grey, (h, w, 2) grey and opacity, or (h, w, 3) red, green, blue; uint8.
    title, caption
        What it shows; together they are its alternative text.
    form
        ``"PNG"`` keeps every grey level, ``"JPEG"`` is small, ``"WEBP"`` also transparent.
    pixelated
        Shown without smoothing.
    wide
        Has a row of the page of its own.

    Returns
    -------
    Shown
        The picture as data URI.
    """
    h, w = canvas.shape[:2]
    return Shown(encode(canvas, form), w, h, title, caption, pixelated, wide)


def encode(canvas: Bytes, form: str = "PNG") -> str:
    """Encode pixels as data URI.

    Parameters
    ----------
    canvas
        As of `shown`.
    form
        ``"PNG"``, ``"JPEG"`` or ``"WEBP"``; what is too large for the last becomes a PNG.

    Returns
    -------
    str
        The URI.
    """
    out = io.BytesIO()
    if form == "WEBP" and max(canvas.shape[:2]) > MOST_WEBP_PX:
        form = "PNG"
    image = Image.fromarray(np.ascontiguousarray(canvas))
    image.save(out, form, **_OPTIONS[form])
    return f"data:image/{form.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


def decode(uri: str) -> Bytes:
    """Return the grey levels of a picture, white where it is transparent.

    Parameters
    ----------
    uri
        As `encode` makes it.

    Returns
    -------
    ndarray of uint8
        (h, w).
    """
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("LA")
    levels, opacity = np.moveaxis(np.asarray(image), 2, 0)
    return np.where(opacity > 0, levels, 255).astype(np.uint8)


def png(canvas: Bytes) -> bytes:
    """Return a picture as the bytes of a PNG file.

    Parameters
    ----------
    canvas
        As of `shown`.

    Returns
    -------
    bytes
        The file.
    """
    return base64.b64decode(encode(canvas).partition(",")[2])


def limits(values: Iterable[Values], low: float, high: float) -> tuple[float, float]:
    """Compute the grey values to show as black and white.

    Parameters
    ----------
    values
        Pixels with data, of all pictures that are to be compared.
    low, high
        Percentiles.

    Returns
    -------
    tuple of float
        Black and white; 0 and 255 without any pixel.
    """
    pooled = np.concatenate([np.ravel(each) for each in values] or [np.empty(0)])
    if not pooled.size:
        return 0.0, 255.0
    dark, bright = np.percentile(pooled, [low, high])
    return float(dark), float(bright)


def grey(values: Values, low: float, high: float) -> Bytes:
    """Stretch grey values.

    Parameters
    ----------
    values
        Pixels of any shape.
    low, high
        Shown as black and white.

    Returns
    -------
    ndarray of uint8
        0 to 255, rounded and clipped, of the same shape.
    """
    shown = (low, max(high, low + 1e-6))
    stretched = exposure.rescale_intensity(np.asarray(values, float), shown, (0.0, 255.0))
    return np.asarray(np.rint(stretched), np.uint8)


def colors(levels: Bytes) -> Bytes:
    """Repeat grey levels as colors.

    Parameters
    ----------
    levels
        (h, w) uint8.

    Returns
    -------
    ndarray of uint8
        (h, w, 3).
    """
    return np.repeat(levels[..., None], 3, axis=2)


def shrink(picture: Values, side_px: float) -> Values:
    """Average a picture down to a side.

    Parameters
    ----------
    picture
        (h, w) or (h, w, channels), of a type OpenCV knows.
    side_px
        Longer side of the result; a smaller picture stays as it is.

    Returns
    -------
    ndarray
        At least one pixel each way, of the same type.
    """
    h, w = picture.shape[:2]
    factor = side_px / max(h, w)
    if factor >= 1:
        return picture
    size = (max(1, round(w * factor)), max(1, round(h * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), picture.dtype)


def joined(parts: Sequence[Bytes], gap_px: int, *, axis: int = 1, fill: int = 255) -> Bytes:
    """Lay pictures beside each other.

    Parameters
    ----------
    parts
        Pictures with the same channels.
    gap_px
        Pixels between them.
    axis
        1 for side by side, 0 for one below the other.
    fill
        Value of the gaps in all channels.

    Returns
    -------
    ndarray of uint8
        One picture.
    """
    size = max(part.shape[1 - axis] for part in parts)
    padded = []
    for number, part in enumerate(parts):
        pads = [(0, 0)] * part.ndim
        pads[1 - axis] = (0, size - part.shape[1 - axis])
        pads[axis] = (gap_px if number else 0, 0)
        padded.append(np.pad(part, pads, constant_values=fill))
    return np.concatenate(padded, axis)


def draw_matches(canvas: Bytes, p: Values, q: Values) -> None:
    """Join matched points; at most `MOST_LINES`, spread over all of them.

    Parameters
    ----------
    canvas
        (h, w, 3) uint8, drawn into.
    p, q
        (n, 2) x, y of the points, px of the canvas.
    """
    step = max(1, -(-len(p) // MOST_LINES))
    for a, b in zip(np.rint(p[::step] * 8), np.rint(q[::step] * 8), strict=True):
        ends = [tuple(int(v) for v in end) for end in (a, b)]
        cv2.line(canvas, ends[0], ends[1], LINE, 1, cv2.LINE_AA, shift=3)
        for end in ends:
            cv2.circle(canvas, end, 20, INK, -1, cv2.LINE_AA, shift=3)

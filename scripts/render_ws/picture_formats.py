"""The forms in which a drawn picture is sent: content type and bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Bytes, Float32

_JPEG_QUALITY = 85
_UNCOMPRESSED = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
_OUTLINE = (0, 255, 0)  # blue, green, red


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn picture.

    ``values`` (h, w) float32 in source units; ``gray`` (h, w) uint8 after the intensity range;
    ``alpha`` (h, w) uint8; ``outlines`` (h, w) where tiles are only outlined.
    """

    values: Float32
    gray: Bytes
    alpha: Bytes
    keep_gray: bool  # a JPEG with one channel was asked for
    outlines: Bytes | None = None

    @property
    def colours(self) -> Bytes:
        """Return (h, w, 3): blue, green, red."""
        out = np.dstack([self.gray] * 3)
        if self.outlines is not None:
            out[self.outlines > 0] = _OUTLINE
        return out


def _encode(extension: str, array: NDArray[np.unsignedinteger[Any]], options: list[int]) -> bytes:
    done, data = cv2.imencode(extension, array, options)
    if not done:
        raise RuntimeError(f"{extension} could not be written")
    return bytes(data)


def _png(drawing: Drawing) -> bytes:
    return _encode(".png", np.dstack([drawing.colours, drawing.alpha]), [])


def _jpeg(drawing: Drawing) -> bytes:
    array = drawing.gray if drawing.keep_gray else drawing.colours
    return _encode(".jpg", array, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _tiff(drawing: Drawing) -> bytes:
    return _encode(".tif", drawing.colours, _UNCOMPRESSED)


def _words(drawing: Drawing) -> NDArray[np.uint16]:
    return np.clip(np.rint(drawing.values), 0, 65535).astype(np.uint16)


def _png16(drawing: Drawing) -> bytes:
    return _encode(".png", _words(drawing), [])


def _tiff16(drawing: Drawing) -> bytes:
    return _encode(".tif", _words(drawing), _UNCOMPRESSED)


def _raw(drawing: Drawing) -> bytes:
    return np.dstack([drawing.alpha, drawing.colours[..., ::-1]]).tobytes()


def _raw16(drawing: Drawing) -> bytes:
    return _words(drawing).astype(">u2").tobytes()


Encoder = Callable[[Drawing], bytes]
FORMATS: dict[str, tuple[str, Encoder]] = {
    "png-image": ("image/png", _png),
    "jpeg-image": ("image/jpeg", _jpeg),
    "tiff-image": ("image/tiff", _tiff),
    "png16-image": ("image/png", _png16),
    "tiff16-image": ("image/tiff", _tiff16),
    "raw-image": ("application/octet-stream", _raw),
    "raw16-image": ("application/octet-stream", _raw16),
}

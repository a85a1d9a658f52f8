"""The records of render-ws: transforms, tiles, matches.

Wire names (``tileId``, ``pGroupId`` …) exist only in the three modules that this one brings
together. All others import records from here.
"""

from scripts.lib.service.match_records import CanvasMatches, axes_of
from scripts.lib.service.tile_records import PATCH, TileSet, TileSource, TileSpec
from scripts.lib.service.transform_records import Json, Leaf, Ref, Spec

__all__ = [
    "PATCH",
    "CanvasMatches",
    "Json",
    "Leaf",
    "Ref",
    "Spec",
    "TileSet",
    "TileSource",
    "TileSpec",
    "axes_of",
]

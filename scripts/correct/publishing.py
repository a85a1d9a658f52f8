"""Publishing: a corrected stack in render-ws, filters and all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet, TileSource


@dataclass(frozen=True)
class Corrected:
    """The tiles of a stack after a step, some layers at a time: maps of a volume fill memory."""

    client: RenderClient
    stack: str
    apply: Callable[[TileSet], TileSet]

    def ids(self) -> set[str]:
        """Return the ids of all tiles, which a step leaves as they are.

        Returns
        -------
        set of str
            Tile ids.
        """
        return set(self.client.tile_ids(self.stack))

    def batches(self, size: int) -> Iterator[TileSet]:
        """Return all tiles.

        Parameters
        ----------
        size
            At most so many tiles at a time.

        Yields
        ------
        TileSet
            One batch.
        """
        for part in self.client.parts(self.stack):
            yield from self.apply(part).batches(size)


def publish(
    client: RenderClient,
    stack: str,
    tiles: TileSource,
    voxel_nm: Mapping[str, float],
    *,
    inputs: Sequence[str],
    params: Mapping[str, Any],
) -> StackReceipt:
    """Publish tiles as a stack with its voxels' size.

    Parameters
    ----------
    client
        The service.
    stack
        Name of the new stack.
    tiles
        Its tiles.
    voxel_nm
        ``pixel_nm`` and ``z_nm`` of the acquisition.
    inputs
        Files that the receipt names with their digests.
    params
        What the receipt says of the step.

    Returns
    -------
    StackReceipt
        To be written by the job.
    """
    pixel_nm, z_nm = voxel_nm["pixel_nm"], voxel_nm["z_nm"]
    return client.publish_stack(
        stack, tiles, resolution_nm=(pixel_nm, pixel_nm, z_nm), inputs=inputs, params=params
    )

"""Publishing: a corrected stack in render-ws, filters and all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.lib.drawing import filters
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet, TileSource

_FEW_TILES = 1000
_REMEDY = (
    "use one that keeps them (the branch newsolver of the known one), or copy the project to the"
    " embedded one and set render.url to it: python -m scripts.render_ws copy"
    " (docs/render-ws.md, From one service to another)"
)


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


class _Asked:
    """Tiles on their way to the service, which is asked about filters when the first has one."""

    def __init__(self, client: RenderClient, stack: str, tiles: TileSource) -> None:
        self._client, self._stack, self._tiles = client, stack, tiles
        self._answered = False

    def ids(self) -> set[str]:
        return self._tiles.ids()

    def batches(self, size: int) -> Iterator[TileSet]:
        for part in self._tiles.batches(size):
            self._ask(part)
            yield part

    def _ask(self, part: TileSet) -> None:
        if self._answered:
            return
        filtered = next((tile for tile in part.tiles if filters.filters_of(tile)), None)
        if filtered is not None and not self._client.keeps_filters(filtered):
            raise UserError(
                f"stack {self._stack}: this render-ws drops filterSpec of tile specs, so it cannot"
                f" hold grey-value corrections: {_REMEDY}"
            )
        self._answered = filtered is not None


def publish(
    client: RenderClient,
    stack: str,
    tiles: TileSource,
    voxel_nm: Mapping[str, float],
    *,
    inputs: Sequence[str],
    params: Mapping[str, Any],
) -> StackReceipt:
    """Publish tiles as a stack, in a service that is known to keep their filters.

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

    Raises
    ------
    UserError
        When the service drops filters, as some versions of render-ws do silently: what is drawn
        from the stack would lack the corrections. It is asked before anything is written, or, where
        the first layers have no filter, with the first tile that has one.
    """
    asked = _Asked(client, stack, tiles)
    next(asked.batches(_FEW_TILES), None)  # before anything is written
    pixel_nm, z_nm = voxel_nm["pixel_nm"], voxel_nm["z_nm"]
    return client.publish_stack(
        stack, asked, resolution_nm=(pixel_nm, pixel_nm, z_nm), inputs=inputs, params=params
    )

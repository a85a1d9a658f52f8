"""A slab of an export: its voxels in z, the layers they are made of, all that they depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.export import interpolation, slabs
from scripts.export.shown import Limits, Shown

Mixtures = Sequence[interpolation.Mixture | None]


@dataclass(frozen=True, eq=False)
class Slab:
    """What one chunk of layers owns of an export.

    Attributes
    ----------
    z_range
        Half open, voxels.
    mixed
        What each output layer is made of.
    shown
        How layers of 16 bit are shown in 8; None where they are not.
    """

    plan: slabs.Plan
    z_range: tuple[int, int]
    mixed: Mixtures
    shown: Shown | None

    @staticmethod
    def of(
        plan: slabs.Plan,
        layers: tuple[int, int],
        coordinates: str,
        export: Mapping[str, Any],
        limits: str | None,
    ) -> Slab:
        """Find the layers each output layer is made of.

        Parameters
        ----------
        plan
            The export.
        layers
            First and last of the chunk, inclusive.
        coordinates
            Path of ``Zcoords.txt``.
        export
            What of the config voxels depend on.
        limits
            Path of ``export/contrast.npz``; None where 16 bit are not shown in 8.

        Returns
        -------
        Slab
            May own nothing.
        """
        z_range = slabs.owned(plan, *layers)
        in_z = {name: export[name] for name in ("z_correction", "fill_gaps")}
        mixed = interpolation.of_slab(coordinates, slabs.output_z(plan, z_range), **in_z)
        return Slab(plan, z_range, mixed, _shown(plan, z_range, mixed, limits))

    @property
    def layers(self) -> tuple[int, int] | None:
        """Return the first and the last layer that are drawn.

        Returns
        -------
        tuple of int or None
            z, both included; None where nothing is drawn.
        """
        needed = [z for one in self.mixed if one is not None for z in (one.a, one.b)]
        return (min(needed), max(needed)) if needed else None

    def depends(self, export: Mapping[str, Any]) -> dict[str, Any]:
        """Return what of the config, and of the contrast, voxels depend on.

        Parameters
        ----------
        export
            As of `of`.

        Returns
        -------
        dict
            With the digest of the contrast, if there is one.
        """
        return {**export} | ({"contrast": self.shown.digest()} if self.shown else {})


def _shown(
    plan: slabs.Plan, z_range: tuple[int, int], mixed: Mixtures, limits: str | None
) -> Shown | None:
    """Look up how each layer of the slab is shown in 8 bit; what shows nothing as its z."""
    if limits is None or not plan.in_8_bit:
        return None
    first = plan.spec.origin_px_zyx[0] + z_range[0]
    layers = [
        one.a + (1 - one.share) * (one.b - one.a) if one else float(first + i)
        for i, one in enumerate(mixed)
    ]
    return Shown.of(Limits.load(limits), layers)

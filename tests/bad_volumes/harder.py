"""Good volumes that are harder to judge than the demo's: real tissue, small tiles, lost slices.

Cut from real, aligned volumes (`make_misaligned.py`, `stress.py` beside them), matched by the
matcher and solved: nothing is wrong with any of them, and each may be spoilt. What differs from the
demo's is what makes a right verdict hard: one tile a layer, tissue that changes from layer to layer
(*C. elegans*), slices that were lost, a turn or a jump at a restart, bare resin beside tissue,
pixels of 10 nm, a damaged tile that was patched well.
"""

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass

from tests.bad_volumes import matched, spoil
from tests.bad_volumes.finished import SMALL, Finished

FIB25, CELEGANS = "fib25/fib25_250.h5", "celegans/celegans_21.h5"
CLEAN = ("--corrupt", "0", "--resin-fraction", "0", "--lost-slice-rate", "0", "--jump-rate", "0")


@dataclass(frozen=True)
class Kind:
    """An acquisition: source, layers, grid, side of a tile (px), options of the generators."""

    source: str
    layers: int
    grid: tuple[int, int]
    side: int
    options: tuple[str, ...] = ()
    stress: str = ""
    pixel_nm: float = 8.0
    patched: bool = False  # a tile shows the next layer's image, in its right place

    def settings(self, seed):
        """As `Finished` takes them; a stress begins in the middle, as a restart."""
        restart = self.layers // 2 if self.stress else 0
        return dataclasses.replace(
            SMALL, layers=self.layers, rows=self.grid[0], columns=self.grid[1], seed=seed,
            tile_height=self.side, tile_width=self.side, pixel_nm=self.pixel_nm,
            restart_layer=restart,
        )  # fmt: skip

    def acquired(self, data, settings, folder):
        """Run the generator; gives the truth."""
        told = ("--stress", self.stress) if self.stress else ()
        command = [
            *(sys.executable, data / "stress.py", data / self.source, folder, *told),
            *("--layers", self.layers, "--grid", *self.grid, "--tile", self.side, self.side),
            *("--seed", settings.seed, "--workers", 1, "--pixel-nm", self.pixel_nm),
            *("--overlap", 0.2, *CLEAN, *self.options),
        ]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        truth = json.loads((folder / "truth.json").read_text())
        truth["parameters"]["restart_layer"] = settings.restart_layer
        return truth


KINDS = {
    "one tile": Kind(FIB25, 12, (1, 1), 200),
    "one small tile": Kind(FIB25, 12, (1, 1), 160),
    "four small tiles": Kind(FIB25, 10, (2, 2), 140),
    "another tissue": Kind(CELEGANS, 12, (1, 1), 200),
    "another tissue, four tiles": Kind(CELEGANS, 10, (2, 2), 140),
    "lost slices": Kind(FIB25, 14, (1, 1), 200, ("--lost-slice-rate", "0.15")),
    "a turn": Kind(FIB25, 12, (1, 1), 200, stress="turn:0.5"),
    "a jump": Kind(FIB25, 10, (2, 2), 140, stress="jump:20"),
    "resin beside": Kind(FIB25, 10, (2, 2), 140, ("--resin-fraction", "0.15")),
    "10 nm": Kind(FIB25, 12, (1, 1), 200, pixel_nm=10.0),
    "noise": Kind(FIB25, 12, (1, 1), 200, ("--noise", "1.5")),
    "a patch": Kind(FIB25, 10, (2, 2), 140, patched=True),
}


def made(name, seed, folder, data):
    """Make a volume of a kind; gives it, and its finished state."""
    kind = KINDS[name]

    def acquired(settings, where):
        return kind.acquired(data, settings, where)

    volume = Finished(folder, kind.settings(seed), matched.matched, acquired=acquired)
    return volume, spoil.patched(volume) if kind.patched else volume.start

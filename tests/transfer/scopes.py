"""A small microscope: images and keep flags in a folder, as a local or an ssh scope."""

from dataclasses import dataclass
from pathlib import Path

from scripts.lib.names import parse_dat
from scripts.transfer.scope import ScopeSettings
from tests.transfer.synthetic_dat import make_dat, noise

DATA_SET = "demo-1"
SERIAL = "Merlin-6281"


def dat_bytes(seed):
    # an old header has the fewest fields: attributes take most of the time
    return make_dat(noise(seed, (12, 14, 1)), version=2)


@dataclass(frozen=True)
class Microscope:
    """Folders with a blank in their names, as on the real ones."""

    root: Path

    @property
    def images(self) -> Path:
        return self.root / "Images" / "Fly Brain"

    @property
    def flags(self) -> Path:
        return self.root / "Upload Flags"

    def settings(self, **more) -> ScopeSettings:
        return ScopeSettings(str(self.images), str(self.flags), DATA_SET, **more)

    def path(self, name) -> Path:
        return self.images / parse_dat(name).layer.time.strftime("Y%Y/M%m/D%d") / name

    def flag(self, name) -> Path:
        day = parse_dat(name).layer.time.strftime("Y%Y^M%m^D%d")
        return self.flags / f"{DATA_SET}^E^^Images^Fly Brain^{day}^{name}^keep"

    def acquire(self, name, data, *, flagged=True):
        self.flags.mkdir(parents=True, exist_ok=True)
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if flagged:
            self.flag(name).touch()

    def waiting(self):
        return sorted(path.name for path in self.flags.iterdir())


def dat_name(layer, key="0-0-0", day="24-03-07"):
    """Name of a tile of layer 0, 1, 2 …, a minute apart."""
    return f"{SERIAL}_{day}_{10 + layer // 60:02d}{layer % 60:02d}12_{key}.dat"

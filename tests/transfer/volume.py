"""The jobs of transfer in order, in this process, as `snakemake transfer` runs them."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.lib.files import read_table
from scripts.lib.job import UserError
from scripts.transfer import (
    archive_layers,
    check_transfer,
    close_transfer,
    convert_layers,
    copy_dats,
    hdf5,
    plan_transfer,
)
from tests.transfer.scopes import Microscope

SETTINGS = {
    "channel": 0, "mipmap_levels": 1, "chunk_px": 512, "gzip_level": 1, "fill": [],
    "bad_tiles": "skip", "free_space_gb": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Volume:
    """One volume of 1 x 2 tiles per layer, with its scope, dats, working directory and archive."""

    root: Path
    archived: bool = True
    remove_dats: bool = True
    hashed: bool = False

    @property
    def scope(self) -> Microscope:
        return Microscope(self.root / "scope")

    @property
    def dats(self) -> Path:
        return self.root / "dat"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    def run(self) -> str:
        """Run all jobs; give what the gate says, the empty text when it is open."""
        self.work.mkdir(exist_ok=True)
        with inside(self.work):
            try:
                self._jobs()
            except UserError as error:
                return str(error)
        return ""

    def _jobs(self):
        root, plan = str(self.dats), "transfer/plan.tsv"
        archive = str(self.archive) if self.archived else None
        common = {"dat_root": root, "archive_root": archive}
        copied = "transfer/copied.tsv"
        copy_dats.main(
            **common,
            scope={**vars(self.scope.settings()), "hash": "sha256" if self.hashed else "none"},
            first_dat=None,
            last_dat=None,
            scope_name=None,
            free_space_gb=0,
            fingerprint="",
            copied=copied,
            copy_state="transfer/copy.json",
        )
        plan_transfer.main(**common, rows=1, columns=2, layers_per_job=1, plan=plan)
        chunks = sorted({row["chunk"] for row in read_table(plan)})
        tables = {k: [f"transfer/{k}/{c}.tsv" for c in chunks] for k in ("converted", "archived")}
        for i, chunk in enumerate(chunks):
            done = tables["converted"][i]
            convert_layers.main(
                **common, chunk=chunk, plan=plan, **SETTINGS, converted=done, copied=copied
            )
            archive_layers.main(
                **common,
                chunk=chunk,
                plan=plan,
                converted=done,
                remove_dats=self.remove_dats,
                free_space_gb=0,
                archived=tables["archived"][i],
            )
        close_transfer.main(
            **common,
            **tables,
            rows=1,
            columns=2,
            layers="transfer/layers.tsv",
            bad_tiles="transfer/quarantine.tsv",
            copied=copied,
        )
        check_transfer.main(
            layers="transfer/layers.tsv",
            quarantine="transfer/quarantine.tsv",
            misfits="transfer/misfits.tsv",
            copy_state="transfer/copy.json",
            max_bad_share=0.0,
            max_bad_tiles=None,
            passed="transfer/gate.json",
        )

    def layers(self):
        return read_table(self.work / "transfer/layers.tsv")

    # ---- what is safe -----------------------------------------------------------------------

    def tiles(self) -> dict[str, set[bytes]]:
        """Name -> bytes of every `.dat` that is here, as a file or in HDF5, under a final name."""
        held: dict[str, set[bytes]] = {}
        for path in visible(self.dats, ".dat"):
            held.setdefault(path.name, set()).add(path.read_bytes())
        raws = [*visible(self.work, ".raw.h5"), *visible(self.archive, ".raw-archive.h5")]
        for path in raws:
            for name, data in hdf5.restore(path):
                held.setdefault(name, set()).add(data)
        return held

    def lost(self, acquired: dict[str, bytes]) -> list[str]:
        """Names of tiles that neither wait on the scope with a flag nor are whole here."""
        here = self.tiles()
        return [
            name
            for name, data in acquired.items()
            if not self.scope.flag(name).exists() and data not in here.get(name, ())
        ]

    def products(self) -> dict[str, bytes]:
        """Relative path -> bytes of all HDF5 files, temporary ones included."""
        found = [p for p in self.root.rglob("*") if p.is_file() and ".h5" in p.name]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}

    def leftovers(self) -> list[str]:
        """Temporary files of images; those of tables are a few bytes and stay."""
        names = [path.name for path in self.root.rglob("*.partial")]
        return sorted(name for name in names if ".dat." in name or ".h5." in name)


def visible(root, suffix):
    return [path for path in root.rglob(f"*{suffix}") if not path.name.startswith(".")]


@contextmanager
def inside(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)

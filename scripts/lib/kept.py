"""What a job made, kept so that it is not made again of the same.

Snakemake removes the outputs of a job before it runs, so a job that is run by force cannot look at
what it left. Copies of its outputs lie in ``kept/<name>/`` beside them, with the digest of all that
they were made of: inputs, settings, and the code. Like the header cache they
are no output of any rule, and may be removed at any time.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.provenance import Code

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """The outputs of one job, made of what `made_of` is the digest of."""

    outputs: tuple[str, ...]
    made_of: str
    code: Code

    @staticmethod
    def of(
        outputs: Sequence[str],
        inputs: Iterable[str],
        settings: Any = None,  # noqa: ANN401 - any JSON value
        *,
        code: Code,
    ) -> Kept:
        """Take the digest of the input files as they are now, and of `settings`.

        Parameters
        ----------
        outputs
            Paths of the outputs of a job, the first of which names the folder of copies.
        inputs
            Paths of its inputs.
        settings
            Any JSON value.
        code
            What the outputs come through.

        Returns
        -------
        Kept
            With the digest of inputs and settings, and the code.
        """
        digests = [_sha256(Path(path).read_bytes()) for path in inputs]
        return Kept(tuple(outputs), files.digest([list(outputs), digests, settings]), code)

    @staticmethod
    def of_tiles(
        outputs: Sequence[str | Path],
        tiles: str,
        settings: Any,  # noqa: ANN401 - any JSON value
        *,
        code: Code,
    ) -> Kept:
        """Take the digest of the tiles of a chunk, and of `settings`.

        Parameters
        ----------
        outputs
            Paths of the outputs of a job, the first of which names the folder of copies.
        tiles
            Digest of the tiles and their images.
        settings
            Any JSON value.
        code
            What the outputs come through.

        Returns
        -------
        Kept
            With the digest of tiles and settings, and the code.
        """
        paths = tuple(map(str, outputs))
        return Kept(paths, files.digest([list(paths), tiles, settings]), code)

    @property
    def _folder(self) -> Path:
        first = Path(self.outputs[0])
        return first.parent / "kept" / first.stem

    def _copies(self) -> dict[str, Path]:
        # numbered, since outputs of several folders may have one name
        names = {path: f"{i}-{Path(path).name}" for i, path in enumerate(self.outputs)}
        return {path: self._folder / name for path, name in names.items()}

    def older_than(self, path: str) -> bool:
        """Tell whether the copies were kept before a file was written.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        bool
            False where nothing is kept.
        """
        record = self._folder / "made_of.json"
        return record.exists() and record.stat().st_mtime_ns < Path(path).stat().st_mtime_ns

    def restore(self, *, unless_changed: Sequence[str] = ()) -> bool:
        """Write the outputs if they were made of the same before.

        Parameters
        ----------
        unless_changed
            Outputs that must also be in place, as they were left.

        Returns
        -------
        bool
            Whether they were written; False leaves everything as it is.
        """
        try:
            found = files.read_json(self._folder / "made_of.json")
            kept = {path: copy.read_bytes() for path, copy in self._copies().items()}
            left = [Path(path).read_bytes() for path in unless_changed]
        except (OSError, ValueError):
            return False
        now = self._record(kept)
        same = found == now and left == [kept[path] for path in unless_changed]
        if not same and found | {"code": now["code"]} == now:
            log.info("%s: %s", ", ".join(self.outputs), self.code.other(found.get("code", "")))
        if same:
            for path, data in kept.items():
                files.write_bytes(path, data)
            log.info("%s: made of the same before, and put back", ", ".join(self.outputs))
        return same

    def keep(self) -> None:
        """Keep copies of the outputs; the record that makes them valid is written last."""
        made = {path: Path(path).read_bytes() for path in self.outputs}
        for path, copy in self._copies().items():
            files.write_bytes(copy, made[path])
        files.write_json(self._folder / "made_of.json", self._record(made))
        self.code.record()

    def _record(self, made: dict[str, bytes]) -> dict[str, Any]:
        outputs = {path: _sha256(data) for path, data in made.items()}
        return {"made_of": self.made_of, "code": self.code.digest(), "outputs": outputs}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

"""Origin: how and of what a report was made, for whoever has to make it again."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scripts.lib import commands

_ROOT = Path(__file__).resolve().parents[2]
_SECRET = re.compile(r"(\bwebhook[\"']?\s*:\s*)(?!null\b)[^\s,}]+")


@dataclass(frozen=True)
class Origin:
    """Of a run: when it ended, the command, the config, and the commit of the code."""

    finished: str = ""
    command: str = ""
    config: str = ""
    text: str = ""  # of the config file
    commit: str = ""


def origin(folder: Path) -> Origin:
    """Find out how a run was made; what is not known is left out.

    Parameters
    ----------
    folder
        Working directory.

    Returns
    -------
    Origin
        Nothing of the moment: a report that is made again is the same.
    """
    config = _ROOT / commands.config_file()
    return Origin(
        finished=_finished(folder / "export/volume.json"),
        command=commands.run(),
        config=str(config) if config.is_file() else "",
        text=_shown(config.read_text(errors="replace")) if config.is_file() else "",
        commit=_commit(),
    )


def _shown(text: str) -> str:
    """Take out what whoever gets the report must not know: the address of a hook is a secret."""
    return _SECRET.sub(r"\1(not shown)", text)


def _finished(path: Path) -> str:
    if not path.is_file():
        return ""
    return f"{datetime.fromtimestamp(path.stat().st_mtime):%Y-%m-%d %H:%M}"


def _commit() -> str:
    """Return the commit of the code, with a mark where files differ from it."""
    words = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - fixed words
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

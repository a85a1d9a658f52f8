"""Refused: why the last start of a volume ended before its first job."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib import running, schema, yaml_files
from scripts.lib.job import UserError

SCHEMA = Path(__file__).resolve().parents[2] / "config/schema.yaml"
REFUSED = "refused"
UNREAD = "its config cannot be read"
_FAULT = "error: "  # begins the line of a fault, among those that are known before a start


def refusal(config: Path, folder: Path) -> str:
    """Return what a refused start said; of a config that no run has read, what it will say.

    Parameters
    ----------
    config
        YAML file of the volume.
    folder
        Its working directory.

    Returns
    -------
    str
        The whole message; empty where the last run began its work.
    """
    news = [run.news for run in running.read(folder) if run.news]
    last = max(news, key=lambda one: one.at, default=None)
    if last is None or config.stat().st_mtime > last.at:  # not as the last run read it
        faults = _faults(config)
        if faults or last is None:
            return faults
    return "\n".join(last.said) if last.refused else ""


def line(message: str) -> str:
    """Return a refusal in one line.

    Parameters
    ----------
    message
        Of `refusal`.

    Returns
    -------
    str
        Its first fault, and how many more there are.
    """
    lines = [each.strip().removeprefix("✗ ").rstrip(".") for each in message.splitlines()]
    faults = [each.removeprefix(_FAULT) for each in lines if each.startswith(_FAULT)]
    faults = faults or (lines[1:] if lines[0].endswith(":") and lines[1:] else lines[:1])
    more = f" (and {len(faults) - 1} more)" if faults[1:] else ""
    return f"{REFUSED}: {faults[0]}{more}"


def _faults(config: Path) -> str:
    content: Any = yaml_files.read(config)
    if not isinstance(content, Mapping):
        return ""
    try:
        schema.validate(dict(content), _schema())
    except UserError as error:
        return str(error)
    return ""


@functools.cache
def _schema() -> dict[str, Any]:
    return dict(yaml_files.read(SCHEMA))

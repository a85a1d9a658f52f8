"""A render-ws for each transport."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the embedded service served by a process of its own on loopback."""
    database = tmp_path_factory.mktemp("served") / "render-ws.db"
    command = [sys.executable, "-m", "scripts.render_ws", "serve", "--write", "--port", "0"]
    command += ["--db", str(database)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield address(process)
        finally:
            process.terminate()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(r"http://[\w.]+:\d+/\S+", line)
        if found:
            return found[0]
    raise RuntimeError("the service ended without serving")

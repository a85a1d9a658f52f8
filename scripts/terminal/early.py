"""Config files, read before Snakemake reads them: it says that one has a fault, and not where.

The profiles call this: they are all that Snakemake reads before ``--configfile``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scripts.lib import yaml_files
from scripts.lib.commands import config_files
from scripts.lib.job import UserError


def check(argv: Sequence[str]) -> None:
    """End the process with one message when a config file has a fault of syntax or encoding.

    Parameters
    ----------
    argv
        Arguments that Snakemake was started with.

    Raises
    ------
    SystemExit
        With the message, which names file and line.
    """
    try:
        yaml_files.check(config_files(argv))
    except UserError as error:
        sys.exit(f"✗ {error}")

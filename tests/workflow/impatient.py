"""Snakemake without the plugin's waits for a slow scheduler: 20 s at the start, 10 s a poll.

The calls of LSF's commands are those of the plugin, untouched. Used as
``python tests/workflow/impatient.py <arguments of snakemake>``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys

import snakemake_executor_plugin_lsf as plugin
from snakemake.cli import main

POLL_S = 0.5


async def short_sleep(executor: plugin.Executor) -> None:
    """Take the place of the executor's sleep between two polls."""
    await asyncio.sleep(POLL_S)


plugin.common_settings = dataclasses.replace(
    plugin.common_settings, init_seconds_before_status_checks=0
)
plugin.Executor.sleep = short_sleep

if __name__ == "__main__":
    sys.exit(main())

"""The place of Snakemake's own handler on the terminal, and the ends of a run."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import commands
from scripts.terminal import claims, dry_run, ending, notify
from scripts.terminal.failures import without_header
from scripts.terminal.handler import Planned, Terminal
from scripts.terminal.pace import Expected
from scripts.terminal.progress import WEIGHTS, Progress, name_of

STAGES = list(WEIGHTS)
_LOGGER = "snakemake.logging"
_OWN_HANDLER = "DefaultStreamHandler"  # the name that Snakemake gives to its own


class Console:
    """What a run writes to the terminal.

    Dry runs, ``--verbose``, ``--printshellcmds`` and ``--quiet``, another logger plugin and the
    part of Snakemake that runs inside a cluster's job keep Snakemake's own words; an error of a dry
    run comes without the lines of the Snakefile.

    Parameters
    ----------
    workflow
        Snakemake's object of the run.
    """

    def __init__(self, workflow: Any) -> None:  # noqa: ANN401 - no public type
        self._workflow = workflow
        self._terminal: Terminal | None = None
        self._expected: Callable[[], Mapping[str, Expected]] = dict
        if workflow.is_main_process:  # the jobs of a run inherit what it remembers
            commands.remember(sys.argv[1:])
        logger = logging.getLogger(_LOGGER)
        own = next((each for each in logger.handlers if each.name == _OWN_HANDLER), None)
        if isinstance(own, logging.StreamHandler) and _is_plain(workflow):
            self._progress = Progress({})
            colour = own.stream.isatty() and not workflow.output_settings.nocolor
            colour = colour and "NO_COLOR" not in os.environ
            self._terminal = Terminal(own.stream, self._progress, self._planned, colour=colour)
            logger.removeHandler(own)
            logger.addHandler(self._terminal)
        elif own and dry_run.is_one(workflow) and not workflow.output_settings.verbose:
            own.addFilter(_in_words)

    def start(
        self, expected: Callable[[], Mapping[str, Expected]] = dict, parallel: int = 1
    ) -> None:
        """Learn the stage of each rule, which is the name of its file, and the last stage.

        Parameters
        ----------
        expected
            Gives what the jobs of each name take in the whole volume, as is known now.
        parallel
            How many jobs run side by side.
        """
        if self._terminal is None:
            return
        self._expected = expected
        self._progress.pace.parallel = max(1, parallel)
        settings = self._workflow.execution_settings  # unknown while the rules are read
        self._terminal.attempts = 1 + settings.retries
        self._terminal.keep_going = settings.keep_going
        self._progress.stage_of = {
            rule.name: Path(str(rule.snakefile)).stem
            for rule in self._workflow.rules
            if rule.script
        }
        targets = self._workflow.dag_settings.targets or {"all"}
        self._terminal.part = claims.wanted(targets)[-1]
        last = [STAGES.index(each) for each in targets if each in STAGES]
        self._progress.until = "report" if "all" in targets else STAGES[max(last)] if last else None

    def succeeded(self, config: Mapping[str, Any] | None = None) -> None:
        """Write the last lines of a run that went well, and send them where the config says.

        Parameters
        ----------
        config
            Of the volume, with its defaults; None = nothing is sent.
        """
        targets = sorted(self._workflow.dag_settings.targets)
        finished = (config or {}).get("export", {}).get("promote_root")
        lines = ending.lines(Path.cwd(), targets, finished)
        if self._terminal:
            self._terminal.succeeded(lines)
        self._tell(notify.FINISHED, lines, config)

    def failed(self, logs: Sequence[str], config: Mapping[str, Any] | None = None) -> None:
        """Write the last message of a run that failed, and send it where the config says.

        Parameters
        ----------
        logs
            Snakemake's own logs of the run.
        config
            Of the volume, with its defaults; None = nothing is sent.
        """
        log = logs[0] if logs else ""
        rules: set[str] = set()
        lines = [f"all that ran: {log}"]
        if self._terminal:
            lines, rules = self._terminal.failed(Path.cwd(), log), self._terminal.rules_failed
            if self._terminal.stopped:
                return  # whoever stopped it knows
        self._tell(notify.event_of(rules), lines, config, rules)

    def _tell(
        self,
        event: str,
        lines: Sequence[str],
        config: Mapping[str, Any] | None,
        rules: Collection[str] = (),
    ) -> None:
        """Send a message of the run itself, not of the part of it that runs inside a job."""
        if config is not None and self._workflow.is_main_process:
            message = notify.Message(config["volume"], event, lines, rules)
            for remark in notify.send(message, config["notify"]):
                print(remark, file=sys.stderr)

    def _planned(self) -> Planned:
        dag = self._workflow.dag
        jobs, to_do = (
            Counter(name_of(job.rule.name, job.wildcards_dict) for job in some)
            for some in (dag.jobs, dag.needrun_jobs())
        )
        return Planned(jobs, jobs - to_do, self._expected())


def _is_plain(workflow: Any) -> bool:  # noqa: ANN401
    """Tell whether a person at a terminal started a run that is no dry one."""
    settings = workflow.output_settings
    asked = (settings.dryrun, settings.verbose, settings.printshellcmds, settings.quiet)
    return bool(workflow.is_main_process) and not any(asked)


def _in_words(record: logging.LogRecord) -> bool:
    """Take Snakemake's header and places out of an error."""
    if record.levelno >= logging.ERROR:
        record.msg, record.args = f"✗ {without_header(record.getMessage())}", ()
    return True

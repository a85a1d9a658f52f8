"""What Snakemake's records become on the terminal: a line for each job, one message at the end.

Snakemake's own table of jobs, its reasons and its tracebacks stay in its log file, which the last
line names. Used instead of a logger plugin, because a plugin must be an installed package, and the
workflow runs from a clone; the records are those of ``snakemake-interface-logger-plugins``.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from scripts.lib import commands, running
from scripts.lib.running import News
from scripts.terminal.failures import Failure, reason, summary, without_header, written
from scripts.terminal.pace import Expected
from scripts.terminal.progress import Progress, duration, name_of

# what Snakemake says of itself in every run; unknown lines are shown
_NOISE = (
    "Assuming unrestricted shared filesystem",
    "Building DAG",
    "Cannot restore ",  # a file that is read before it is written is not there the first time
    "Cleaning up SLURM log",
    "Cleanup ",
    "Complete log",
    "Conda environments:",
    "Creating specified working directory",
    "DAG of jobs will be updated",
    "Elapsed time",
    "Execute ",
    "Failed to set marker file",
    "Falling back to 'sacct' for status",
    "Finished job",
    "Group jobs:",
    "No SLURM account given, trying",
    "No account was given, not able",
    "Processed ",
    "Provided ",
    "Removing ",
    "Rules claiming more threads",
    "SLURM run ID",
    "Select jobs",
    "Shutting down",
    "Singularity containers:",
    "Terminating processes",
    "Trying to restart job",
    "Unable to guess SLURM account",
    "Updating checkpoint",
    "Using shell",
    "Will exit after finishing",
    "Workflow has started",
    "host:",
    "Touching output",
    "Write-protecting",
    "Job rate limit",
)
_NEWS_EVERY_S = 5.0
MOST_RUNNING = 20  # jobs that the news name
_SUBMITTED = " has been submitted with "
_REPLANNED = "Updating checkpoint"
_STOPPED = ("on user request", "Will exit after finishing")
_GREEN, _YELLOW, _RED = 32, 33, 31


class Planned(NamedTuple):
    """Jobs of each name of the whole workflow, how many of them are done, and what they take."""

    jobs: Mapping[str, int]
    done: Mapping[str, int]
    expected: Mapping[str, Expected]


class Terminal(logging.Handler):
    """Handler that takes the place of Snakemake's own on the terminal.

    Parameters
    ----------
    stream
        Where to write.
    progress
        Counts the jobs.
    planned
        Gives the jobs of the whole workflow, as it is planned now.
    colour
        Whether the stream shows colours.

    Attributes
    ----------
    attempts
        How many times a job is tried.
    keep_going
        Whether other jobs go on when one has failed for good.
    part
        Of the volume, which the run works on; nothing: it leaves no news.
    """

    def __init__(
        self,
        stream: TextIO,
        progress: Progress,
        planned: Callable[[], Planned],
        *,
        colour: bool = False,
    ) -> None:
        super().__init__(logging.INFO)
        self.attempts, self.keep_going, self.part = 1, False, ""
        self._last_news = -math.inf
        self._tried: Counter[int] = Counter()  # job -> attempts that failed
        self._stream = stream
        self._colour = colour
        self._planned = planned
        self._progress = progress
        self._replanned = True  # until the first job ended, nothing is counted
        self._start = time.monotonic()
        self._jobs: dict[int, Failure] = {}
        self._running: dict[int, str] = {}  # job -> its rule and wildcards
        self._failed: dict[int, Failure] = {}
        self._held: dict[int, str] = {}  # thread -> error that may belong to a job
        self._errors: list[str] = []
        self._stopped = False
        self._over = False
        self._events = {
            "job_info": self._job_info,
            "job_error": self._job_error,
            "job_finished": self._job_finished,
            "error": self._error,
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Write what a person needs of one record of Snakemake.

        Parameters
        ----------
        record
            The record.
        """
        try:
            event = getattr(record, "event", None)
            if event is not None:
                self._events.get(str(event), self._nothing)(record)
            elif record.levelno >= logging.ERROR:
                self._error(record)
            else:
                self._remark(record)
        except Exception:  # noqa: BLE001 - as every handler: a fault of logging ends no run
            self.handleError(record)

    def _nothing(self, record: logging.LogRecord) -> None:
        """Leave a record to Snakemake's log."""

    def _remark(self, record: logging.LogRecord) -> None:
        text = record.getMessage().strip()
        self._stopped |= any(each in text for each in _STOPPED)
        self._replanned |= text.startswith(_REPLANNED)
        noise = text.startswith(_NOISE) or _SUBMITTED in text
        if text and text != "None" and not self._over and not noise:
            self._write(text, _YELLOW if record.levelno > logging.INFO else None)

    def _job_info(self, record: Any) -> None:  # noqa: ANN401 - a record with Snakemake's fields
        logs = tuple(record.log or ())
        times = {path: at for path in logs if (at := written(path)) is not None}
        self._jobs[record.jobid] = Failure(
            record.rule_name, dict(record.wildcards or {}), logs, dict(record.resources), times
        )
        if record.rule_name in self._progress.stage_of:
            self._running[record.jobid] = self._jobs[record.jobid].name
            name = name_of(record.rule_name, record.wildcards or {})
            self._progress.pace.begin(record.jobid, name, self._elapsed_s())

    def _error(self, record: logging.LogRecord) -> None:
        """Hold an error back: the record that names the job follows in the same thread."""
        text = record.getMessage()
        self._held[record.thread or 0] = text
        self._errors.append(text)

    def _job_error(self, record: Any) -> None:  # noqa: ANN401
        self._running.pop(record.jobid, None)
        self._progress.pace.end(record.jobid, self._elapsed_s(), well=False)
        known = self._jobs.get(record.jobid, Failure(record.rule_name))
        held = self._held.pop(record.thread, "")
        if held in self._errors:
            self._errors.remove(held)
        said = [held, str(record.rule_msg or "")]
        self._failed[record.jobid] = Failure(
            known.rule,
            known.wildcards,
            tuple(record.log or ()) or known.logs,
            known.resources,
            known.before,
            "\n".join(filter(None, said)),
        )
        self._tried[record.jobid] += 1
        self._tell(record.jobid)

    def _tell(self, jobid: int) -> None:
        """Write one line for a failure that the run goes on after."""
        job, tried = self._failed[jobid], self._tried[jobid]
        if tried >= self.attempts and not self.keep_going:
            return  # the end of the run, which tells it at length
        stage = self._progress.stage_of.get(job.rule, "")
        line = f"{time.strftime('%H:%M:%S')}        {stage:<9} {job.name:<36} failed: {reason(job)}"
        if tried < self.attempts:
            self._write(f"{line}; attempt {tried + 1} of {self.attempts} follows", _YELLOW)
        else:
            self._write(line, _RED)

    def _job_finished(self, record: Any) -> None:  # noqa: ANN401
        self._failed.pop(record.job_id, None)  # a later attempt went well
        self._running.pop(record.job_id, None)
        self._progress.pace.end(record.job_id, self._elapsed_s())
        job = self._jobs.get(record.job_id)
        if job is None or job.rule not in self._progress.stage_of:
            return
        if self._replanned:
            self._replanned = False
            jobs, done, self._progress.expected = self._planned()
            self._progress.plan(jobs, done)
        self._progress.finish(name_of(job.rule, job.wildcards))
        self._write(self._line(job), None)
        self._report(self._progress.stage_of[job.rule])

    def _report(self, stage: str, said: Sequence[str] = ()) -> None:
        """Leave news for onlookers, now and then and at the end."""
        now = time.time()
        if self.part and (said or now - self._last_news >= _NEWS_EVERY_S):
            self._last_news = now
            progress = self._progress
            left_s = progress.left_s(self._elapsed_s())
            done, planned = progress.done.total(), progress.planned.total()
            news = News(
                now, stage, done, planned, progress.share, left_s, tuple(said), commands.run(),
                progress.stages(), tuple(self._running.values())[:MOST_RUNNING],
                refused=bool(self._errors) and not self._jobs,
            )  # fmt: skip
            with suppress(OSError):  # a full disk stops the jobs, and they say so
                running.write(Path.cwd(), self.part, news)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def _line(self, job: Failure) -> str:
        left_s = self._progress.left_s(self._elapsed_s())
        left = "" if left_s is None else f"about {duration(left_s)} left"
        stage = self._progress.stage_of[job.rule]
        share = f"{min(99, int(100 * self._progress.share)):3d} %"
        count = self._progress.count(job.rule)
        line = f"{time.strftime('%H:%M:%S')} {share}  {stage:<9} {job.name:<36} {count:<14} {left}"
        return line.rstrip()

    @property
    def rules_failed(self) -> set[str]:
        """Return the rules whose last attempt failed.

        Returns
        -------
        set of str
            Names.
        """
        return {each.rule for each in self._failed.values()}

    @property
    def stopped(self) -> bool:
        """Tell whether a person stopped the run.

        Returns
        -------
        bool
            True after an interrupt.
        """
        return self._stopped

    def failed(self, folder: Path, log: str) -> list[str]:
        """Write the last message of a run that failed; nothing is written after it.

        Parameters
        ----------
        folder
            Working directory.
        log
            Snakemake's log of the run.

        Returns
        -------
        list of str
            Its lines.
        """
        if self._stopped:
            lines = ["Stopped as asked. The same command goes on from here."]
        else:
            lines = summary(list(self._failed.values()), folder) + self._other_errors()
        self._end(lines, _YELLOW if self._stopped else _RED, log)
        return lines

    def succeeded(self, lines: list[str]) -> None:
        """Write the last lines of a run that went well; nothing is written after them.

        Parameters
        ----------
        lines
            What to say; the first is the verdict.
        """
        bad = not lines[0].startswith("✓")
        self._end(lines, _YELLOW if bad else _GREEN)

    def close(self) -> None:
        """Write errors that no end of a run has reported, like those of a config."""
        if not self._over and self._errors:
            self._end(self._other_errors(), _RED)
        super().close()

    def _other_errors(self) -> list[str]:
        texts = dict.fromkeys(without_header(each) for each in self._errors)
        shown = [f"✗ {text}" for text in texts if not text.startswith("Exiting because a job")]
        return [line for text in shown for line in text.splitlines()]

    def _end(self, lines: list[str], colour: int, log: str = "") -> None:
        self._over = True
        self._report("", lines)
        first, *rest = lines or ["✗ The run failed."]
        self._write("\n" + first, colour)
        for line in rest:
            self._write(line, None)
        if log:
            self._write(f"all that ran: {log}", None)

    def _write(self, text: str, colour: int | None) -> None:
        if self._colour and colour is not None:
            text = f"\033[{colour}m{text}\033[0m"
        self._stream.write(text + "\n")
        self._stream.flush()

"""Patience with a cluster's scheduler: no job is dropped because the scheduler does not answer.

The executor plugins take a query that fails for the end of a job: that of Slurm forgets its jobs
when five queries fail in a row and waits for them for ever, that of LSF ends the run, and both take
a submission that found no scheduler for a failed job. Here a job stays on the list until the
scheduler tells its end, and is handed in again until the scheduler takes it.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.terminal import failures
from scripts.terminal.earlier_jobs import Notes

QUIET_S = 300.0  # silence after which a person is told, and again after each such time
LIMIT_S = 86_400.0  # a day without any answer ends the run, as no outage of a scheduler lasts
LONGEST_SLEEP_S = 60.0  # between queries; the plugins let it grow to 180 s while no job ends
FIRST_WAIT_S, LONGEST_WAIT_S = 20.0, 120.0  # before a job is handed in again
_GROWS = {"mem_mb": "memory", "runtime": "time"}  # resource -> the cause that it cures
# what the commands of Slurm and LSF say when they find no scheduler, whatever the job is
_AWAY = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Connection (?:refused|timed out|reset)"
    r"|Zero Bytes were transmitted|Transport endpoint is not connected|No route to host"
    r"|(?:Resource )?temporarily (?:unavailable|unable)|slurm_load_\w+ error: Unable"
    r"|LSF is down|Failed in an LSF library call|Communication time ?out|Cannot connect to LSF"
    r"|LSF daemon .*not respond|batch daemon.*not respond|mbatchd.*(?:down|busy)",
    re.IGNORECASE,
)


class Patience:
    """Takes the place of an executor's queries, submissions and reports, and passes them on.

    Parameters
    ----------
    executor
        Snakemake's executor of a cluster; its methods are replaced on the object.
    say
        Tells a line to a person.
    notes
        Of the jobs that the scheduler has.
    clock
        Gives seconds.
    timer
        Calls a function with an argument after some seconds.
    """

    def __init__(
        self,
        executor: Any,  # noqa: ANN401 - of whichever plugin
        say: Callable[[str], None],
        notes: Notes,
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[float, Callable[[Any], None], Any], None] | None = None,
    ) -> None:
        self._executor, self._say, self._clock, self._notes = executor, say, clock, notes
        self._timer = timer or _later
        self._inquire = executor.check_active_jobs
        self._hand_in = executor.run_job
        self._report_submission = executor.report_job_submission
        self._report_success = executor.report_job_success
        self._report_error = executor.report_job_error
        executor.check_active_jobs = self.check
        executor.run_job = self.submit
        executor.report_job_submission = self.submitted
        executor.report_job_success = self.succeeded
        executor.report_job_error = self.failed
        self._ended: set[int] = set()  # jobs whose end the query under way reported
        self._causes: dict[int, list[str]] = {}  # job -> what ended each of its attempts
        self._tries: dict[int, int] = {}  # job -> times that no scheduler took it
        self._last_news = self._last_word = clock()
        self._last_refusal = -math.inf
        self._watched = 0  # jobs that the scheduler has
        self._cause = ""

    async def check(self, active: Sequence[Any]) -> AsyncGenerator[Any, None]:
        """Ask for the state of jobs; one that nothing is said about stays active.

        Parameters
        ----------
        active
            Jobs that were handed in.

        Yields
        ------
        object
            Each job that has not ended.

        Raises
        ------
        Exception
            What the plugin raised, after a day without any answer.
        """
        self._watched = len(active)
        self._ended.clear()
        told: set[int] = set()
        try:
            async for each in self._inquire(active):
                told.add(id(each))
                yield each
        except Exception as error:
            self._cause = f"{type(error).__name__}: {error}"
            if self._clock() - self._last_news > LIMIT_S:
                raise
        for each in active:
            if id(each) not in told | self._ended:
                yield each
        self._note(heard=bool(told or self._ended or not active))

    def _note(self, *, heard: bool) -> None:
        executor, now = self._executor, self._clock()
        wait_s = executor.next_seconds_between_status_checks
        executor.next_seconds_between_status_checks = min(wait_s, LONGEST_SLEEP_S)
        if heard:
            if self._last_word > self._last_news:
                self._say(
                    f"The scheduler answers again, after {(now - self._last_news) / 60:.0f} min."
                )
            self._last_news, self._cause = now, ""
        elif now - self._last_news > LIMIT_S:
            raise TimeoutError(
                f"no answer of the scheduler for {LIMIT_S / 3600:.0f} h{self._why()}"
            )

    def watch(self) -> None:
        """Tell a person when there was no news of any job for a while; call it now and then."""
        now = self._clock()
        if self._watched and now - max(self._last_news, self._last_word) > QUIET_S:
            self._last_word = now
            self._say(
                f"No news of {self._watched} jobs from the scheduler for"
                f" {(now - self._last_news) / 60:.0f} min{self._why()}. They stay where they are,"
                " and the run goes on when it answers."
            )

    def _why(self) -> str:
        return f" ({self._cause})" if self._cause else ""

    def submit(self, job: Any) -> None:  # noqa: ANN401
        """Hand a job in.

        Parameters
        ----------
        job
            Snakemake's job.

        Raises
        ------
        Exception
            What the plugin raised, where a scheduler refused the job.
        """
        try:
            self._grow_as_needed(job)
        except Exception as error:  # noqa: BLE001 - it asks for what Snakemake says, then
            self._say(f"What a job asks for cannot be changed: {type(error).__name__}: {error}")
        try:
            self._hand_in(job)
        except Exception as error:
            if not self._again(job, str(error)):
                raise

    def _grow_as_needed(self, job: Any) -> None:  # noqa: ANN401
        """Take back the growth of memory or time that was not the cause of a failure."""
        causes = self._causes.get(id(job), [])
        for name, kind in _GROWS.items() if hasattr(job, "rule") else ():
            attempt = 1 + sum(cause in (kind, "") for cause in causes)
            if causes and attempt < job.attempt:
                less = job.rule.expand_resources(
                    job.wildcards_dict, job.input, attempt, skip_evaluation={"tmpdir"}
                )
                asked = dict(job.resources.items()) | {name: less.get(name)}
                job._resources = type(job.resources)(fromdict=asked)

    def _again(self, job: Any, said: str) -> bool:  # noqa: ANN401
        """Hand a job in later that found no scheduler; tell whether that is so."""
        away = _AWAY.search(said)
        if not away or not self._executor.wait:
            return False
        tried = self._tries[id(job)] = self._tries.get(id(job), 0) + 1
        wait_s = min(FIRST_WAIT_S * 2 ** (tried - 1), LONGEST_WAIT_S)
        if tried * LONGEST_WAIT_S > LIMIT_S:
            return False
        if self._clock() - self._last_refusal > QUIET_S:
            self._last_refusal = self._clock()
            reason = away[0]
            self._say(f"The scheduler takes no jobs ({reason}): they are handed in until it does.")
        self._timer(wait_s, self.submit, job)
        return True

    def submitted(self, info: Any, **more: Any) -> None:  # noqa: ANN401
        """Pass on that the scheduler took a job, and note its number.

        Parameters
        ----------
        info
            The job as it was handed in.
        **more
            What else the plugin passes on.
        """
        jobs = getattr(info.job, "jobs", [info.job])  # of a group
        rules = [(job.rule.name, Path(str(job.rule.snakefile)).stem) for job in jobs]
        self._notes.keep(str(info.external_jobid), rules)
        self._report_submission(info, **more)

    def succeeded(self, info: Any) -> None:  # noqa: ANN401
        """Pass on that a job ended well.

        Parameters
        ----------
        info
            The job as it was handed in.
        """
        self._report_success(info)
        self._end(info)

    def failed(self, info: Any, msg: str | None = None, **more: Any) -> None:  # noqa: ANN401
        """Pass on that a job failed, unless it never reached a scheduler.

        Parameters
        ----------
        info
            The job as it was handed in.
        msg
            What the plugin says of it.
        **more
            What else the plugin passes on.
        """
        if info.external_jobid is None and self._again(info.job, msg or ""):
            return
        # before the report, after which the next attempt may begin
        self._causes.setdefault(id(info.job), []).append(_cause(msg, more.get("aux_logs")))
        self._report_error(info, msg=msg, **more)
        self._end(info)

    def _end(self, info: Any) -> None:  # noqa: ANN401
        self._ended.add(id(info))
        if info.external_jobid is not None:
            self._notes.drop(str(info.external_jobid))


def _cause(msg: str | None, logs: Sequence[str | None] | None) -> str:
    """Return what ended a job, by the plugin's words and the scheduler's log; nothing: unknown."""
    texts = [failures.tail(Path(path)) for path in logs or () if path]
    return failures.cause_of("\n".join([msg or "", *texts]))


def of_run(workflow: Any, say: Callable[[str], None]) -> Patience | None:  # noqa: ANN401
    """Give a run patience with its scheduler; the watch ends with the process.

    Parameters
    ----------
    workflow
        Snakemake's object of the run, which has begun.
    say
        Tells a line to a person.

    Returns
    -------
    Patience or None
        None where nothing is sent to a cluster.
    """
    executor = getattr(workflow.scheduler, "_executor", None)
    if not workflow.non_local_exec or not hasattr(executor, "check_active_jobs"):
        return None
    patience = Patience(executor, say, Notes(Path.cwd()))
    threading.Thread(target=_watch, args=(patience,), daemon=True).start()
    return patience


def _watch(patience: Patience) -> None:
    while True:
        time.sleep(QUIET_S / 10)
        patience.watch()


def _later(wait_s: float, call: Callable[[Any], None], argument: Any) -> None:  # noqa: ANN401
    timer = threading.Timer(wait_s, call, (argument,))
    timer.daemon = True
    timer.start()

"""Patience with a service that is down for a while: what is tried again, when, and how long."""

from __future__ import annotations

import logging
import os
import random
import time
from typing import Any, Self

from urllib3.exceptions import MaxRetryError
from urllib3.util.retry import Retry

log = logging.getLogger(__name__)
_ENVIRONMENT = "RENDER_WS_PATIENCE_S"
# a restart of the service's virtual machine takes one to three minutes
DEFAULT_S = 300.0
_LONGEST_WAIT_S = 20.0  # between two tries
_BACKOFF_S = 0.5
# every try of an answer that does not come waits for the whole timeout
_READS = 3


class Patience(Retry):
    """Tries again for so many seconds, at intervals that grow and differ from job to job.

    Only what may be sent twice is sent twice: GET, PUT and DELETE are look-ups or upserts here.
    A connection that was refused has sent nothing, and is tried again for any method.

    Parameters
    ----------
    patience_s
        Seconds from the first failed try after which none follows.
    since_s
        When the first try failed, on the monotonic clock; None: none has failed.
    **options
        Those of urllib3's ``Retry``.
    """

    def __init__(
        self,
        *,
        patience_s: float = DEFAULT_S,
        since_s: float | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self.patience_s = patience_s
        self.since_s = since_s
        usual: dict[str, Any] = {
            "total": None,
            "read": _READS,
            "backoff_factor": _BACKOFF_S,
            "backoff_max": _LONGEST_WAIT_S,
            # 500 too: of a database that is away, or memory that is used up, as of a wrong request
            "status_forcelist": (500, 502, 503, 504),
            "allowed_methods": frozenset({"GET", "PUT", "DELETE"}),
            "raise_on_status": False,
        }
        super().__init__(**usual | options)

    def new(self, **changes: Any) -> Self:  # noqa: ANN401
        """Return a copy that remembers since when it has been tried.

        Parameters
        ----------
        **changes
            Options that differ.

        Returns
        -------
        Patience
            The copy.
        """
        since_s = time.monotonic() if self.since_s is None else self.since_s
        return super().new(patience_s=self.patience_s, since_s=since_s, **changes)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        *rest: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> Self:
        """Count a failed try.

        Parameters
        ----------
        method, url
            Those of the request.
        *rest, **named
            As urllib3 gives them.

        Returns
        -------
        Patience
            For the next try.

        Raises
        ------
        MaxRetryError
            When the time is over.
        """
        following = super().increment(method, url, *rest, **named)
        if time.monotonic() - (following.since_s or 0) >= self.patience_s:
            pool: Any = named.get("_pool")
            raise MaxRetryError(pool, url or "", named.get("error"))
        if self.since_s is None:
            self._tell(method, url, named.get("response"), named.get("error"))
        return following

    def _tell(self, method: str | None, url: str | None, response: Any, error: Any) -> None:  # noqa: ANN401
        """Say at the first failed try why a job stands still, and for how long it may."""
        found = error if response is None else f"status {response.status}"
        log.warning(
            "render-ws fails on %s %s (%s): the job tries again for up to %g s (render.patience_s)",
            *(method, url, found, self.patience_s),
        )

    def get_backoff_time(self) -> float:
        """Return how long to wait before the next try.

        Returns
        -------
        float
            Seconds; half to all of the usual, so that 200 jobs do not come at the same moment.
        """
        return super().get_backoff_time() * random.uniform(0.5, 1)  # noqa: S311 - no secret


def patience_of_environment_s() -> float:
    """Return how long ``render.patience_s`` of the config wants the service to be waited for.

    Returns
    -------
    float
        Seconds, by the environment variable ``RENDER_WS_PATIENCE_S``, which the Snakefile sets.
    """
    return float(os.environ.get(_ENVIRONMENT) or DEFAULT_S)

"""Faults of requests to render-ws: one small family, each also the builtin that it specialises.

::

    RenderError                     message: METHOD URL -> status: first line of the body
    ├── ServiceUnreachable          (UserError, ConnectionError)  no answer, or one of no render-ws
    ├── NotFound                    (LookupError)      404
    │   ├── StackNotFound
    │   └── CollectionNotFound
    ├── RequestRefused              (ValueError)       other 4xx
    ├── ServiceFailed               (UserError)        5xx
    └── ReceiptMismatch             (UserError)        the service does not hold what a receipt says
"""

from __future__ import annotations

from scripts.lib.job import UserError


class RenderError(Exception):
    """Any failure of a request to render-ws."""


class ServiceUnreachable(RenderError, UserError, ConnectionError):
    """No answer although it was waited for, or none of a render-ws."""


class NotFound(RenderError, LookupError):
    """The service answered 404."""


class StackNotFound(NotFound):
    """The stack does not exist."""


class CollectionNotFound(NotFound):
    """The match collection does not exist."""


class RequestRefused(RenderError, ValueError):
    """The service refused the request (4xx)."""


class ServiceFailed(RenderError, UserError):
    """The service failed (5xx)."""


class ReceiptMismatch(RenderError, UserError):
    """The service does not hold what a receipt says."""

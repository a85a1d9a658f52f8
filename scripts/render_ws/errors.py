"""Faults of a request and the status each one answers with.

::

    ServiceError
    ├── NotFound        404   a stack, tile, section, transform or collection that is not there
    ├── BadRequest      400   an illegal argument
    ├── Unauthorized    401   the token that the service asks for is missing or another
    ├── Forbidden       403   a change that this caller, or anybody, may not make
    └── IllegalState    500   a stack in the wrong state: the reference answers 500, not 400
"""

from __future__ import annotations


class ServiceError(Exception):
    """A request that cannot be answered; the message is the plain-text body."""

    status = 500


class NotFound(ServiceError):
    """Something named in the request does not exist."""

    status = 404


class BadRequest(ServiceError):
    """The request itself is wrong."""

    status = 400


class Unauthorized(ServiceError):
    """The service has a token, and the request has not."""

    status = 401


class Forbidden(ServiceError):
    """The service may be read, but not changed: by this caller, or at all."""

    status = 403


class IllegalState(ServiceError):
    """A stack does not allow this now (the documentation says 400, the reference answers 500)."""

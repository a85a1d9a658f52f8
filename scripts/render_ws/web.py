"""What every route uses: path converters, reading of requests, the forms of answers.

Answers are those of the reference: JSON is exactly ``application/json`` (a Java client compares the
header's text), a created thing is 201 with the request's URI as Location and no body, a fault is
plain text.
"""

from __future__ import annotations

import functools
import logging
import math
import re
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, cast

import orjson
from flask import Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, ValidationError
from werkzeug.urls import iri_to_uri

from scripts.render_ws import model
from scripts.render_ws.errors import BadRequest, NotFound, ServiceError
from scripts.render_ws.faults import explain
from scripts.render_ws.matches import CollectionKey
from scripts.render_ws.operations import why_absent
from scripts.render_ws.stacks import StackKey
from scripts.render_ws.store import Store

log = logging.getLogger(__name__)

ROOT = "/" + "render-ws/v1"
OWNER = ROOT + "/owner/<owner>"
STACK = OWNER + "/project/<project>/stack/<stack>"
STORE = "render_ws.store"  # key in the WSGI environment
IMAGE_TILE = "dvid/imagetile/raw/xy/<numbers(2,'_'):size>/<numbers(3,'_'):place>"
COLLECTION = OWNER + "/matchCollection/<name>"

# ---------------------------------------------------------------------------------------------
# paths
# ---------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class NumberConverter(BaseConverter):
    """A double: ``3407``, ``3407.0`` and ``3407.000000`` are one value; anything else is 404."""

    def to_python(self, value: str) -> float:
        """Read the path segment."""
        number = _number(value)
        if number is None:
            raise ValidationError
        return number


class NumbersConverter(BaseConverter):
    """Doubles joined by a separator, as many as the argument says: ``<numbers(4):box>``."""

    def __init__(self, url_map: Any, count: int, separator: str = ",") -> None:  # noqa: ANN401 - Map
        super().__init__(url_map)
        self.count = count
        self.separator = separator

    def to_python(self, value: str) -> list[float]:
        """Read the path segment."""
        numbers = [_number(part) for part in value.split(self.separator)]
        if len(numbers) != self.count or None in numbers:
            raise ValidationError
        return cast(list[float], numbers)


def _number(value: str) -> float | None:
    return float(value) if _NUMBER.fullmatch(value) else None


CONVERTERS = {"number": NumberConverter, "numbers": NumbersConverter}


def take_stack(_: str | None, values: dict[str, Any] | None) -> None:
    """Move the names of the stack from the route's arguments to `stack_key`, checked."""
    if values is not None:
        _check_numbers(values.values())
        key = StackKey(values.pop("owner"), values.pop("project"), values.pop("stack"))
        model.check_stack_names(*key)
        g.key = key


def _check_numbers(values: Iterable[object]) -> None:
    """Refuse numbers of the path, or of lists there, that are beyond those of a double."""
    for value in values:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, float) and not math.isfinite(one):
                raise BadRequest(f"{request.path} holds a number that is too large")


def take_collection(_: str | None, values: dict[str, Any] | None) -> None:
    """Move the names of the collection from the route's arguments to `collection_key`, checked."""
    if values is not None:
        key = CollectionKey(values.pop("owner"), values.pop("name"))
        model.check_collection_names(*key)
        g.key = key


def stack_key() -> StackKey:
    """Return the stack that this request names."""
    return cast(StackKey, g.key)


def collection_key() -> CollectionKey:
    """Return the match collection that this request names."""
    return cast(CollectionKey, g.key)


def store() -> Store:
    """Return the database that this request is for."""
    return cast(Store, request.environ[STORE])


def reading(view: Callable[..., object]) -> Callable[..., Response]:
    """Call a view with a connection that sees one state; send its value, JSON if it is bytes."""

    @functools.wraps(view)
    def run(**values: object) -> Response:
        with store().reading() as db:
            value = view(db, **values)
            return raw(value) if isinstance(value, bytes) else answer(value)

    return run


# ---------------------------------------------------------------------------------------------
# requests
# ---------------------------------------------------------------------------------------------


def body() -> Any:  # noqa: ANN401 - any JSON value
    """Return the request's JSON, None when there is none; the content type does not matter."""
    data = request.get_data(cache=False)
    if not data.strip():
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the request body is no JSON: {error}") from error


def required_body(what: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the request's JSON or raise `BadRequest` when there is none."""
    value = body()
    if value is None:
        raise BadRequest(f"the request has no {what}")
    return value


def flag(name: str) -> bool:
    """Read a query parameter that is true in any letter case; anything else is false."""
    return request.args.get(name, "").lower() == "true"


def number(name: str) -> float | None:
    """Read a query parameter as a double, None when absent; 404 when it is no number."""
    value = request.args.get(name)
    return None if value is None or value == "" else _query_number(name, value)


def numbers(name: str) -> list[float]:
    """Read all of a repeated query parameter as doubles; 404 when one is no number."""
    return [_query_number(name, value) for value in request.args.getlist(name)]


def _query_number(name: str, value: str) -> float:
    found = _number(value)
    if found is None:
        raise NotFound(f"query parameter {name}: {value!r:.80} is not a number")
    if not math.isfinite(found):
        raise BadRequest(f"query parameter {name}: {value:.80} is too large a number")
    return found


def whole(name: str) -> int | None:
    """Read a query parameter as an integer of 32 bits, None when absent; 404 when it is none."""
    value = number(name)
    if value is not None and value != int(value):
        raise NotFound(f"query parameter {name}: {value!r} is not a whole number")
    return None if value is None else model.integer(value)


# ---------------------------------------------------------------------------------------------
# answers
# ---------------------------------------------------------------------------------------------


def answer(value: Any) -> Response:  # noqa: ANN401 - any JSON value
    """Return a value as JSON; None is 204."""
    if value is None:
        return _empty(204)
    return raw(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def raw(data: bytes) -> Response:
    """Return JSON that is text already."""
    return Response(data, content_type="application/json")


def plain(value: str, status: int = 200) -> Response:
    """Return plain text."""
    return Response(value, status, content_type="text/plain")


def done() -> Response:
    """Return 200 without a body."""
    return _empty(200)


def created() -> Response:
    """Return 201 without a body; the Location is the URI of the request."""
    response = _empty(201)
    response.headers["Location"] = iri_to_uri(request.url)
    return response


def _empty(status: int) -> Response:
    response = Response(status=status)
    del response.headers["Content-Type"]
    return response


def on_error(error: Exception) -> Response:
    """Turn any exception into plain text with the right status."""
    if isinstance(error, ServiceError):
        response = plain(str(error), error.status)
        if error.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response
    if isinstance(error, RecursionError):
        return plain("the request is nested too deep", 400)
    if isinstance(error, HTTPException):
        unknown = error.code == 404 and request.url_rule is None
        more = _absent(request.path) if unknown else ""
        response = plain(f"{error.code} {error.name}: {request.path}{more}", error.code or 500)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response
    said = explain(error, store().path) if isinstance(error, sqlite3.Error) else None
    if said is not None:  # of the file, not of the request: clients try again after 503
        log.error("%s %s: %s", request.method, request.path, said[1])
        return plain(said[1], said[0])
    log.exception("%s %s failed", request.method, request.path)
    return plain(f"{type(error).__name__}: {error}", 500)


def _absent(path: str) -> str:
    why = why_absent(path.removeprefix(ROOT))
    return " is not part of this service" + (f": {why}" if why else "")

"""Regular expressions of requests, searched for in a process of their own with a time limit.

A pattern such as ``^(a+)+$`` takes time that doubles with each letter of the text, and holds the
interpreter meanwhile: in this process it would stop the whole service.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence

import orjson

from scripts.render_ws.errors import BadRequest

TIME_LIMIT_S = 5.0  # 100,000 ids of a stack take a tenth of a second
_SEARCH = """
import json, re, sys
pattern, texts = json.load(sys.stdin)
try:
    search = re.compile(pattern).search
except (re.error, RecursionError, OverflowError) as error:
    sys.exit(str(error) or type(error).__name__)
json.dump([i for i, text in enumerate(texts) if search(text)], sys.stdout)
"""
_one_at_a_time = threading.Lock()


def matching(pattern: str, texts: Sequence[str]) -> list[str]:
    """Return those of `texts` in which `pattern` is found (unanchored), in their order.

    Raises
    ------
    BadRequest
        When it is no regular expression, or takes longer than `TIME_LIMIT_S`.
    """
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _SEARCH]
    data = orjson.dumps([pattern, texts])
    try:
        with _one_at_a_time:
            done = subprocess.run(
                command, input=data, capture_output=True, timeout=TIME_LIMIT_S, check=False
            )
    except subprocess.TimeoutExpired as error:
        raise BadRequest(
            f"matchPattern {pattern!r:.200} takes longer than {TIME_LIMIT_S:g} s:"
            " repeat less inside of what is repeated"
        ) from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise BadRequest(f"matchPattern {pattern!r:.200} is no regular expression: {reason}")
    return [texts[i] for i in orjson.loads(done.stdout)]

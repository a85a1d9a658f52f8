"""A headless Chromium, driven through a pipe by its DevTools protocol."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_S = 60  # the machine may have other work
# no word to the outside: the machine may have no network
QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update")


class Page:
    """One tab: go somewhere, evaluate a script, hear what went wrong."""

    def __init__(self, to: Any, answers: Any) -> None:
        self.to, self.answers, self.count, self.errors = to, answers, itertools.count(1), []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = found["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")

    session: str | None = None

    def call(self, method: str, **parameters: Any) -> Any:
        number = next(self.count)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        while True:
            answer = json.loads(self._read())
            self._hear(answer)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _hear(self, answer: Any) -> None:
        given = answer.get("params", {})
        thrown = answer.get("method") == "Runtime.exceptionThrown"
        if thrown or given.get("entry", {}).get("level") == "error":
            self.errors.append(json.dumps(given)[:500])

    def _read(self) -> bytes:
        out = bytearray()
        while (letter := self.answers.read(1)) != b"\0":
            assert letter, "the browser ended"
            out += letter
        return bytes(out)

    def run(self, script: str) -> Any:
        """The value of an expression."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def until(self, script: str) -> Any:
        """Wait until an expression is true; its value."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            found = self.run(script)
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}\n{self.run('document.body.innerText')}")


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """A tab of a browser that keeps its files in `folder`."""
    (read, told), (answers, write) = os.pipe(), os.pipe()
    command = f'exec "$0" "$@" 3<&{read} 4>&{write}'
    browser = subprocess.Popen(
        [
            *("bash", "-c", command, str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu"),
            *(*QUIET, "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"),
        ],
        pass_fds=(read, write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read)
    os.close(write)
    with os.fdopen(told, "wb") as to, os.fdopen(answers, "rb") as back:
        try:
            yield Page(to, back)
        finally:
            browser.terminate()
            browser.wait()

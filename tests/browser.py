"""A page in a real browser without a window: what a person's browser makes of it, as figures.

The page is put into a frame of a given width (a browser without a window is never narrower than
500 px), a script runs there once it has loaded, and what it returns comes back through the DOM.
"""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
needed = pytest.mark.skipif(BROWSER is None, reason="needs Chromium (or CHROMIUM=its path)")
LIMIT_S = 120
TRIES = 3  # a busy machine may end the virtual time before the page is there
# errors are caught before any script of the page runs
WATCH = """<script>window.faults = [];
addEventListener("error", (e) => faults.push(String(e.message || e.target.src || e.type)), true);
addEventListener("unhandledrejection", (e) => window.faults.push(String(e.reason)));
for (const kind of ["error", "warn"]) {
  const said = console[kind];
  console[kind] = (...words) => { window.faults.push(words.join(" ")); said(...words); };
}</script>"""
FRAME = """<!DOCTYPE html><html><body style="margin:0">
<iframe id="frame" style="border:0;width:{width}px;height:{height}px" srcdoc="{page}"></iframe>
<script>
const frame = document.getElementById("frame");
frame.addEventListener("load", () => setTimeout(async () => {{
  let out;
  try {{
    const body = "return (async () => {{" + {script} + "}})()";
    out = await (new frame.contentWindow.Function(body))();
  }} catch (error) {{ out = {{ failed: String(error) }}; }}
  document.body.innerHTML = "";
  const pre = document.createElement("pre");
  pre.id = "out";
  pre.textContent = JSON.stringify(out);
  document.body.append(pre);
}}, 400));
</script></body></html>"""
# elements that stick out of the page, unless something around them scrolls
OVERFLOWING = """
const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
const inside = (e) => { for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
  if (scrolls(p)) return true; return false; };
const wide = document.documentElement.clientWidth + 1;
const out = [...document.body.querySelectorAll("*")].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && (box.right > wide || box.left < -1) && !inside(e); });
"""


def run(page, script, folder, *, width=1280, height=900, dark=False):
    """What `script`, the body of an async function, returns in a page (HTML text) of a width."""
    text = page.replace("<head>", f"<head>{WATCH}", 1)
    framed = FRAME.format(
        width=width, height=height, page=html.escape(text, quote=True), script=json.dumps(script)
    )
    path = Path(folder) / "frame.html"
    path.write_text(framed)
    for _ in range(TRIES):
        dumped = _dumped(path, folder, dark=dark)
        if found := re.search(r'<pre id="out">(.*?)</pre>', dumped, re.DOTALL):
            break
    assert found, f"the page did not load: {dumped[:400]}"
    out = json.loads(html.unescape(found[1]))
    assert not (isinstance(out, dict) and "failed" in out), out
    return out


def _dumped(path, folder, *, dark):
    words = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={folder}/profile", "--virtual-time-budget=20000",
        "--window-size=1400,1000", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout

"""Issue: the text for the tracking issue of a volume (Markdown).

Sections of the reference's text: file system paths, render data, links, notes. Paths are relative
to the working directory, and a service is only linked when the config names one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2

from scripts.lib.verdicts import ABSENT, GOOD, LOOK, NOT_GOOD
from scripts.report.finding import Finding

TEMPLATE = """\
## {{ volume }}

### File system paths

```
working directory   {{ facts.work_dir }}
raw 16-bit HDF5     h5/raw
align 8-bit HDF5    h5/align
{%- for path in facts.volumes %}
volume              -i {{ path }} -o {{ facts.origin_xyz }}
{%- endfor %}
report              report/index.html
```

### Render data

```json
{{ facts.render | tojson(indent=2) }}
```
{%- if links %}
{% for name, url in links.items() %}
* [{{ name }}]({{ url }})
{%- endfor %}
{%- endif %}
* correlation with next and thickness: `zcorr/thickness.html`, values in `zcorr/Zcoords.txt`
{%- for name, url in facts.neuroglancer.items() %}
* [{{ name }} in Neuroglancer]({{ url }})
{%- endfor %}

### Figures

| | |
|---|---|
{%- for name, value in rows %}
| {{ name }} | {{ value }} |
{%- endfor %}

### Notes

Verdict: {{ verdict }}
{% for finding in findings %}
* **{{ finding.stage }}** ({{ words[finding.state] }}): {{ finding.reason }}
{%- else %}
* nothing stands out
{%- endfor %}

### Workflow
{% for label, done in labels %}
- [{{ "x" if done else " " }}] {{ label }}
{%- endfor %}
"""


WORDS = {GOOD: "noticed", LOOK: "look", NOT_GOOD: "not good"}


@dataclass(frozen=True)
class Facts:
    """Names and places the issue mentions."""

    work_dir: str  # as written in the config
    render: Mapping[str, str]  # owner, project, stack, matchCollection
    volumes: Sequence[str]  # exported containers with their dataset
    origin_xyz: str  # px, "x,y,z"
    url: str = ""  # of the render service; empty = embedded, not linked
    neuroglancer: Mapping[str, str] = field(default_factory=dict)  # link by format


def issue(
    figures: Mapping[str, Any],
    rows: Sequence[tuple[str, str]],
    findings: Sequence[Finding],
    facts: Facts,
) -> str:
    """Return the Markdown text; `rows` are the headline figures as (name, value)."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    return environment.from_string(TEMPLATE).render(
        volume=figures["volume"],
        facts=facts,
        links=links(facts),
        rows=rows,
        findings=findings,
        words=WORDS,
        verdict=figures["verdict"]["state"],
        labels=labels(figures),
    )


def links(facts: Facts) -> dict[str, str]:
    """Return links into the render service: its stacks, the restart tiles, the match collection."""
    if not facts.url.startswith("http"):
        return {}
    base = facts.url.rstrip("/")
    owner, project = facts.render["owner"], facts.render["project"]
    stacks = f"{base}/owner/{owner}/project/{project}/stack"
    acquire, collection = facts.render["acquireStack"], facts.render["matchCollection"]
    return {
        "stacks of the project": f"{base}/owner/{owner}/stacks",
        "restart tiles": f"{stacks}/{acquire}/resolvedTiles?groupId=restart",
        "match collection": f"{base}/owner/{owner}/matchCollection/{collection}/pGroupIds",
    }


def labels(figures: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return the steps of the tracking board and whether the run has done them."""

    def done(stage: str) -> bool:
        return figures[stage]["status"] not in (ABSENT, NOT_GOOD)

    return [
        ("prep done", done("ingest")),
        ("matches done", done("match")),
        ("alignment done", done("solve")),
        ("alignment review done", False),
        ("z correction done", done("zcorr")),
        ("straightening done", "straighten" in figures["correct"]["steps"]),
        ("export done", done("export")),
    ]

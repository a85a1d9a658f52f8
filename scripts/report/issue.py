"""Issue: the text for the tracking issue of a volume (Markdown).

Sections of the reference's text: file system paths, render data, links, notes, steps. Paths are
those that others can follow, and links lead only to where others come: a service that the config
names, volumes that are served by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2

from scripts.lib.verdicts import GOOD, LOOK, NOT_GOOD
from scripts.report import board
from scripts.report.finding import Finding

TEMPLATE = """\
## {{ volume }}

### File system paths

```
working directory   {{ facts.work_dir }}
raw 16-bit HDF5     {{ facts.raw }}
align 8-bit HDF5    {{ facts.align }}
{%- for path in facts.volumes %}
volume              -i {{ path }} -o {{ facts.origin_xyz }}
{%- endfor %}
report              {{ facts.work_dir }}/report/index.html
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
{%- if facts.hidden %}
* no link to Neuroglancer: export.data_url leads to one computer alone
{%- endif %}

### Figures

| | |
|---|---|
{%- for name, value in rows %}
| {{ name }} | {{ value }} |
{%- endfor %}

### Notes

Verdict: {{ verdict }}
{%- for line in eased %}
* {{ line }}
{%- endfor %}
{% for finding in findings %}
* **{{ finding.stage }}** ({{ words[finding.state] }}): {{ finding.reason }}
{%- else %}
* nothing stands out
{%- endfor %}
"""

WORKFLOW = """\

### Workflow

Board: {{ column }}. Corrections: {{ steps }}.
{% for label, done in labels %}
- [{{ "x" if done else " " }}] {{ label }}
{%- endfor %}
"""
_HEADING = "### Workflow"
WORDS = {GOOD: "noticed", LOOK: "look", NOT_GOOD: "not good"}


@dataclass(frozen=True)
class Facts:
    """Names and places the issue mentions."""

    work_dir: str  # absolute
    raw: str  # folder of the raw HDF5 files, where they stay
    align: str  # of the align HDF5 files
    render: Mapping[str, str]  # owner, project, stack, matchCollection
    volumes: Sequence[str]  # exported containers with their dataset
    origin_xyz: str  # px, "x,y,z"
    url: str = ""  # of the render service; empty = embedded, not linked
    neuroglancer: Mapping[str, str] = field(default_factory=dict)  # link by format, for everybody
    hidden: bool = False  # there are volumes, but no link that others can open
    imaging: bool = False  # the microscope is still at work on it


def issue(
    figures: Mapping[str, Any],
    rows: Sequence[tuple[str, str]],
    findings: Sequence[Finding],
    facts: Facts,
) -> str:
    """Return the Markdown text; `rows` are the headline figures as (name, value)."""
    text = _rendered(
        TEMPLATE,
        volume=figures["volume"],
        facts=facts,
        links=links(facts),
        rows=rows,
        findings=findings,
        words=WORDS,
        verdict=figures["verdict"]["state"],
        eased=figures["verdict"].get("eased", ()),
    )
    return text + workflow(figures, Path(), imaging=facts.imaging)


def workflow(figures: Mapping[str, Any], work: Path, *, imaging: bool) -> str:
    """Return the last section: the steps that ran, and the column of the board."""
    return _rendered(
        WORKFLOW,
        labels=board.labels(figures, work, imaging=imaging),
        column=board.column(figures, work, imaging=imaging),
        steps=", ".join(figures["correct"]["steps"]) or "none",
    )


def with_workflow(text: str, section: str) -> str:
    """Return an issue's text with its last section renewed: what was done after the report."""
    return text.partition(_HEADING)[0].rstrip() + "\n" + section


def _rendered(template: str, **values: Any) -> str:  # noqa: ANN401 - of a template
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,  # noqa: S701
    )
    return environment.from_string(template).render(**values)


def links(facts: Facts) -> dict[str, str]:
    """Return links into the render service: its stacks, the restart tiles, the match collection."""
    if not facts.url.startswith("http"):
        return {}
    base = facts.url.rstrip("/")
    owner, project = facts.render["owner"], facts.render["project"]
    stacks = f"{base}/owner/{owner}/project/{project}/stack"
    acquire, collection = facts.render["acquireStack"], facts.render["matchCollection"]
    # a page of the site's service; the parameters are those that it writes into its own address
    seen = {"matchCollection": collection, "matchOwner": owner, "renderStack": acquire}
    seen |= {"renderStackOwner": owner, "renderStackProject": project}
    explorer = f"{base.removesuffix('/v1')}/view/point-match-explorer.html?{urlencode(seen)}"
    return {
        "stacks of the project": f"{base}/owner/{owner}/stacks",
        "restart tiles": f"{stacks}/{acquire}/resolvedTiles?groupId=restart",
        "match collection": f"{base}/owner/{owner}/matchCollection/{collection}/pGroupIds",
        "point match explorer": explorer,
    }

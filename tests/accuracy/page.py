"""The table of docs/accuracy.md, written from the rows; lines of what did not run here stay."""

import re

from scripts.lib import files

BEGIN = "<!-- rows: written by `make accuracy` -->"
END = "<!-- end of rows -->"
HEAD = (
    "stress", "volume", "seed", "relative, px", "as acquired", "absolute, px", "seams, px",
    "z, layers", "tiles lost", "verdict", "false", "missed", "pystackreg", "the report says",
    "code",
)  # fmt: skip
REMARK = re.compile(r"- (\w+), (\w+), seed (\d+): ")
SAID = 110  # letters of the first finding that are shown


def write(path, rows, table):
    """Put summary and table between the marks of the page, whose other text stays."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path}: expected the lines {BEGIN!r} and {END!r}")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    files.write_text(path, f"{before}{BEGIN}\n\n{body(rows, table, old)}\n{END}{after}")


def body(rows, table, old=""):
    """Give everything that the rows say: counts, the table, and each row that needs words.

    Of rows that did not run here the lines of the text before, `old`, stay.
    """
    lines = {key_of(line): line for line in old.splitlines() if key_of(line)}
    lines = {key: with_code(line) for key, line in lines.items()}
    lines |= {named(row): "| " + " | ".join(cells(row)) + " |" for row in rows}
    names = {name: i for i, name in enumerate(table["stresses"])}
    keys = sorted(lines, key=lambda k: (names.get(k[0], 99), k[1] != "fib25", k[2]))
    here = {named(row) for row in rows}
    said = [
        one
        for one in old.splitlines()
        if (found := REMARK.match(one)) and found.groups() not in here
    ]
    head = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    shown = [lines[key] for key in keys]
    return "\n".join([*summary(shown, table), "", *head, *shown, "", *remarks(rows, said)])


def named(row):
    return row["stress"], row["volume"], str(row["seed"])


def key_of(line):
    """Give stress, volume and seed of a line of the table; nothing of any other line."""
    words = of_line(line)
    return tuple(words[:3]) if len(words) >= len(HEAD) - 1 and words[2].isdigit() else ()


def of_line(line):
    return [one.strip() for one in line.strip().strip("|").split(" | ")] if "|" in line else []


def with_code(line):
    """Give a line of a table that had no column of the code yet, with the column."""
    return line if len(of_line(line)) == len(HEAD) else f"{line} earlier |"


def summary(lines, table):
    """Count the lines of the table."""
    told = [dict(zip(HEAD, of_line(line), strict=True)) for line in lines]
    peers = [one for one in told if one["pystackreg"] != "-"]
    counts = {
        "relative max above 1 px": [one for one in told if most(one["relative, px"]) > 1],
        "of these with the verdict good (silent)": [
            one for one in told if "silent" in one["verdict"]
        ],
        "that missed a finding, or did not name a step above 1 px": [
            one for one in told if one["missed"] != "0"
        ],
        "with a false finding": [one for one in told if one["false"] != "0"],
        "that stopped before the end": [one for one in told if one["verdict"] == "stopped"],
        f"where pystackreg is better in relative rms, of {len(peers)}": [
            one for one in peers if one["pystackreg"].startswith("**")
        ],
    }
    wanted = 3 * len(table["stresses"]) * len(table["volumes"])
    return [
        f"{len(lines)} of {wanted} rows have run.",
        "",
        "| | rows |",
        "|---|---|",
        *(f"| {words} | {len(found)} |" for words, found in counts.items()),
    ]


def most(cell):
    """Give the maximum of a cell of `pair`."""
    return float(cell.partition("/")[2] or 0)


def px(row, kind, name):
    return (row.get(kind) or {}).get(name, 0.0)


def peer_is_better(row):
    peer = row.get("pystackreg")
    return bool(peer and row.get("relative")) and px(peer, "relative", "rms_px") < px(
        row, "relative", "rms_px"
    )


def cells(row):
    z = row.get("z")
    nominal = (row.get("nominal") or {}).get("z")
    said = row["findings"][0] if row["findings"] else ""
    peer = row.get("pystackreg")
    both = f"{pair(peer, 'relative')}; {pair(peer, 'absolute')}" if peer else "-"
    return [
        row["stress"],
        row["volume"],
        str(row["seed"]),
        pair(row, "relative"),
        pair(row.get("nominal") or {}, "relative"),
        pair(row, "absolute"),
        pair(row, "seams"),
        f"{z['rms_layers']:.2f} ({nominal['rms_layers']:.2f})" if z and nominal else "-",
        str(row.get("tiles_missing", "-")),
        ("**silent** " if row["silent"] else "") + str(row["verdict"]),
        str(len(row["false"])),
        str(len(row["missed"]) + len(row["unnamed"])),
        f"**{both}**" if peer_is_better(row) else both,
        plain(said),
        f"`{row['code']}`",
    ]


def pair(row, kind):
    """Give rms and maximum."""
    if not row.get(kind):
        return "-"
    return f"{row[kind]['rms_px']:.2f} / {row[kind]['max_px']:.1f}"


def plain(text, letters=SAID):
    """Give a text that can stand in a cell."""
    text = " ".join(text.replace("|", "/").replace("<", "&lt;").split())
    return text if len(text) <= letters else text[: letters - 1] + "…"


def remarks(rows, said=()):
    """Give a line for each finding that was missed or is false, and for each run that failed."""
    out = list(said)
    for row in rows:
        where = f"{row['stress']}, {row['volume']}, seed {row['seed']}"
        for kind in ("missed", "unnamed", "false"):
            out += [f"- {where}: {kind}: {plain(one, 200)}" for one in row[kind]]
        if row["failed"]:
            out.append(f"- {where}: stopped: {plain(row['failed'], 300)}")
    return ["What was missed, not named or named wrongly:", "", *out] if out else []


def line(row):
    """Give a row in one line, for the terminal."""
    said = {
        "silent": row["silent"],
        "false": row["false"],
        "missed": row["missed"] + row["unnamed"],
    }
    words = ", ".join(f"{kind} {value}" for kind, value in said.items() if value)
    figures = f"relative {pair(row, 'relative')} px, absolute {pair(row, 'absolute')} px"
    where = f"{row['stress']} {row['volume']} {row['seed']}"
    return f"{where}: {figures}, {row['verdict']}; {words or 'as expected'} ({row['wall_s']} s)"

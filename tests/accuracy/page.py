"""The tables of docs/accuracy.md, written from the rows."""

from scripts.lib import files

BEGIN = "<!-- rows: written by `make accuracy` -->"
END = "<!-- end of rows -->"
HEAD = (
    "stress", "volume", "seed", "relative, px", "as acquired", "absolute, px", "seams, px",
    "z, layers", "tiles lost", "verdict", "false", "missed", "pystackreg", "the report says",
)  # fmt: skip
SAID = 110  # letters of the first finding that are shown


def write(path, rows, table):
    """Put summary and table between the marks of the page, whose other text stays."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path}: expected the lines {BEGIN!r} and {END!r}")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    files.write_text(path, f"{before}{BEGIN}\n\n{body(rows, table)}\n{END}{after}")


def body(rows, table):
    """Give everything that the rows say: counts, the table, and each row that needs words."""
    names = list(table["stresses"])
    order = {name: i for i, name in enumerate(names)}
    rows = sorted(
        rows, key=lambda r: (order.get(r["stress"], 99), r["volume"] != "fib25", r["seed"])
    )
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join([*summary(rows, table), "", *lines, "", *remarks(rows)])


def summary(rows, table):
    wanted = 3 * len(table["stresses"]) * len(table["volumes"])
    wrong = [r for r in rows if px(r, "relative", "max_px") > 1]
    better = [r for r in rows if peer_is_better(r)]
    peers = [r for r in rows if r.get("pystackreg")]
    codes = ", ".join(sorted({f"`{row['code']}`" for row in rows}))
    return [
        f"{len(rows)} of {wanted} rows have run (code {codes}).",
        "",
        "| | rows |",
        "|---|---|",
        f"| relative max above 1 px | {len(wrong)} |",
        f"| of these with the verdict good (silent) | {sum(r['silent'] for r in rows)} |",
        f"| with a step above 1 px that nothing names | {sum(bool(r['unnamed']) for r in rows)} |",
        f"| that missed a finding | {sum(bool(r['missed']) for r in rows)} |",
        f"| with a false finding | {sum(bool(r['false']) for r in rows)} |",
        f"| that stopped before the end | {sum(bool(r['failed']) for r in rows)} |",
        f"| where pystackreg is better in relative rms, of {len(peers)} | {len(better)} |",
    ]


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


def remarks(rows):
    """Give a line for each finding that was missed or is false, and for each run that failed."""
    out = []
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

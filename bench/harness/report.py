"""Results for people: a table, doc/benchmarks.md's tables, a picture."""
import shutil
import subprocess

from . import results
from .scenarios import SCENARIOS


def _cells(summary, row, system):
    text = results.number(summary.median(row, system), summary.unit[row])
    spread = summary.spread(row, system)
    return f"{text} ±{spread * 100:.0f}%" if spread >= 0.005 else text


def table(document, mode):
    """Lines of Markdown: medians with spread, then layerfs's ratios."""
    summary = results.Summary(document, mode)
    ours = [s for s in summary.systems if s.startswith("layerfs")]
    if not summary.systems:
        return []
    ratios = [s for s in ("layerfs", "layerfs-devfuse") if s in ours]
    head = ["load", "step", *summary.systems]
    head += [f"{s} / {other}" for s in ratios for other in ("overlayfs", "best peer")]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    last = None
    for row in summary.rows():
        cells = [row[0] if row[0] != last else "", row[1]]
        cells += [_cells(summary, row, system) for system in summary.systems]
        for system in ratios:
            for others in (["overlayfs"], results.PEERS):
                cells.append(results.ratio_text(summary.ratio(row, system, others)))
        lines.append("| " + " | ".join(cells) + " |")
        last = row[0]
    for (scenario, system), why in summary.failures.items():
        lines.append(f"\n{system} does not do {scenario}: {why}")
    return lines


def daemon_table(document, mode):
    """What the daemons used: CPU seconds / context switches."""
    summary = results.Summary(document, mode)
    systems = [s for s in summary.systems if any(k[2] == s and v[0][1] for k, v in summary.usage.items())]
    lines = ["| load | step | " + " | ".join(systems) + " |", "|" + "---|" * (len(systems) + 2)]
    for row in summary.rows():
        used = [summary.daemon(row, system) for system in systems]
        if any(used):
            cells = [f"{u[0]:.2f} s / {u[1]:.0f}" if u else "-" for u in used]
            lines.append(f"| {row[0]} | {row[1]} | " + " | ".join(cells) + " |")
    return lines


def markdown(document):
    """All that is generated of doc/benchmarks.md."""
    machine = document["machine"]
    lines = ["| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in machine.items()]
    lines += [f"| command | `{document['command']}` |",
              f"| rounds | {document['rounds']} (fewer where time ran out) |",
              f"| took | {document['minutes']:.0f} minutes |", ""]
    for mode, title in results.MODES.items():
        tables = table(document, mode)
        if tables:
            lines += [f"### {title[0].upper()}{title[1:]}", "", *tables, ""]
            lines += [f"What the daemons used {title}: processor seconds / context switches.", "",
                      *daemon_table(document, mode), ""]
    lines += ["What the loads are:", ""]
    lines += [f"- {s.name}: {s.about}" for s in SCENARIOS.values() if s.about]
    return "\n".join(lines) + "\n"


def write_into(path, document):
    """Replaces what stands between the two marks in the file."""
    begin, end = "<!-- bench/run --report begins -->", "<!-- bench/run --report ends -->"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if begin not in text or end not in text:
        raise SystemExit(f"bench/run: {path} lacks the line {begin} or {end}")
    head, rest = text.split(begin, 1)
    tail = rest.split(end, 1)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{head}{begin}\n{markdown(document)}{end}{tail}")


def picture(document, path):
    """An SVG: for each step how many times overlayfs's time each system takes, by gnuplot."""
    summary = results.Summary(document, "root")
    systems = [s for s in ("layerfs", "layerfs-devfuse", *results.PEERS) if s in summary.systems]
    rows = [r for r in summary.rows()
            if summary.unit[r] == "s" and summary.median(r, "overlayfs")]
    if not rows or not systems or not shutil.which("gnuplot"):
        return False
    data = ["step\t" + "\t".join(systems)]
    for row in rows:
        values = [summary.ratio(row, system, ["overlayfs"]) for system in systems]
        name = f"{row[0]}: {row[1]}".replace("_", " ").replace('"', "")
        data.append(f'"{name}"\t' + "\t".join("?" if v is None else f"{v:.4f}" for v in values))
    width = 24 * len(rows) + 160
    script = f"""
set terminal svg size {max(width, 800)},700 dynamic font "sans,11" background "#ffffff"
set output "{path}"
set datafile separator "\\t"
set datafile missing "?"
set title "Time as a multiple of the kernel's overlayfs (log scale; below 1 is faster)"
set logscale y
set grid ytics
set style data histograms
set style histogram clustered gap 1
set style fill solid border -1
set xtics rotate by -60 font "sans,9"
set key top left
set arrow from graph 0, first 1 to graph 1, first 1 nohead lw 2
plot for [i=2:{len(systems) + 1}] $data using i:xtic(1) title columnheader(i)
"""
    rows_text = "\n".join(data)
    subprocess.run(["gnuplot"], input=f"$data << EOD\n{rows_text}\nEOD\n{script}", text=True, check=True)
    return True

"""The section of doc/conformance.md that has the table."""
import collections
import datetime
import os
import pathlib
import re
import subprocess

import lowers

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "doc/conformance.md"
HEADING = "## Lower and upper file systems\n"
COUNTS = ("bytes", "errnos", "inos")
# What a line of Counts.inos says, and how it is summed up.
REASONS = [("another number for", "changed the number of a hard link"),
           ("one number for", "had one number for several files"),
           ("several numbers for", "had several numbers for one file"),
           ("had number", "had another number after a remount"),
           ("is listed as", "was listed with another number than it has"),
           ("it was (", "changed its number at copy-up"),
           (" links, not ", "had a wrong link count")]


def cell(side):
    if any(note.startswith("not mounted") for note in side["notes"]):
        return "refused"
    return " ".join(str(len(side[what])) for what in COUNTS)


def table(results):
    lines = [f"| lower | {' | '.join(f'upper on {upper}' for upper in lowers.UPPERS)} |",
             "|---|" + "---|" * len(lowers.UPPERS)]
    for kind, uppers in results.items():
        cells = [" / ".join(cell(uppers[upper][name]) for name in ("layerfs", "overlay"))
                 if upper in uppers else "not run" for upper in lowers.UPPERS]
        lines.append(f"| {lowers.KINDS[kind][1]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def summary(lines):
    """How often each reason is in lines of Counts.inos."""
    counts = collections.Counter()
    for line in lines:
        counts[next((text for part, text in REASONS if part in line), line)] += 1
    return ", ".join(f"{count} {text}" for text, count in counts.most_common())


def without_stage(line):
    """And without what is different in each run."""
    return re.sub(r"\d{3,}", "N", line.split(": ", 1)[-1])


def explained(results, name, title):
    """What is not zero for one union, the uppers of a kind together if they agree."""
    lines = []
    for kind, uppers in results.items():
        said = collections.defaultdict(list)
        for upper, sides in uppers.items():
            side, words = sides[name], []
            for what in ("bytes", "errnos"):
                words += [f"`{without_stage(line)}`" for line in side[what][:3]]
                words += [f"and {len(side[what]) - 3} more"] * (len(side[what]) > 3)
            words += [summary(side["inos"])] * bool(side["inos"])
            if words:
                said[", ".join(words)].append(upper)
        lines += [f"- {lowers.KINDS[kind][1]} ({', '.join(on)}): {words}" for words, on in said.items()]
    return f"\n### Not zero: {title}\n\n" + "\n".join(lines or ["Nothing."]) + "\n"


def refused(results):
    """What the unions do not mount, by the sentence."""
    said = collections.defaultdict(dict)
    for kind, uppers in results.items():
        for sides in uppers.values():
            for name, side in sides.items():
                for note in side["notes"]:
                    said[name, note][lowers.KINDS[kind][1]] = True
    titles = {"overlay": "kernel overlayfs", "layerfs": "layerfs"}
    lines = [f"- {titles[name]}, {note} ({', '.join(kinds)})" for (name, note), kinds in said.items()]
    return "\n### Not mounted, or without hard links\n\n" + "\n".join(lines or ["Nothing."]) + "\n"


def not_in_kernel():
    known = pathlib.Path("/proc/filesystems").read_text(encoding="utf-8").split()
    return ", ".join(kind for kind in ("iso9660", "vfat", "f2fs") if kind not in known) or "nothing"


def section(results, options):
    commit = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%h of %as"],
                            capture_output=True, text=True).stdout.strip()
    return f"""{HEADING}
layerfs and kernel overlayfs side by side over layers of every kind, counted by `tests/matrix/run
--page`, which writes this section. Each cell has three counts for layerfs, then three for kernel
overlayfs: names or contents that are wrong; operations whose errno or result differs between the two;
inode numbers and link counts that are wrong. The layers hold two trees of one shape, of which each
file's inode number is that of its twin wherever there are two devices, with hard links of files,
symlinks and pipes. Both unions do the same {options.ops} random operations and some chosen ones,
with remounts in between; then the lower layers are replaced by a newer build below the old upper.

Where layerfs cannot be certain which file of a lower layer an upper file came from (equal or no UUIDs,
several devices below one layer), a file with a second name, or one that was moved to another directory,
may have another number after a remount, and hard links break at copy-up. Kernel overlayfs shows the
numbers of a layer as they are, so that files of several devices below one file system share them.

- {datetime.date.today()}, Linux {os.uname().release}, layerfs {commit}, `{options.options}`
- not tried, since this kernel does not have it: {not_in_kernel()}

{table(results)}{refused(results)}{explained(results, "layerfs", "layerfs")}{explained(
        results, "overlay", "kernel overlayfs")}"""


def write_page(page, results, options):
    """Puts the section in the place of the old one, or at the end."""
    text = page.read_text(encoding="utf-8")
    before, _, old = text.partition(HEADING)
    rest = old.partition("\n## ")[2]
    after = f"\n## {rest}" if rest else ""
    page.write_text(f"{before.rstrip()}\n\n{section(results, options)}{after}", encoding="utf-8")
    print(f"written to {page}")

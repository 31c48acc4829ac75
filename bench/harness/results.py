"""Medians, spread and ratios of what was measured."""
import json
import statistics
from collections import defaultdict

MODES = {"root": "as root", "user": "in a user namespace"}
PEERS = ("fuse-overlayfs", "unionfs-fuse")


def save(path, document):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class Summary:
    """Of one mode: the median and spread of each step on each system, in the order measured."""

    def __init__(self, document, mode):
        self.values = defaultdict(list)  # (scenario, step, system) -> values
        self.unit = {}                   # (scenario, step) -> "s" or "KiB"
        self.usage = defaultdict(list)   # (scenario, step, system) -> (cpu, switches)
        self.failures = {}               # (scenario, system) -> why
        self.systems = []
        for record in document["records"]:
            if record["mode"] != mode:
                continue
            system, scenario = record["system"], record["scenario"]
            if system not in self.systems:
                self.systems.append(system)
            if "failed" in record:
                self.failures[scenario, system] = record["failed"]
                continue
            row = scenario, record["step"]
            self.unit[row] = "KiB" if "kib" in record else "s"
            self.values[(*row, system)].append(record.get("kib", record.get("seconds")))
            if "daemon_cpu" in record:
                self.usage[(*row, system)].append((record["daemon_cpu"], record["daemon_switches"]))

    def rows(self):
        return list(self.unit)

    def median(self, row, system):
        values = self.values.get((*row, system))
        return statistics.median(values) if values else None

    def spread(self, row, system):
        """Half of what lies between the slowest and the fastest, as a part of the median."""
        values = self.values.get((*row, system), [])
        if len(values) < 2 or not statistics.median(values):
            return 0.0
        return (max(values) - min(values)) / 2 / statistics.median(values)

    def ratio(self, row, system, others):
        """How many times as long as the fastest of `others`."""
        own = self.median(row, system)
        medians = [self.median(row, other) for other in others]
        medians = [median for median in medians if median]
        return own / min(medians) if own is not None and medians else None

    def daemon(self, row, system):
        """Medians of the daemon's CPU seconds and context switches."""
        used = self.usage.get((*row, system))
        if not used:
            return None
        return tuple(statistics.median(column) for column in zip(*used))


def number(value, unit):
    if value is None:
        return "-"
    if unit == "KiB":
        return f"{value / 1024:.1f} MiB"
    if value < 0.1:
        return f"{value * 1000:.2f} ms"
    return f"{value:.2f} s"


def ratio_text(value):
    return "" if value is None else f"{value:.2f}"

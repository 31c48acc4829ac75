"""What the numbers were measured on."""
import datetime
import os
import platform
import re
import subprocess


def _version(program):
    """The line in which the program names itself; libfuse's tools say more than that."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False,
                              timeout=10)
        lines = (done.stdout + done.stderr).strip().splitlines()
        name = os.path.basename(program)
        return next((line for line in lines if name in line and "version" in line), lines[0])
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "unknown"


def _match(path, pattern):
    with open(path, encoding="utf-8", errors="replace") as file:
        found = re.search(pattern, file.read(), re.M)
    return found.group(1).strip('" ') if found else "unknown"


def commit(source_root):
    """The commit of the sources, with "+" if there is more than that."""
    git = ["git", "-C", source_root]
    try:
        name = subprocess.run(git + ["rev-parse", "--short=12", "HEAD"], capture_output=True,
                              text=True, check=True).stdout.strip()
        changed = subprocess.run(git + ["status", "--porcelain", "--untracked-files=no"],
                                 capture_output=True, text=True, check=True).stdout.strip()
        return name + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe(source_root, layerfs, fuse_overlayfs, unionfs):
    """For the head of the results."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "kernel": platform.release(),
        "distribution": _match("/etc/os-release", r"^PRETTY_NAME=(.*)$"),
        "processor": _match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "processors": os.cpu_count(),
        "memory MiB": int(_match("/proc/meminfo", r"^MemTotal:\s*(\d+)")) // 1024,
        "load before": os.getloadavg()[0],
        "layerfs": f"{_version(layerfs)}, commit {commit(source_root)}",
        "fuse-overlayfs": _version(fuse_overlayfs) if fuse_overlayfs else "absent",
        "unionfs-fuse": _version(unionfs) if unionfs else "absent",
    }

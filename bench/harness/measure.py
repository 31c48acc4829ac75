"""One scenario on one system: mounting, the timed steps, what the daemon used."""
import contextlib
import os
import re
import shutil
import stat
import subprocess
import time

from . import syscalls
from .systems import Stack


def files_in(root):
    """The regular files below that this user may read, by their paths there."""
    found = set()
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(path).st_mode) and os.access(path, os.R_OK):
                found.add(os.path.relpath(path, root))
    return found


class Failed(Exception):
    """A step that did not do its work; the text says why."""


class Usage:
    """CPU seconds and context switches of a daemon so far."""

    def __init__(self, pid):
        self.cpu, self.switches = 0.0, 0
        if pid is None:
            return
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            self.cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/status", encoding="ascii",
                          errors="replace") as file:
                    self.switches += sum(map(int, re.findall(r"ctxt_switches:\t(\d+)", file.read())))


def resident_kib(pid):
    with contextlib.suppress(OSError, AttributeError):
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
    return 0


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Run:
    """What a scenario is given: a live mount, and the steps to take on it."""

    def __init__(self, setup, system, scenario, record):
        self.setup, self.system, self.scenario, self._record = setup, system, scenario, record
        self.workspace, self.layers, self.sizes = setup.workspace, setup.layers, setup.sizes
        self.root = setup.workspace.path("mnt")
        self.pid = None
        self.cold = False
        self._scratch = []

    @property
    def sources(self):
        return self.layers.sources

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    @contextlib.contextmanager
    def mounted(self, names, merged, writable, copies, cold=False):
        """The union of these layers at self.root. `copies`: subtrees that the bare system, which
        has no copy-on-write, gets a copy of. `cold`: all caches are dropped before."""
        workspace = self.workspace
        os.makedirs(self.root, exist_ok=True)
        upper, work = (workspace.fresh("upper"), workspace.fresh("work")) if writable else (None,) * 2
        if self.system.kind == "bare" and copies:
            merged = self._copy(merged, copies)
        os.sync()  # what was written before is no part of what follows
        self.cold = cold
        if cold:
            syscalls.drop_caches()
        stack = Stack(self.layers, names, merged, self.setup.user, upper, work)
        begin = time.perf_counter()
        self.system.mount(stack, self.root)
        try:
            os.listdir(self.root)
            self.mount_seconds = time.perf_counter() - begin
            self.pid = self.system.daemon(self.root)
            yield
        finally:
            os.chdir("/")
            if self.system.kind == "bare":  # the merged tree itself, unless there were copies
                for path in self._scratch:
                    shutil.rmtree(path, ignore_errors=True)
            self.system.unmount(self.root)
            self._wait_for_daemon()
            for name in ("upper", "work", "copy"):
                workspace.fresh(name)

    def _copy_all(self, copy, merged, target):
        """What others alone may read, and devices, stay out of a user namespace's copy."""
        user = self.setup.user
        done = subprocess.run([*copy, f"{merged}/.", target], check=not user, text=True,
                              stderr=subprocess.PIPE if user else None)
        if done.returncode != 0 and files_in(target) != files_in(merged):
            raise OSError(f"cp does not copy {merged}: {done.stderr.strip()[-300:]}")

    def _copy(self, merged, copies):
        target = self.workspace.fresh("copy")
        copy = ["cp", "-a"] + (["--no-preserve=ownership"] if self.setup.user else [])
        for name in copies:
            if name == ".":
                self._copy_all(copy, merged, target)
            else:
                os.makedirs(os.path.dirname(f"{target}/{name}"), exist_ok=True)
                subprocess.run([*copy, f"{merged}/{name}", f"{target}/{name}"], check=True)
        return target

    def _wait_for_daemon(self):
        for _ in range(200):
            if self.pid is None or not is_running(self.pid):
                return
            time.sleep(0.02)

    def record(self, step, seconds, operations=1, **more):
        self._record(step=step, seconds=seconds, operations=operations, **more)

    def load(self, step, load, root=".", cold=False, names=None, **options):
        """One of bench-loads. The best time of the tool itself: process start is not in it."""
        command = [self.setup.loads, load, "--root", os.path.normpath(self.path(root))]
        if names:
            command += ["--list", f"{self.sources}/{names}.list"]
        for key, value in options.items():
            command += [f"--{key}", str(value)]
        out = self._timed(step, command, cold, lambda text: map(float, text.split()))
        return out

    def command(self, step, command, cold=False, cwd=None):
        """A program of the machine, timed from outside. `{}` stands for the mount."""
        self._timed(step, [word.replace("{}", self.root) for word in command], cold, None, cwd)

    def chroot(self, step, script, cold=False):
        """A shell script with the mount as its root."""
        self._timed(step, ["chroot", self.root, "/bin/sh", "-ec", script], cold, None)

    def _timed(self, step, command, cold, parse, cwd=None):
        if cold:
            syscalls.drop_caches()
        before, begin = Usage(self.pid), time.perf_counter()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace", check=False,
                              cwd=cwd, timeout=self.setup.step_seconds)
        seconds, operations = time.perf_counter() - begin, 1
        after = Usage(self.pid)
        if done.returncode != 0:
            raise Failed(f"{step}: {(done.stderr or done.stdout).strip()[-200:]}")
        if parse:
            seconds, operations = parse(done.stdout)
        self.record(step, seconds, int(operations), daemon_cpu=round(after.cpu - before.cpu, 3),
                    daemon_switches=after.switches - before.switches)

    def warm(self, names):
        """Reads these files of the layers, so that nobody reads them first from the disk."""
        with open(f"{self.sources}/{names}.list", encoding="utf-8") as file:
            wanted = file.read().splitlines()
        for layer in self.layers.image():
            for name in wanted:
                with contextlib.suppress(OSError):
                    with open(f"{self.layers.root}/{layer}/{name}", "rb") as file:
                        file.read()

    def read_once(self, path):
        """Reads a file from the disk. Whoever reads it first in a round would pay for what lies below
        the disk (the host of a virtual machine, say) and not for the union."""
        syscalls.drop_caches()
        with open(self.path(path), "rb") as file:
            while file.read(1 << 20):
                pass

    def write_files(self, directory, count):
        """Small files, all different, a hundred in a directory. Takes no time that is told."""
        for number in range(count):
            inside = os.path.join(directory, str(number // 100))
            os.makedirs(inside, exist_ok=True)
            with open(os.path.join(inside, str(number)), "w", encoding="ascii") as file:
                file.write(f"{number}\n" * 20)

    def memory(self, step):
        """The daemon's resident memory a moment after the last request."""
        if self.pid is not None:
            time.sleep(0.1)
            self._record(step=step, kib=resident_kib(self.pid))

    def scratch(self, name):
        """A new directory to write in."""
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        self._scratch.append(path)
        return path

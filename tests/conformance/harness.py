"""What the runners of the suites share: arguments, a world of their own, file systems, results."""
import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from unions import all_unions

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE_SYSTEMS = ("ext4", "xfs", "btrfs")
IN_WORLD = "LAYERFS_CONFORMANCE_WORLD"


@dataclasses.dataclass
class Result:
    """What one suite said of one union. `failures` names each failed assertion."""

    assertions: int = 0
    failures: list = dataclasses.field(default_factory=list)
    not_run: int = 0

    def add(self, other):
        self.assertions += other.assertions
        self.failures += other.failures
        self.not_run += other.not_run


def parser(description):
    """The arguments that every runner of one suite takes."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("checkout", type=pathlib.Path, help="the suite; it is not written to")
    arguments.add_argument("--union", default="layerfs", choices=list(all_unions("")),
                           help="what is tested (default: layerfs)")
    arguments.add_argument("--fs", default="ext4", choices=FILE_SYSTEMS,
                           help="what the layers lie on (default: ext4)")
    arguments.add_argument("--json", type=pathlib.Path, help="write the result to this file")
    add_common(arguments)
    return arguments


def add_common(arguments):
    arguments.add_argument("--layerfs", type=pathlib.Path, default=ROOT / "build/tools/layerfs",
                           help="the program (default: the one of build/)")
    arguments.add_argument("--scratch", type=pathlib.Path, default=pathlib.Path("/var/tmp"),
                           help="where images of file systems and build trees go")


def run_in_world():
    """Starts the program again where no mount and no process outlives it.

    Suites leave mounts behind when they stop half-way, and kill processes by name.
    """
    if os.environ.get(IN_WORLD):
        reap_orphans()
        return
    if os.geteuid() != 0:
        sys.exit("conformance: the suites need root")
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(subprocess.call(
            ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
             "--mount-proc", sys.executable, *sys.argv], env={**os.environ, IN_WORLD: "1"}))
    sys.exit(130)


def reap_orphans():
    """Returns in a child. The first process of a world is the parent of its daemons in the end."""
    child = os.fork()
    if child == 0:
        return
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            pid, status = os.wait()
            if pid == child:
                os._exit(os.waitstatus_to_exitcode(status) % 256)


@contextlib.contextmanager
def scratch_dir(parent):
    """A new directory below `parent`; what is still mounted in it at the end is unmounted."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="conformance-", dir=parent))
    path.chmod(0o755)
    try:
        yield path
    finally:
        unmount_below(path)
        shutil.rmtree(path)


def unmount_below(path):
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        points = [line.split()[1] for line in mounts]
    for point in reversed([point for point in points if point.startswith(f"{path}/")]):
        subprocess.run(["umount", "-l", point], check=True)


def new_image(path, kind, size="8G"):
    """A sparse file with a new file system of `kind`."""
    subprocess.run(["truncate", "-s", size, path], check=True)
    force = "-Fq" if kind == "ext4" else "-fq"
    subprocess.run([f"mkfs.{kind}", force, path], check=True)


def mount_new_fs(directory, kind):
    """Mounts a new file system of `kind` at `directory`."""
    directory.mkdir()
    image = directory.with_suffix(".img")
    new_image(image, kind)
    subprocess.run(["mount", "-o", "loop", image, directory], check=True)


def build_copy(checkout, place, *commands):
    """A copy of the checkout below `place` in which `commands` have been run."""
    copy = place / "checkout"
    shutil.copytree(checkout, copy, symlinks=True)
    for command in commands:
        done = subprocess.run(command, cwd=copy, shell=True, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.exit(f"conformance: '{command}' failed in a copy of {checkout}; "
                     f"tools/setup --with conformance installs what it needs:\n"
                     + done.stdout[-2000:])
    return copy


def finish(options, suite, result):
    """Says and stores the result; exits 1 if anything failed."""
    for failure in result.failures:
        print(f"failed: {failure}")
    print(f"{suite}: {options.union} on {options.fs}: {result.assertions} assertions, "
          f"{len(result.failures)} failed"
          + (f", {result.not_run} not run" if result.not_run else ""))
    if options.json:
        options.json.write_text(json.dumps(dataclasses.asdict(result)), encoding="utf-8")
    sys.exit(1 if result.failures or not result.assertions else 0)

"""The loads: each function is one mount, and the steps that are timed on it."""
from collections import namedtuple

Scenario = namedtuple("Scenario", "name run layers writable copies skips user mounts about")
SCENARIOS = {}
IMAGE = "image"
# layerfs's variants are measured where they can differ from layerfs itself.
_PLAIN, _ALL, _BARE = "layerfs-plain", "layerfs-all", "bare"


def scenario(name, layers=IMAGE, writable=True, copies=(), skips=(_PLAIN, _ALL), user=True,
             mounts=("warm",)):
    """`layers`: IMAGE or a number of small ones. `skips`: systems it says nothing about. `user`:
    whether it can be done in a user namespace that has one id only. `mounts`: one mount
    after the other, "cold" with all caches dropped before it."""
    def add(run):
        SCENARIOS[name] = Scenario(name, run, layers, writable, copies, skips, user, mounts,
                                   run.__doc__)
        return run
    return add


def _mount(run):
    """Mounting, until the first listing of the root: first with cold caches, then once more."""
    run.record("mount, cold" if run.cold else "mount", run.mount_seconds)


for _name, _layers in (("mount-6", IMAGE), ("mount-100", 100), ("mount-400", 400)):
    scenario(_name, _layers, skips=(_ALL, _BARE), mounts=("cold", "warm"))(_mount)


@scenario("walk", skips=(_ALL,))
def walk(run):
    """find and du: first with cold caches, then warm; stat of 5,000 files; the daemon's memory."""
    run.load("cold walk", "walk", cold=True)
    run.memory("memory after the walk")
    run.load("second walk", "walk")
    run.load("warm walk", "walk")
    run.load("stat, first", "stat", names="all")
    run.load("stat, warm", "stat", names="all")
    run.load("stat, warm, 4 processes", "stat", names="all", processes=4)


def _misses(run):
    """stat of names that are not there: each for the first time, then again."""
    count = run.sizes.misses
    run.load("misses, first", "misses", "common", count=count)
    run.load("misses, warm", "misses", "common", count=count)


for _layers in (1, 10, 100, 500):
    scenario(f"misses-{_layers}", _layers)(_misses)


@scenario("misses-image")
def misses_image(run):
    """Misses over the six layers in /usr/share, which most of them have; 1, 2, 4 processes."""
    for processes in (1, 2, 4):
        run.load(f"misses, first, {processes} processes", "misses",
                 ("usr/share", "usr/lib", "etc")[processes // 2], count=run.sizes.misses,
                 processes=processes)
    run.load("misses, warm", "misses", "usr/share", count=run.sizes.misses)


@scenario("open-read")
def open_read(run):
    """open, read and close of small files of the lower layers, by 1, 2 and 4 processes."""
    run.load("open-read, cold", "open-read", names="small", cold=True)
    for processes in (1, 2, 4):
        run.load(f"open-read, {processes} processes", "open-read", names="small",
                 processes=processes)


@scenario("read-lower", skips=(_PLAIN,))
def read_lower(run):
    """A large file of a lower layer, one that is data and one that is a program."""
    for kind in ("data", "program"):
        file = f"bench/{kind}"
        run.read_once(file)
        run.load(f"{kind}, sequential, from the disk", "read-sequential", file, cold=True)
        run.load(f"{kind}, sequential, from the page cache", "read-sequential", file)
        run.load(f"{kind}, sequential, again", "read-sequential", file)
        run.load(f"{kind}, random", "read-random", file, count=run.sizes.blocks)
        run.load(f"{kind}, mapped", "read-mapped", file)


@scenario("upper-data")
def upper_data(run):
    """A large new file: written, overwritten at random, synced, read."""
    run.scratch("new")
    megabytes = run.sizes.megabytes << 20
    run.load("write, sequential", "write-sequential", "new/file", size=megabytes)
    run.load("write, random", "write-random", "new/file", count=run.sizes.blocks)
    run.load("fsync", "fsync", "new/synced", count=run.sizes.syncs)
    run.load("upper, sequential", "read-sequential", "new/file")
    run.load("upper, random", "read-random", "new/file", count=run.sizes.blocks)
    run.load("upper, mapped", "read-mapped", "new/file")


@scenario("namespace")
def namespace(run):
    """Small new files: create, rename, unlink, by 1, 2 and 4 processes in their own directories."""
    for processes in (1, 2, 4):
        for load in ("create", "rename", "unlink"):
            run.scratch(f"new-{processes}")
            run.load(f"{load}, {processes} processes", load, f"new-{processes}", size=1000,
                     count=run.sizes.files, processes=processes)


@scenario("untar")
def untar(run):
    """tar x of a library, then rm -rf of it: upper files only."""
    target = run.scratch("new")
    run.command("untar", ["tar", "-C", target, "-xf", f"{run.sources}/tree.tar"])
    run.command("rm -rf, upper", ["rm", "-rf", target])


@scenario("git")
def git(run):
    """git clone, checkout of an older commit, status."""
    target = run.scratch("new")
    run.command("git clone", ["git", "clone", "-q", "--no-local", f"{run.sources}/repository",
                              f"{target}/clone"])
    run.command("git checkout", ["git", "-C", f"{target}/clone", "checkout", "-q", "HEAD~1"])
    run.command("git status", ["git", "-C", f"{target}/clone", "status", "--short"])


@scenario("links", layers=1)
def links(run):
    """10,000 new files: git add and commit, whose objects lose their first names; cp -al of them, rm
    -rf of the first tree, stat of the other."""
    tree = run.scratch("new/tree")
    run.write_files(tree, 10000)
    git = ["git", "-C", tree, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c",
           "init.defaultBranch=main", "-c", "gc.auto=0"]
    run.command("git init", [*git, "init", "-q"])
    run.command("git add", [*git, "add", "-A"])
    run.command("git commit", [*git, "commit", "-qm", "one"])
    run.command("cp -al", ["cp", "-al", tree, run.path("new/copy")])
    run.command("rm -rf, the first names", ["rm", "-rf", tree])
    run.command("du, the other names", ["du", "-s", run.path("new/copy")])
    run.command("rm -rf, the other names", ["rm", "-rf", run.path("new/copy")])


@scenario("compile", copies=(".",))
def compile_code(run):
    """gcc of the layers compiles twenty small files, cold and warm."""
    run.command("copying the code", ["cp", "-r", f"{run.sources}/code", "{}/code"])
    script = "cd /code; for f in *.c; do gcc -O1 -c $f; done"
    run.chroot("compile, cold", script, cold=True)
    run.chroot("compile, warm", script)


@scenario("python")
def python(run):
    """Start of the layers' python with many modules, cold and ten times warm."""
    start = "python3 -B -c 'import json, http.client, asyncio, email, sqlite3, unittest, xml.dom'"
    run.chroot("python, cold", start, cold=True)
    run.chroot("python, warm, ten times", f"for i in 1 2 3 4 5 6 7 8 9 0; do {start}; done")


@scenario("dpkg", copies=(".",), user=False)
def dpkg(run):
    """dpkg unpacks a new package, and one over itself."""
    run.chroot("dpkg", "dpkg --force-unsafe-io --unpack /bench/debs/*.deb >/dev/null")


@scenario("copy-up", skips=(_PLAIN, _ALL, _BARE))
def copy_up(run):
    """The first byte written to lower files: many small, 50 of 1 MiB, a huge one."""
    for step, load in (("2,000 small", "small"), ("50 of 1 MiB", "medium")):
        run.chroot(f"copy-up, {step}", f"cd /bench/{load}; for f in *; do echo >> $f; done")
    run.chroot("copy-up, huge", "echo >> /bench/huge")


@scenario("small-copy-ups", skips=(_PLAIN, _ALL, _BARE))
def small_copy_ups(run):
    """One byte appended to each of thousands of small lower files all over the tree."""
    run.warm("small")
    run.load("small copy-ups", "append", names="small")


@scenario("attributes", copies=("usr/share", "usr/lib"), user=False)
def attributes(run):
    """chown -R and chmod -R of lower trees."""
    run.command("chown -R", ["chown", "-R", "1234:1234", "{}/usr/share"])
    run.command("chmod -R", ["chmod", "-R", "o-rwx", "{}/usr/lib"])


@scenario("remove", copies=("usr",))
def remove(run):
    """rm -rf of lower trees."""
    run.command("rm -rf, lower", ["rm", "-rf", "{}/usr/include", "{}/usr/share"])

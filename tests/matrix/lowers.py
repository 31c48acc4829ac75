"""The kinds of file system that lower layers lie on."""
import contextlib
import shutil
import subprocess
import time

import tree


def run(*command):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout.strip()}")


def mount_disk(point, kind, options="", image=None):
    """A new file system of `kind`, or the one in `image`, at the directory `point`, which is made."""
    point.mkdir(exist_ok=True)
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "tmpfs", point)
        return
    if image is None:
        image = point.with_suffix(".img")
        # An ext4 of one block group numbers alike whatever the names of its directories are.
        # A daemon that is about to end may still hold the old one mounted.
        image.unlink(missing_ok=True)
        run("truncate", "-s", "100M" if kind == "ext4" else "400M", image)
        run(f"mkfs.{kind}", *(["-Fq", "-b", "4096"] if kind == "ext4" else ["-fq"]), image)
    run("mount", "-o", f"loop{',' + options if options else ''}", image, point)


class Lower:
    """Layers of one kind below the directory `base`.

    `build` makes them, and makes them anew as the newer version. After it `paths` are the layers,
    topmost first, and `expected` is what their union shows. `twins` says that the files of the two
    parts have pairwise equal inode numbers. `disk` is the mounted file system, if it can hold an
    upper, too.
    """

    twins = False
    disk = None

    def __init__(self, base, layerfs):
        self.base, self.layerfs = base, layerfs
        self.paths, self.expected, self.mounted = [], {}, []
        self.prepare()

    def prepare(self):
        """What is done once."""

    def build(self, version):
        self.unmount()
        places = self.fill(version)
        self.expected = tree.merge([tree.walk(place) for place in places])
        if self.twins:
            check_twins(places)
        self.paths = self.publish(places)

    def fill(self, version):
        """Makes the parts; returns the directories whose union shows them."""
        raise NotImplementedError

    def publish(self, places):
        """Makes the layers of them."""
        return places

    def new_places(self, version, base=None):
        places = []
        for name in "ab":
            place = (base or self.base) / f"lower-{name}"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            tree.make_part(place, name, version)
            places.append(place)
        return places

    def mount(self, point, *command):
        """`command` mounts at `point`, the last word, until the next build."""
        point.mkdir(exist_ok=True)
        run(*command, point)
        self.mounted.append(point)

    def unmount(self):
        while self.mounted:
            unmount(self.mounted.pop())


def unmount(point):
    """A process that has just ended may still use what a daemon has served."""
    for _ in range(50):
        with contextlib.suppress(RuntimeError):
            run("umount", point)
            return
        time.sleep(0.1)
    run("umount", point)


def check_twins(places):
    """Raises unless the numbers of both parts coincide."""
    trees = [tree.walk(place) for place in places]
    (top, below) = (trees * 2)[:2]
    for path, entry in top.items():
        if path.startswith("a/") and entry.kind != "dir":
            other = below["b" + path[1:]]
            if entry.key[1] != other.key[1]:
                raise RuntimeError(f"{path} has number {entry.key[1]}, its twin {other.key[1]}")


class OneDisk(Lower):
    """Two directories of one file system."""

    kind = "ext4"

    def prepare(self):
        self.disk = self.base / "disk"
        mount_disk(self.disk, self.kind)

    def fill(self, version):
        return self.new_places(version, self.disk)


class Xfs(OneDisk):
    kind = "xfs"


class Btrfs(OneDisk):
    kind = "btrfs"


class Tmpfs(OneDisk):
    kind = "tmpfs"


class Subvolumes(Btrfs):
    twins = True

    def fill(self, version):
        places = []
        for name in "ab":
            place = self.new_subvolume(f"lower-{name}")
            tree.make_part(place, name, version)
            places.append(place)
        return places

    def new_subvolume(self, name):
        place = self.disk / name
        self.remove(place)
        run("btrfs", "subvolume", "create", place)
        return place

    def remove(self, place):
        """With the subvolumes in it."""
        if place.exists():
            for below in sorted(place.rglob("*"), reverse=True):
                if below.is_dir() and not below.is_symlink() and below.stat().st_ino == 256:
                    run("btrfs", "subvolume", "delete", below)
            run("btrfs", "subvolume", "delete", place)


class Snapshots(Subvolumes):
    def fill(self, version):
        first, second = self.new_subvolume("lower-a"), self.disk / "lower-b"
        tree.make_part(first, "a", version)
        self.remove(second)
        run("btrfs", "subvolume", "snapshot", first, second)
        tree.retag(second, version)
        return [first, second]


class Nested(Subvolumes):
    """One layer, in which each part is a subvolume."""

    def fill(self, version):
        place = self.new_subvolume("lower")
        for name in "ab":
            run("btrfs", "subvolume", "create", place / name)
            tree.make_part(place, name, version)
        return [place]


class TwoDisks(Lower):
    """Two file systems that number alike."""

    kind, twins = "ext4", True

    def fill(self, version):
        places = []
        for name in "ab":
            place = self.base / f"disk-{name}"
            self.new_disk(place)
            tree.make_part(place, name, version)
            places.append(place)
        return places

    def new_disk(self, place):
        mount_disk(place, self.kind)
        self.mounted.append(place)


class TwoTmpfs(TwoDisks):
    kind = "tmpfs"


class Copy(TwoDisks):
    """A file system and its byte-for-byte copy, changed since."""

    options = ""

    def fill(self, version):
        first, second = self.base / "disk-a", self.base / "disk-b"
        self.new_disk(first)
        tree.make_part(first, "a", version)
        unmount(self.mounted.pop())
        shutil.copy(first.with_suffix(".img"), second.with_suffix(".img"))
        for place in (first, second):
            mount_disk(place, self.kind, self.options, place.with_suffix(".img"))
            self.mounted.append(place)
        tree.retag(second, version)
        return [first, second]


class XfsCopy(Copy):
    kind, options = "xfs", "nouuid"


class BtrfsCopy(Copy):
    kind = "btrfs"


class Squashfs(Lower):
    """Two read-only images that number alike."""

    def fill(self, version):
        return self.new_places(version)

    def publish(self, places):
        points = []
        for place in places:
            image, point = place.with_suffix(".img"), place.with_suffix(".mounted")
            self.make_image(place, image)
            self.mount(point, *self.mount_command(), image)
            points.append(point)
        check_twins(points)
        return points

    def make_image(self, place, image):
        run("mksquashfs", place, image, "-noappend", "-quiet", "-no-progress")

    def mount_command(self):
        return "mount", "-o", "loop,ro"


class Erofs(Squashfs):
    def make_image(self, place, image):
        image.unlink(missing_ok=True)
        run("mkfs.erofs", image, place)


class Squashfuse(Squashfs):
    """It gives each name of a file a number of its own."""

    def publish(self, places):
        points = super().publish(places)
        self.expected = tree.merge([tree.walk(point) for point in points])
        return points

    def mount_command(self):
        return ("squashfuse",)


class StackedOverlay(TwoDisks):
    """One layer: a union, read-only, of two file systems that number alike."""

    def publish(self, places):
        self.mount(self.base / "union", *self.union_command(f"lowerdir={places[0]}:{places[1]}"))
        return [self.base / "union"]

    def union_command(self, options):
        return "mount", "-t", "overlay", "overlay", "-o", options


class StackedFuseOverlayfs(StackedOverlay):
    def union_command(self, options):
        return "fuse-overlayfs", "-o", options


class StackedLayerfs(StackedOverlay):
    def union_command(self, options):
        return self.layerfs, "mount", "-o", options


class Spanning(TwoDisks):
    """One layer with a file system mounted in it, which is not part of the layer."""

    twins = False

    def fill(self, version):
        outer, inner = super().fill(version)
        (outer / "b").mkdir()
        self.inner = inner
        return [outer]

    def publish(self, places):
        self.mount(places[0] / "b", "mount", "--bind", self.inner / "b")
        return places


KINDS = {
    "ext4": (OneDisk, "ext4"),
    "xfs": (Xfs, "xfs"),
    "btrfs": (Btrfs, "btrfs"),
    "tmpfs": (Tmpfs, "tmpfs"),
    "two-ext4": (TwoDisks, "two ext4"),
    "two-tmpfs": (TwoTmpfs, "two tmpfs"),
    "ext4-copy": (Copy, "ext4 and its copy"),
    "xfs-copy": (XfsCopy, "xfs and its copy"),
    "btrfs-copy": (BtrfsCopy, "btrfs and its copy"),
    "subvolumes": (Subvolumes, "two btrfs subvolumes"),
    "snapshots": (Snapshots, "btrfs subvolume and its snapshot"),
    "nested": (Nested, "btrfs subvolumes in one layer"),
    "spanning": (Spanning, "ext4 with another mounted in it"),
    "squashfs": (Squashfs, "two squashfs"),
    "erofs": (Erofs, "two erofs"),
    "squashfuse": (Squashfuse, "two squashfs by squashfuse"),
    "overlay": (StackedOverlay, "kernel overlayfs over two ext4"),
    "fuse-overlayfs": (StackedFuseOverlayfs, "fuse-overlayfs over two ext4"),
    "layerfs": (StackedLayerfs, "layerfs over two ext4"),
}
UPPERS = ["ext4", "xfs", "btrfs", "tmpfs"]

"""What is mounted: six layers of real packages, and up to 500 small ones."""
import glob
import os
import random
import shutil
import subprocess

from . import syscalls
from .workspace import remove

# From the bottom to the top. The first is a minimal system; each other one is what installing
# these packages on top of it writes.
PACKAGES = [None, ["python3"], ["git"], ["gcc", "libc6-dev"], ["libboost1.74-dev"]]
DEB = ["tzdata", "perl-modules-5.36"]  # for the load dpkg: a new package, and one already there
MANY = 500
MEGABYTE = 1 << 20


class Layers:
    """Prepares below workspace.path("layers") what is not there yet."""

    def __init__(self, workspace, source_root, layerfs, quick):
        self.workspace = workspace
        self.source_root = source_root
        self.layerfs = layerfs
        self.quick = quick
        self.root = workspace.path("layers")
        self.merged = workspace.path("merged")
        self.sources = workspace.path("sources")

    def image(self):
        """Topmost first, relative to `root`."""
        return [f"image{i}" for i in reversed(range(len(PACKAGES) + 1))]

    def many(self, count):
        return [f"{i:03}" for i in range(count)]

    def index(self, layer, user):
        return f"{layer}.{'user-' if user else ''}index"

    def prepare(self, say):
        done = self.workspace.path("prepared-quick" if self.quick else "prepared")
        if os.path.exists(done):
            return
        for other in glob.glob(self.workspace.path("prepared*")):
            os.unlink(other)
        for path in (self.root, self.merged, self.sources):
            remove(path)
            os.makedirs(path)
        say("making the layers from packages of the distribution (some minutes)")
        self._make_base(f"{self.root}/image0")
        for number, packages in enumerate(PACKAGES):
            if packages:
                self._install(number, packages)
        self._add_data(f"{self.root}/image{len(PACKAGES)}")
        for number in range(MANY):
            self._make_small(number)
        self._merge()
        self._make_sources()
        for layer in self.image() + self.many(MANY):
            for user in (False, True):
                subprocess.run([self.layerfs, "index", layer, self.index(layer, user)]
                               + (["--user-xattr"] if user else []), cwd=self.root, check=True)
        with open(done, "w", encoding="ascii"):
            pass

    def _make_base(self, target):
        script = """
            . "$1/tools/apt.sh"
            read -r uri keyring < <(distribution_archive "$(os_release ID)")
            mmdebstrap --quiet --variant=minbase --mode=root --keyring="$keyring" --format=tar \
              "$(os_release VERSION_CODENAME)" - "$uri" </dev/null | tar -C "$2" -xf -"""
        os.makedirs(target)
        subprocess.run(["bash", "-euo", "pipefail", "-c", script, "-", self.source_root, target],
                       check=True)

    def _install(self, number, packages):
        """What the packages write over the layers so far, with the kernel's overlayfs."""
        upper, work = self.workspace.fresh("install-upper"), self.workspace.fresh("install-work")
        root = self.workspace.fresh("install")
        lower = ":".join(f"image{i}" for i in reversed(range(number)))
        os.chdir(self.root)
        syscalls.mount("overlay", root, "overlay",
                       f"lowerdir={lower},upperdir={upper},workdir={work}")
        try:
            shutil.copy("/etc/resolv.conf", f"{root}/etc/resolv.conf")
            apt = "apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3"
            script = (f"export DEBIAN_FRONTEND=noninteractive; {apt} update && "
                      f"{apt} install -y --no-install-recommends {' '.join(packages)}")
            if number == 1:
                script += f" && mkdir -p /bench/debs && cd /bench/debs && apt-get -qq download {' '.join(DEB)}"
            log = f"{self.sources}/install-{number}.log"
            with open(log, "w", encoding="utf-8") as out:
                done = subprocess.run(["chroot", root, "sh", "-ec", script], stdout=out,
                                      stderr=out, stdin=subprocess.DEVNULL, check=False)
            if done.returncode != 0:
                with open(log, encoding="utf-8", errors="replace") as lines:
                    tail = "".join(lines.readlines()[-10:])
                raise RuntimeError(f"{' '.join(packages)} cannot be installed:\n{tail}")
        finally:
            os.chdir("/")
            syscalls.unmount(root)
        self._take(upper, f"{self.root}/image{number}")

    def _take(self, upper, layer):
        """As a layer of an image would be: without overlayfs's own marks."""
        os.makedirs(layer)
        subprocess.run(["bash", "-euo", "pipefail", "-c",
                        'find "$1" -type c -delete; tar -C "$1" -cf - . | tar -C "$2" -xf -', "-",
                        upper, layer], check=True)
        remove(upper)

    def _add_data(self, layer):
        """Files to read and to copy up."""
        os.makedirs(f"{layer}/bench/small")
        os.makedirs(f"{layer}/bench/medium")
        for i in range(2000):
            write(f"{layer}/bench/small/{i}", 1000 + i)
        for i in range(50):
            write(f"{layer}/bench/medium/{i}", MEGABYTE)
        write(f"{layer}/bench/data", (64 if self.quick else 256) * MEGABYTE)
        write(f"{layer}/bench/program", (64 if self.quick else 256) * MEGABYTE, 0o755, PROGRAM_HEAD)
        write(f"{layer}/bench/huge", (128 if self.quick else 1024) * MEGABYTE)

    def _make_small(self, number):
        """One of many layers that all have the same directory."""
        for i in range(5):
            write(f"{self.root}/{number:03}/common/file-{number}-{i}", 100)

    def _merge(self):
        """The same without layers: for the bare file system."""
        image, many = os.path.join(self.merged, "image"), os.path.join(self.merged, "many")
        for layers, target in ((self.image(), image), (self.many(MANY), many)):
            os.makedirs(target)
            for layer in reversed(layers):
                subprocess.run(["cp", "-a", "--remove-destination", f"{self.root}/{layer}/.", target],
                               check=True)

    def _make_sources(self):
        """What the loads unpack, clone, compile and walk; not in the union."""
        image = os.path.join(self.merged, "image")
        library = os.path.basename(sorted(glob.glob(f"{image}/usr/lib/python3.*"))[0])
        subprocess.run(["tar", "-C", f"{image}/usr/lib", "-cf", f"{self.sources}/tree.tar", library],
                       check=True)
        self._make_repository(f"{image}/usr/lib/{library}")
        code = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <pthread.h>\n"
        os.makedirs(f"{self.sources}/code")
        for i in range(20):
            with open(f"{self.sources}/code/{i}.c", "w", encoding="ascii") as file:
                file.write(code + f"int f{i}(void) {{ return printf(\"%d\", {i}); }}\n")
        self._make_list("all", image, lambda path: True)
        self._make_list("small", image, lambda path: os.path.getsize(path) <= 16384)

    def _make_repository(self, library):
        tree = f"{self.sources}/repository"
        shutil.copytree(library, tree, symlinks=True)
        git = ["git", "-C", tree, "-c", "user.name=bench", "-c", "user.email=bench@localhost",
               "-c", "init.defaultBranch=main", "-c", "gc.auto=0"]
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
            subprocess.run(git + arguments, check=True)
        for path in sorted(glob.glob(f"{tree}/**/*.py", recursive=True))[::3]:
            with open(path, "a", encoding="latin-1") as file:
                file.write("# changed\n")
        subprocess.run(git + ["commit", "-qam", "two"], check=True)

    def _make_list(self, name, top, wanted):
        """5,000 regular files in an order that is the same every time."""
        names = []
        for directory, below, files in os.walk(top):
            below[:] = [] if directory == f"{top}/bench" else sorted(below)
            for file in sorted(files):
                path = os.path.join(directory, file)
                if os.path.isfile(path) and not os.path.islink(path) and "\n" not in file and wanted(path):
                    names.append(os.path.relpath(path, top))
        random.Random(42).shuffle(names)
        with open(f"{self.sources}/{name}.list", "w", encoding="utf-8",
                  errors="surrogateescape") as out:
            out.writelines(f"{name}\n" for name in names[:5000])


# How a shared library begins: layerfs passes through what does.
PROGRAM_HEAD = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00"


def write(path, size, mode=0o644, head=b""):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    block = random.Random(size).randbytes(min(size, MEGABYTE))
    with open(path, "wb") as file:
        for at in range(0, size, len(block)):
            file.write(block[:size - at])
        file.seek(0)
        file.write(head)
    os.chmod(path, mode)

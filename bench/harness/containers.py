"""What starts containers and builds images: containerd, podman and buildah, each over layerfs and
over what it would use otherwise. Everything has its root, state and socket below one directory."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

RUNC = "/usr/sbin/runc"
# Limits as a machine may give them that has not all privileges.
LIMITS = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768"]

CONTAINERFILE = """FROM {image}
RUN mkdir /made && cp -a /usr/share/perl5 /usr/share/doc /made/ && ln /made/doc /made/doc-more || true
COPY tree /copied
RUN rm -rf /usr/share/zoneinfo /made/doc && chown -R 33:44 /copied /made && chmod -R g+w /made
RUN apt-get check && cat /copied/file0 >/dev/null
"""


class Failed(Exception):
    """A program that did not do what it was to do."""


class Place:
    """Where all of them work, and the programs under test."""

    def __init__(self, directory, layerfs, snapshotter):
        self.directory = directory
        self.layerfs = layerfs
        self.snapshotter = snapshotter
        # podman takes no longer name than 50 characters for its state.
        self.state = tempfile.mkdtemp(prefix="lfs-", dir="/run")
        self.environment = dict(os.environ, LC_ALL="C", TMPDIR=self.path("tmp"),
                                PATH=os.path.dirname(layerfs) + ":" + os.environ["PATH"])
        os.makedirs(self.path("tmp"), exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def close(self):
        shutil.rmtree(self.state, ignore_errors=True)

    def run(self, words, **more):
        done = subprocess.run(words, env=self.environment, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, check=False, timeout=600, **more)
        if done.returncode != 0:
            raise Failed(f"{' '.join(words)}: {(done.stdout + done.stderr).strip()[-600:]}")
        return done.stdout

    def timed(self, words):
        begin = time.monotonic()
        self.run(words)
        return time.monotonic() - begin


class Daemon:
    """A process of ours, with its output in a file; ended with the object."""

    def __init__(self, place, name, words):
        self.log = place.path(f"{name}.log")
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(words, env=place.environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def wait_until(self, ready):
        for _ in range(300):
            if ready():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise Failed(f"{self.log}: {log.read()[-600:]}")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


class Containerd:
    """containerd with layerfs-snapshotter beside its own overlayfs."""

    def __init__(self, place, archive):
        self.place = place
        self.number = 0
        self.socket = place.path("containerd.sock")
        proxy = place.path("snapshotter", "s")
        os.makedirs(os.path.dirname(proxy), exist_ok=True)
        self.snapshotter = Daemon(place, "layerfs-snapshotter", [
            place.snapshotter, f"--root={place.path('store')}", f"--address={proxy}",
            f"--helper={place.layerfs}"])
        config = place.path("containerd.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'version = 2\nroot = "{place.path("containerd/root")}"\n'
                       f'state = "{place.path("containerd/state")}"\n'
                       'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
                       f'[grpc]\n  address = "{self.socket}"\n'
                       f'[proxy_plugins.layerfs]\n  type = "snapshot"\n  address = "{proxy}"\n')
        self.snapshotter.wait_until(lambda: os.path.exists(proxy))
        self.daemon = Daemon(place, "containerd", ["containerd", "-c", config])
        self.daemon.wait_until(lambda: self._answers())
        for name in ("layerfs", "overlayfs"):
            self._ctr("images", "import", "--snapshotter", name, "--base-name", "localhost/test", archive)
        self.image = self._ctr("images", "ls", "-q").split()[0]

    def _words(self, *words):
        return ["ctr", "--address", self.socket, "-n", "bench", *words]

    def _ctr(self, *words):
        return self.place.run(self._words(*words))

    def _answers(self):
        try:
            self._ctr("version")
            return True
        except Failed:
            return False

    def start(self, snapshotter):
        """The seconds of one container from its start to its removal."""
        self.number += 1
        return self.place.timed(self._words("run", "--rm", "--snapshotter", snapshotter, self.image,
                                            f"c{self.number}", "/bin/true"))

    def end(self):
        self.daemon.end()
        self.snapshotter.end()


class Podman:
    """podman and buildah over one mount program; none is the kernel's overlayfs."""

    def __init__(self, place, name, program, archive):
        self.place = place
        self.home = place.path(name)
        os.makedirs(self.home, exist_ok=True)
        self.options = ["--root", f"{self.home}/root", "--runroot", f"{place.state}/{name}",
                        "--storage-driver", "overlay"]
        if program:
            self.options += ["--storage-opt", f"overlay.mount_program={program}"]
        self.podman = ["podman", *self.options, "--tmpdir", f"{self.home}/tmp",
                       "--cgroup-manager=cgroupfs", "--runtime", RUNC]
        place.run([*self.podman, "load", "-q", "-i", archive])
        self.image = place.run([*self.podman, "images", "-q"]).split()[0]

    def start(self):
        return self.place.timed([*self.podman, "run", "--rm", "--network=none", *LIMITS, self.image,
                                 "/bin/true"])

    def build(self, context):
        """The seconds that buildah takes for the Containerfile in `context`; the image is removed."""
        seconds = self.place.timed(["buildah", *self.options, "build", "-q", "--no-cache", "--layers",
                                    "--isolation=chroot", "--build-arg", f"image={self.image}",
                                    "-f", os.path.join(context, "Containerfile"), "-t",
                                    "localhost/built", context])
        self.place.run(["buildah", *self.options, "rmi", "--force", "localhost/built"])
        return seconds


def make_context(directory):
    """A Containerfile and what it copies."""
    tree = os.path.join(directory, "tree")
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(tree)
    for number in range(500):
        with open(os.path.join(tree, f"file{number}"), "w", encoding="ascii") as file:
            file.write(f"{number}\n" * 200)
    with open(os.path.join(directory, "Containerfile"), "w", encoding="ascii") as file:
        file.write("ARG image\n" + CONTAINERFILE.format(image="$image"))

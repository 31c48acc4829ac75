"""The file systems that are compared, each mounted and unmounted in one way."""
import os
import subprocess
import time

from . import syscalls


class Stack:
    """What one mount is of. Layer names are relative to layers.root, topmost first."""

    def __init__(self, layers, names, merged, user, upper=None, work=None):
        self.layers, self.names, self.merged = layers, names, merged
        self.user, self.upper, self.work = user, upper, work


class System:
    """Base class: a mounted union; also what the others have in common."""

    kind = "other"  # "bare", "kernel", "layerfs" or "fuse"

    def __init__(self, name, about):
        self.name, self.about = name, about

    def unavailable(self, user):  # a reason, or None
        return None

    def mount(self, stack, target):
        raise NotImplementedError

    def unmount(self, target):
        for _ in range(100):
            try:
                return syscalls.unmount(target)
            except OSError:
                time.sleep(0.05)
        return syscalls.unmount(target, lazy=True)

    def daemon(self, target):
        """The process that serves the mount; None for what the kernel does itself."""
        return None


class Bare(System):
    """The files as they lie, without any layers."""

    kind = "bare"

    def mount(self, stack, target):
        syscalls.mount(stack.merged, target, None, flags=4096)  # MS_BIND


class Overlayfs(System):
    kind = "kernel"

    def mount(self, stack, target):
        options = "lowerdir=" + ":".join(stack.names)
        if stack.upper:
            options += f",upperdir={stack.upper},workdir={stack.work}"
        if stack.user:
            options += ",userxattr"
        elif stack.upper:
            options += ",redirect_dir=on,metacopy=on,index=on"
        else:
            options += ",redirect_dir=on,metacopy=on"
        os.chdir(stack.layers.root)
        syscalls.mount("overlay", target, "overlay", options)


class Daemon(System):
    """A program that is called to mount, and stays."""

    def mount(self, stack, target):
        done = subprocess.run(self.command(stack, target), cwd=stack.layers.root, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=60)
        if done.returncode != 0:
            raise OSError(f"{self.name} does not mount: {done.stderr.strip()[-300:]}")

    def command(self, stack, target):
        raise NotImplementedError

    def daemon(self, target):
        wanted = os.fsencode(target)
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except (OSError, NotADirectoryError):
                continue
            if name.isdigit() and int(name) != os.getpid() and wanted in words:
                return int(name)
        return None


class Layerfs(Daemon):
    kind = "layerfs"

    def __init__(self, name, about, program, options, indexed=True):
        super().__init__(name, about)
        self.program, self.options, self.indexed = program, options, indexed

    def command(self, stack, target):
        options = "lowerdir=" + ":".join(stack.names) + self.options
        if self.indexed:
            files = [stack.layers.index(name, stack.user) for name in stack.names]
            options += ",layerindex=" + ":".join(files)
        if stack.upper:
            options += f",upperdir={stack.upper},workdir={stack.work}"
        if stack.user:
            options += ",userxattr"
        return [self.program, "-o", options, target]


class FuseOverlayfs(Daemon):
    kind = "fuse"

    def __init__(self, name, program):
        super().__init__(name, program)
        self.program = program

    def command(self, stack, target):
        options = "lowerdir=" + ":".join(stack.names)
        if stack.upper:
            options += f",upperdir={stack.upper},workdir={stack.work}"
        return [self.program, "-o", options, target]


class Unionfs(Daemon):
    kind = "fuse"

    def __init__(self, name, program):
        super().__init__(name, program)
        self.program = program

    def command(self, stack, target):
        root = stack.layers.root
        branches = [f"{stack.upper}=RW"] if stack.upper else []
        branches += [f"{root}/{name}=RO" for name in stack.names]
        options = "allow_other,use_ino,suid,dev" if not stack.user else "use_ino"
        return [self.program, "-o", f"cow,max_files=16384,{options}", ":".join(branches), target]


def all_systems(layerfs, fuse_overlayfs, unionfs, uring):
    """By name. `uring`: whether the kernel has FUSE over io_uring switched on."""
    systems = [Bare("bare", "the merged tree on the same file system, no layers"),
               Overlayfs("overlayfs", "the kernel's, redirect_dir, metacopy and index on")]
    if uring:
        systems += [
            Layerfs("layerfs", "indexed layers, over io_uring", layerfs, ",transport=io_uring"),
            Layerfs("layerfs-plain", "layers without an index, over io_uring", layerfs,
                    ",transport=io_uring", indexed=False),
            Layerfs("layerfs-all", "passthrough=all, over io_uring", layerfs,
                    ",transport=io_uring,passthrough=all")]
    systems.append(Layerfs("layerfs-devfuse", "indexed layers, over /dev/fuse", layerfs,
                           ",transport=dev_fuse"))
    if fuse_overlayfs:
        systems.append(FuseOverlayfs("fuse-overlayfs", fuse_overlayfs))
    if unionfs:
        systems.append(Unionfs("unionfs-fuse", unionfs))
    return {system.name: system for system in systems}

"""The unions that are compared, and how each is mounted by hand and by mount(8)."""
import os
import pathlib
import subprocess

# What a suite that calls mount(8) finds before the machine's own programs. mount.fuse looks here
# first, and hardly anything else is installed here.
SHIMS = pathlib.Path("/usr/local/sbin")


class Union:
    """One implementation. `name` is for the command line, `title` for people."""

    def __init__(self, name, title, mount_type, program=None):
        self.name, self.title, self.mount_type = name, title, mount_type
        self.program = program

    @property
    def in_user_space(self):
        return self.mount_type != "overlay"

    @property
    def has_umount_helper(self):
        return self.name == "layerfs"

    def mount(self, lowers, upper, work, point):
        options = f"lowerdir={':'.join(map(str, lowers))},upperdir={upper},workdir={work}"
        if self.in_user_space:
            command = [self.program, "-o", options, point]
        else:
            command = ["mount", "-t", "overlay", "overlay", "-o", options, point]
        subprocess.run(command, check=True)

    def version(self):
        if not self.in_user_space:
            return os.uname().release
        said = subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True)
        # fuse-overlayfs names its fusermount3 first.
        return [line.split()[-1] for line in said.stdout.splitlines() if self.name in line][0]

    def provide_shims(self, in_overlays_place=False):
        """Lets mount(8) find the program; with `in_overlays_place` also when overlay is asked for.

        Must be called in a mount namespace of one's own: it covers SHIMS.
        """
        subprocess.run(["mount", "-t", "tmpfs", "shims", SHIMS], check=True)
        if not self.in_user_space:
            return
        (SHIMS / self.mount_type.removeprefix("fuse.")).symlink_to(self.program)
        if in_overlays_place:
            write_program("mount", f"""#!/bin/bash
arguments=("$@")
for i in "${{!arguments[@]}}"; do
  [[ ${{arguments[i]}} = -t && ${{arguments[i + 1]}} = overlay ]] && arguments[i + 1]={self.mount_type}
done
exec /bin/mount "${{arguments[@]}}"
""")


def write_program(name, text):
    """Puts a program called `name` before the machine's own of that name."""
    (SHIMS / name).write_text(text)
    (SHIMS / name).chmod(0o755)


def all_unions(layerfs):
    """The unions by name; `layerfs` is the path of that program."""
    known = [Union("overlay", "kernel overlayfs", "overlay"),
             Union("fuse-overlayfs", "fuse-overlayfs", "fuse.fuse-overlayfs",
                   "/usr/bin/fuse-overlayfs"),
             Union("layerfs", "layerfs", "fuse.layerfs", os.path.abspath(layerfs))]
    return {union.name: union for union in known}

"""A file system of its own for the measurements: ext4 in a file, mounted by a loop device.

The disk below may be anything, and timings on it would say more about its history than about what
is compared.
"""
import os
import shutil
import subprocess
import time

from . import syscalls


class Workspace:
    """Below `directory`: disk.img, and disk/ where it is mounted. Removed by close() unless kept."""

    def __init__(self, directory, gigabytes, keep):
        self.directory = os.path.abspath(directory)
        self.keep = keep
        self.disk = os.path.join(self.directory, "disk")
        self.image = os.path.join(self.directory, "disk.img")
        self.gigabytes = gigabytes
        self.made = not os.path.exists(self.directory)

    def open(self):
        os.makedirs(self.disk, exist_ok=True)
        if not os.path.exists(self.image):
            fresh = self.image + ".new"
            with open(fresh, "wb") as file:
                file.truncate(self.gigabytes << 30)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", fresh], check=True)
            os.rename(fresh, self.image)
        subprocess.run(["mount", "-o", "loop", self.image, self.disk], check=True)

    def path(self, *parts):
        return os.path.join(self.disk, *parts)

    def fresh(self, name):
        """An empty directory."""
        path = self.path(name)
        remove(path)
        os.makedirs(path)
        return path

    def close(self):
        for _ in range(50):
            try:
                syscalls.unmount(self.disk)
                break
            except OSError as error:
                if not os.path.ismount(self.disk):
                    break
                problem = error
                time.sleep(0.1)
        else:
            print(f"bench/run: {problem}")
            return
        if not self.keep:
            remove(self.directory if self.made else self.disk)
            if os.path.exists(self.image):
                os.unlink(self.image)


def remove(path):
    if os.path.lexists(path):
        shutil.rmtree(path)

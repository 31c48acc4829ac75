"""mount(2) and umount2(2), since mount(8) limits the length of options and resolves paths."""
import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
MS_PRIVATE, MS_REC, MNT_DETACH = 1 << 18, 1 << 14, 2


def mount(source, target, kind, options="", flags=0):
    arguments = [os.fsencode(x) if x is not None else None for x in (source, target, kind)]
    if _libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(options)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount of {kind} at {target}: {os.strerror(code)}")


def unmount(target, lazy=False):
    if _libc.umount2(os.fsencode(target), MNT_DETACH if lazy else 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unmount of {target}: {os.strerror(code)}")


def is_mounted(target):
    try:
        return os.stat(target).st_dev != os.stat(os.path.dirname(target)).st_dev
    except OSError:
        return True  # a FUSE mount whose daemon is gone


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3")

"""Operations on the files of a union, done on both sides alike."""
import errno
import os
import random


class Op:
    """One operation. It is told to a Model where it succeeds."""

    def __init__(self, name, path, other=None, value=None):
        self.name, self.path, self.other, self.value = name, path, other, value

    def __str__(self):
        words = (self.name, self.path, self.other, self.value)
        return " ".join(str(word).strip() for word in words if word is not None)

    def run(self, model):
        """"ok", or the errno's name; the model knows of it then."""
        path = os.path.join(model.root, self.path)
        kept = self.kept_number(model)
        try:
            result = getattr(self, self.name)(model, path)
        except OSError as error:
            return errno.errorcode[error.errno]
        self.check_number(model, kept)
        return f"ok {result}" if result else "ok"

    def kept_number(self, model):
        """The number that the object has to keep, whatever is done with it, or None."""
        if self.name in ("unlink", "rmdir", "rename"):
            return None
        file = model.files.get(self.path)
        # The first change of a file whose links are broken gives it a number of its own.
        if file and file.in_lower and len(file.names) == 1 and max(file.nlinks) > 1:
            return None
        return model.key(self.path), len(file.names) if file else 0

    def check_number(self, model, kept):
        """Where no links were broken."""
        if kept is None or kept[0] is None or model.key(self.path) == kept[0]:
            return
        if kept[1] <= len(model.files[self.path].names if kept[1] else ()):
            model.counts.inos.append(f"{self}: it was {kept[0]}, is {model.key(self.path)}")

    def write(self, model, path, flags, change):
        """Adds self.value, in a way that `change` does to the content as well."""
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | flags)
        try:
            os.write(fd, self.value.encode())
        finally:
            os.close(fd)
        if self.path in model.files:
            model.change(self.path, change(model.files[self.path].content, self.value.encode()))

    def append(self, model, path):
        self.write(model, path, os.O_APPEND, lambda old, new: old + new)

    def rewrite(self, model, path):
        self.write(model, path, os.O_TRUNC, lambda old, new: new)

    def poke(self, model, path):
        self.write(model, path, 0, lambda old, new: new + old[len(new):])

    def cut(self, model, path):
        os.truncate(path, 3)
        model.change(self.path, model.files[self.path].content[:3].ljust(3, b"\0"))

    def chmod(self, model, path):
        os.chmod(path, self.value)
        self.note_change(model)

    def chown(self, model, path):
        os.chown(path, self.value, self.value, follow_symlinks=False)
        self.note_change(model)

    def touch(self, model, path):
        os.utime(path, (self.value, self.value), follow_symlinks=False)
        self.note_change(model)

    def set_xattr(self, model, path):
        os.setxattr(path, "trusted.note", str(self.value).encode(), follow_symlinks=False)
        self.note_change(model)

    def note_change(self, model):
        if self.path in model.files:
            model.change(self.path)

    def create(self, model, path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        model.create(self.path, "file")

    def symlink(self, model, path):
        os.symlink("somewhere", path)
        model.create(self.path, "link", b"somewhere")

    def mkfifo(self, model, path):
        os.mkfifo(path)
        model.create(self.path, "pipe")

    def mkdir(self, model, path):
        os.mkdir(path)
        model.make_dir(self.path)

    def rmdir(self, model, path):
        os.rmdir(path)
        model.drop(self.path)

    def unlink(self, model, path):
        os.unlink(path)
        model.drop(self.path)

    def link(self, model, path):
        os.link(path, os.path.join(model.root, self.other), follow_symlinks=False)
        model.link(self.path, self.other)

    def rename(self, model, path):
        os.rename(path, os.path.join(model.root, self.other))
        model.move(self.path, self.other)

    def stat(self, model, path):
        status = os.lstat(path)
        return f"{status.st_mode:o} {status.st_uid} {status.st_gid}" + (
            f" {status.st_size}" if self.path in model.files else "")

    def list(self, model, path):
        return " ".join(sorted(os.listdir(path)))

    def get_xattr(self, model, path):
        return os.getxattr(path, "trusted.note", follow_symlinks=False).decode()


def battery(part, other):
    """Each way to change a file, with hard links of every kind, in a part and then in its twin."""
    a, b = part, other
    return [
        Op("append", f"{b}/h0", value="changed\n"), Op("stat", f"{a}/h0"),
        Op("append", f"{a}/sub/h1", value="written\n"), Op("stat", f"{b}/sub/h1"),
        Op("rewrite", f"{a}/f0", value="rewritten\n"), Op("poke", f"{b}/f0", value="POKED"),
        Op("chmod", f"{a}/t1", value=0o600), Op("append", f"{b}/t0", value="more\n"),
        Op("append", f"{a}/sub/t2", value="and more\n"),
        Op("chown", f"{b}/s0", value=7), Op("chown", f"{a}/sub/s1", value=8),
        Op("chmod", f"{b}/p0", value=0o640), Op("chmod", f"{a}/sub/p1", value=0o660),
        Op("link", f"{a}/f1", f"{a}/f1-linked"), Op("append", f"{a}/f1-linked", value="linked\n"),
        Op("link", f"{b}/f1", f"{a}/f1-from-twin"), Op("rename", f"{b}/f2", f"{a}/f2-from-twin"),
        Op("append", f"{a}/f2", value="stays\n"), Op("rename", f"{b}/sub/deep", f"{b}/moved"),
        Op("append", f"{b}/moved/f6", value="moved\n"), Op("append", f"{a}/sub/deep/f6", value="no\n"),
        Op("unlink", f"{a}/f3"), Op("stat", f"{b}/f3"), Op("create", f"{a}/f3"),
        Op("touch", f"{a}/sub", value=1000), Op("rmdir", f"{b}/bare"), Op("mkdir", f"{b}/bare"),
        Op("append", "both/shared", value="top\n"), Op("append", f"both/only-{b}", value="below\n"),
        Op("append", f"{a}/big", value="end\n"), Op("cut", f"{b}/big"), Op("list", a), Op("list", b),
    ]


def random_op(rng, model, number):
    """Drawn from what `model` knows, the same for the same draws."""
    files = sorted(path for path in model.files)
    regular = [path for path in files if model.files[path].kind == "file"]
    dirs = sorted(model.dirs)
    new = f"{rng.choice(dirs)}/new-{number}"
    any_new = rng.choice([new, rng.choice(files)])
    draw = rng.choice(["append"] * 4 + ["rewrite", "poke", "cut"] + ["chmod", "chown", "touch"] * 2
                      + ["link"] * 3 + ["rename"] * 3 + ["unlink"] * 2 + ["stat", "list"]
                      + ["create", "symlink", "mkfifo", "mkdir", "rmdir", "rename-dir", "set_xattr",
                         "get_xattr"])
    if draw in ("append", "rewrite", "poke", "cut", "chmod"):
        value = 0o600 + rng.randrange(0o100) if draw == "chmod" else f"<{number}>"
        return Op(draw, rng.choice(regular), value=value)
    if draw in ("create", "symlink", "mkfifo", "mkdir"):
        return Op(draw, any_new)
    if draw in ("link", "rename"):
        return Op(draw, rng.choice(files), any_new)
    if draw in ("rmdir", "list"):
        return Op(draw, rng.choice(dirs))
    if draw == "rename-dir":
        return Op("rename", rng.choice(dirs), rng.choice([new, rng.choice(dirs)]))
    return Op(draw, rng.choice(files), value=None if draw in ("unlink", "stat", "get_xattr")
              else rng.randrange(1, 1000))


def generator(seed):
    return random.Random(seed)

"""The files of the lower layers: two trees of one shape, whose inode numbers coincide."""
import dataclasses
import os
import stat

# Names of one file each; the others are alone. The newer build has the same names, links others, and
# makes them in another order, so that numbers and handles come to be those of other files.
LINKS = {
    1: [("h0", "sub/h1"), ("t0", "t1", "sub/t2"), ("s0", "sub/s1"), ("p0", "sub/p1")],
    2: [("f0", "sub/h1"), ("h0", "t1"), ("sub/f4", "sub/t2"), ("s0", "sub/s1"), ("p0", "sub/p1")],
}
FILES = ["f0", "f1", "f2", "f3", "h0", "t0", "t1", "big", "sub/f4", "sub/f5", "sub/h1", "sub/t2",
         "sub/deep/f6", "sub/deep/f7"]
SYMLINKS, PIPES = ["s0", "sub/s1", "s2"], ["p0", "sub/p1", "p2"]
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe"}
DIRECTORIES = ["", "sub", "sub/deep", "bare"]


@dataclasses.dataclass
class Entry:
    """What is under a name. `key` is equal for the names of one file only."""

    kind: str  # "file", "dir", "link", "pipe"; else what is wrong
    content: bytes
    key: object
    nlink: int = 0
    listed_ino: int = 0
    owner: tuple = ()  # with the mode


def content_of(tag, name, version):
    """As long in each version, and different for each file."""
    line = f"{tag}/{name} version {version}\n".encode()
    return line * (3000 if name.endswith("big") else 1)


def make_part(place, tag, version):
    """Fills `place`/`tag`, and the directory "both" that all parts have."""
    for name in DIRECTORIES:
        os.makedirs(os.path.join(place, tag, name), exist_ok=True)
    names = FILES + SYMLINKS + PIPES
    for name in names if version == 1 else reversed(names):
        path = os.path.join(place, tag, name)
        links = next((links for links in LINKS[version] if name in links), ())
        made = [os.path.join(place, tag, other) for other in links
                if os.path.lexists(os.path.join(place, tag, other))]
        if made:
            os.link(made[0], path, follow_symlinks=False)
        else:
            make_object(path, tag, name, version)
    os.makedirs(os.path.join(place, "both"), exist_ok=True)
    for name in (f"only-{tag}", "shared"):
        write(os.path.join(place, "both", name), content_of(tag, name, version))


def make_object(path, tag, name, version):
    if name in SYMLINKS:
        os.symlink(f"to-{tag}-{name}-{version}", path)
    elif name in PIPES:
        os.mkfifo(path)
    else:
        write(path, content_of(tag, name, version))


def retag(place, version):
    """Turns part a into part b with every inode in its place."""
    os.rename(os.path.join(place, "a"), os.path.join(place, "b"))
    os.rename(os.path.join(place, "both/only-a"), os.path.join(place, "both/only-b"))
    for path, entry in walk(place).items():
        if entry.kind == "file":
            with open(os.path.join(place, path), "r+b") as file:
                file.write(content_of("b", path.split("/", 1)[1], version)[:len(entry.content)])


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def walk(root):
    """All entries below `root` by their relative paths."""
    found, below = {}, [""]
    while below:
        directory = below.pop()
        try:
            with os.scandir(os.path.join(root, directory)) as entries:
                listed = sorted((entry.name, entry.inode()) for entry in entries)
        except OSError:
            found[directory].kind = "unreadable"
            continue
        for name, number in listed:
            path = os.path.join(directory, name)
            if name != "lost+found":
                found[path] = look(os.path.join(root, path), number)
                if found[path].kind == "dir":
                    below.append(path)
    return found


def look(path, listed_ino=0):
    """`content` is the reason where it cannot be had."""
    try:
        status = os.lstat(path)
    except OSError as error:
        return Entry("unknown", os.strerror(error.errno).encode(), path)
    kind = stat.S_IFMT(status.st_mode)
    content = b""
    try:
        if kind == stat.S_IFLNK:
            content = os.readlink(path).encode()
        elif kind == stat.S_IFREG:
            with open(path, "rb") as file:
                content = file.read()
    except OSError as error:
        content = os.strerror(error.errno).encode()
    return Entry(KINDS.get(kind, "other"), content, (status.st_dev, status.st_ino), status.st_nlink,
                 listed_ino, (oct(status.st_mode), status.st_uid, status.st_gid))


def merge(trees):
    """What a union of these trees shows, the topmost first."""
    merged = {}
    for position, tree in enumerate(trees):
        for path, entry in tree.items():
            if path not in merged:
                merged[path] = dataclasses.replace(entry, key=(position, entry.key))
    return merged

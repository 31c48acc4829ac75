"""What a union has to show after each operation, and what it shows instead."""
import dataclasses
import os

import tree


@dataclasses.dataclass
class Counts:
    """What was found wrong with one union; each line says where."""

    bytes: list = dataclasses.field(default_factory=list)
    errnos: list = dataclasses.field(default_factory=list)
    inos: list = dataclasses.field(default_factory=list)


class File:
    """One file under all its names. `whole` while a copy-up may break its links: of a lower layer."""

    def __init__(self, kind, content, names, in_lower):
        self.kind, self.content, self.names = kind, content, set(names)
        self.in_lower, self.nlinks = in_lower, {len(self.names)}
        self.was_split = False  # its links broke


class Model:
    """The tree of one union mounted at `root`, followed operation by operation.

    Where a union breaks the links of a lower file at copy-up, and says so by its numbers, the model
    goes along: then what was changed and what was not are two files.
    """

    def __init__(self, root, expected, counts):
        self.root, self.counts = root, counts
        self.files, self.dirs, self.numbers, self.stage = {}, set(), {}, ""
        by_key = {}
        for path, entry in expected.items():
            if entry.kind == "dir":
                self.dirs.add(path)
            else:
                by_key.setdefault(entry.key, []).append((path, entry))
        for names in by_key.values():
            entry = names[0][1]
            file = File(entry.kind, entry.content, [path for path, _ in names], True)
            # A name that another layer hides counts, too.
            file.nlinks.add(entry.nlink)
            self.files.update((path, file) for path, _ in names)

    # --- what operations do ---
    def change(self, path, content=None):
        """`path` was changed; with it, the names that still have its number."""
        file = self.files[path]
        broken = self.broken_links(path, file, content)
        if broken:
            rest = File(file.kind, file.content, broken, True)
            rest.nlinks |= file.nlinks
            rest.was_split = file.was_split = True
            self.files.update((name, rest) for name in broken)
            file.names -= broken
            file.nlinks = {len(file.names)}
        file.in_lower = False
        if content is not None:
            file.content = content

    def broken_links(self, path, file, content):
        """The names of `file` that show it as it was, which only those of a lower layer may."""
        key = self.key(path)
        apart = {name for name in file.names if self.key(name) != key}
        followed = {name for name in apart if content not in (None, file.content)
                    and tree.look(os.path.join(self.root, name)).content == content}
        lies = apart if not file.in_lower else followed
        if lies:
            self.counts.inos.append(f"{self.stage}: another number for {' '.join(sorted(lies))}")
        return apart - lies

    def create(self, path, kind, content=b""):
        self.files[path] = File(kind, content, [path], False)

    def make_dir(self, path):
        self.dirs.add(path)

    def link(self, path, new):
        self.change(path)
        self.drop(new)
        file = self.files[path]
        self.files[new] = file
        file.names.add(new)
        file.nlinks = {nlink + 1 for nlink in file.nlinks} | {len(file.names)}

    def drop(self, path):
        if path in self.files:
            file = self.files.pop(path)
            file.names.discard(path)
            file.nlinks = {nlink - 1 for nlink in file.nlinks} | {len(file.names)}
        self.dirs.discard(path)

    def move(self, path, new):
        """A file or directory; what was under `new` goes, unless both are one file."""
        if path == new:
            return
        if path in self.files:
            if os.path.lexists(os.path.join(self.root, path)):
                return
            file = self.files[path]
            self.drop(new)
            file.names = file.names - {path} | {new}
            self.files[new] = self.files.pop(path)
            self.change(new)
            return
        self.drop(new)
        for table in (self.files, self.dirs):
            for old in [name for name in table if name == path or name.startswith(path + "/")]:
                self.move_name(old, new + old[len(path):])

    def move_name(self, old, new):
        if old in self.dirs:
            self.dirs.remove(old)
            self.dirs.add(new)
            return
        file = self.files[new] = self.files.pop(old)
        file.names = file.names - {old} | {new}

    # --- what is there ---
    def key(self, path):
        """None if there is nothing."""
        try:
            status = os.lstat(os.path.join(self.root, path))
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def check(self, stage):
        """Compares the whole tree, and counts what differs."""
        self.stage = stage
        shown = tree.walk(self.root)
        wanted = set(self.files) | self.dirs
        for path in sorted(wanted ^ set(shown)):
            self.counts.bytes.append(f"{stage}: {path} is {'missing' if path in wanted else 'there'}")
        for path in sorted(wanted & set(shown)):
            self.check_entry(f"{stage}: {path}", path, shown[path])
        self.check_numbers(stage, {path: shown[path] for path in wanted & set(shown)})
        return shown

    def check_entry(self, where, path, entry):
        if entry.listed_ino != entry.key[1]:
            self.counts.inos.append(f"{where} is listed as {entry.listed_ino}, is {entry.key[1]}")
        if path in self.dirs:
            if entry.kind != "dir":
                self.counts.bytes.append(f"{where} is no directory")
            return
        file = self.files[path]
        if (entry.kind, entry.content) != (file.kind, file.content):
            self.counts.bytes.append(f"{where} is {entry.kind} {entry.content[:50]!r}, not "
                                     f"{file.kind} {file.content[:50]!r}")
        if entry.nlink not in file.nlinks:
            self.counts.inos.append(f"{where} has {entry.nlink} links, not {file.nlinks}")

    def check_numbers(self, stage, shown):
        """Two names have one number if, and only if, they are names of one file."""
        by_key = {}
        for path in sorted(shown):
            by_key.setdefault(shown[path].key, []).append(path)
        for names in by_key.values():
            owners = {id(self.files.get(name, name)) for name in names}
            if len(owners) > 1:
                self.counts.inos.append(f"{stage}: one number for {' '.join(names)}")
        for file in set(self.files.values()):
            keys = {shown[name].key for name in file.names if name in shown}
            if len(keys) > 1:
                self.counts.inos.append(f"{stage}: several numbers for {' '.join(sorted(file.names))}")

    def expect_numbers(self, stage, before, shown):
        """That names kept the numbers that they had in `before`."""
        for path in sorted(set(before) & set(shown)):
            was, now = before[path].key[1], shown[path].key[1]
            if was != now:
                self.counts.inos.append(f"{stage}: {path} had number {was}, has {now}")

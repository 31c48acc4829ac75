"""One kind of lower layers below one kind of upper, with both unions over them."""
import dataclasses
import subprocess

import lowers
import ops
import tree
from model import Counts, Model


class Refused(Exception):
    """A union does not mount these layers."""


class Side:
    """One union with an upper of its own, mounted at `point`."""

    def __init__(self, name, base, upper_base, program):
        self.name, self.point, self.program = name, base / name, program
        self.upper_base, self.uppers = upper_base, 0
        self.counts, self.notes, self.mounted = Counts(), [], False
        self.point.mkdir()

    def new_upper(self):
        self.uppers += 1
        self.upper = self.upper_base / f"{self.name}-{self.uppers}"
        for name in ("u", "w"):
            (self.upper / name).mkdir(parents=True)

    def mount(self, paths, options):
        words = (f"lowerdir={':'.join(map(str, paths))},upperdir={self.upper}/u,"
                 f"workdir={self.upper}/w,{options}")
        command = [*self.program, "-o", words, self.point]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Refused(done.stderr.strip().split("\n")[0].replace(str(self.point), "it"))
        self.mounted = True

    def unmount(self):
        """With the program's own command, which waits for the daemon."""
        if not self.mounted:
            return
        if self.name == "layerfs":
            lowers.run(self.program[0], "umount", self.point)
        else:
            lowers.unmount(self.point)
        self.mounted = False

    def result(self):
        return {**dataclasses.asdict(self.counts), "notes": self.notes}


class Pair:
    """`run` does everything; the sides have the counts."""

    def __init__(self, base, kind, upper, options):
        self.options = options
        self.lower = lowers.KINDS[kind][0](base, options.layerfs)
        upper_base = self.make_upper_base(base, upper)
        self.sides = [Side("overlay", base, upper_base, ["mount", "-t", "overlay", "overlay"]),
                      Side("layerfs", base, upper_base, [options.layerfs, "mount"])]

    def make_upper_base(self, base, upper):
        """On the file system of the lower layers if that is of the same kind."""
        disk = self.lower.disk
        if disk and upper == self.lower.kind:
            place = disk / "uppers"
            if isinstance(self.lower, lowers.Subvolumes):
                lowers.run("btrfs", "subvolume", "create", place)
            else:
                place.mkdir()
            return place
        lowers.mount_disk(base / "uppers", upper)
        return base / "uppers"

    def run(self):
        self.lower.build(1)
        self.change_everything()
        self.lower.build(1)
        self.replace_lower()

    def end(self):
        for side in self.sides:
            side.unmount()
        self.lower.unmount()

    def mount_all(self, options=None):
        """The sides that mount; what the others say becomes a note."""
        mounted = []
        for side in self.sides:
            try:
                side.mount(self.lower.paths, options or self.options.options)
                mounted.append(side)
            except Refused as refusal:
                side.notes.append(f"not mounted: {refusal}")
                if side.name == "layerfs":
                    side.counts.errnos.append(f"not mounted: {refusal}")
        return mounted

    # --- changes of every kind ---
    def change_everything(self):
        for side in self.sides:
            side.new_upper()
        sides = self.mount_all()
        models = [Model(side.point, self.lower.expected, side.counts) for side in sides]
        for model in models:
            model.check("new")
        self.perform(sides, models, self.wanted(ops.battery("a", "b")), "changed")
        self.remount(sides, models, "mounted again")
        self.perform(sides, models, self.wanted(ops.battery("b", "a")), "changed again")
        rng = ops.generator(self.options.seed)
        randoms = (ops.random_op(rng, models[0], i) for i in range(self.options.ops))
        self.perform(sides, models, randoms, "after random changes")
        self.remount(sides, models, "mounted a third time")
        for side in self.sides:
            side.unmount()

    def wanted(self, battery):
        """Without what the layers do not show."""
        return [op for op in battery if op.path.split("/")[0] in self.lower.expected
                and f"{op.path.split('/')[0]}/f1" in {*self.lower.expected, "both/f1"}]

    def perform(self, sides, models, operations, stage):
        for op in operations:
            for model in models:
                model.stage = f"{stage}, {op}"
            results = [op.run(model) for model in models]
            if len(set(results)) > 1 and not (op.name == "stat" and self.differ_in_links(op.path, models)):
                sides[-1].counts.errnos.append(f"{stage}: {op}: {results[0]}, here {results[1]}")
        shown = [model.check(stage) for model in models]
        for path in set(shown[0]) & set(shown[-1]):
            if shown[0][path].owner != shown[-1][path].owner and not self.differ_in_links(path, models):
                sides[-1].counts.errnos.append(f"{stage}: {path}: {shown[0][path].owner}, here "
                                               f"{shown[-1][path].owner}")

    def differ_in_links(self, path, models):
        """Whether the links of a file broke in one of the unions only, so that it is other files there."""
        files = [model.files.get(path) for model in models]
        if None in files or len({file.was_split for file in files}) == 1:
            return False
        side = next(side for side, file in zip(self.sides, files) if file.was_split)
        note = "hard links of lower files break at copy-up"
        if note not in side.notes:
            side.notes.append(note)
        return True

    def remount(self, sides, models, stage):
        for side, model in zip(sides, models):
            before = tree.walk(side.point)
            side.unmount()
            side.mount(self.lower.paths, self.options.options)
            model.expect_numbers(stage, before, model.check(stage))

    # --- a newer build of the lower layers ---
    def replace_lower(self):
        for side in self.sides:
            side.new_upper()
        sides = self.mount_all()
        models = [Model(side.point, self.lower.expected, side.counts) for side in sides]
        done = self.wanted(WRITTEN)
        self.perform(sides, models, done, "before the lower was replaced")
        shown = [tree.walk(side.point) for side in sides]
        for side in sides:
            side.unmount()
        self.lower.build(2)
        for side, model, before in zip(sides, models, shown):
            if self.mount_again(side):
                self.check_replaced(side, model, before, done)
                side.unmount()

    def mount_again(self, side):
        """With the index off where the union refuses to use the old one for new layers."""
        for options in (self.options.options, self.options.options.replace("index=on", "index=off")):
            try:
                side.mount(self.lower.paths, options)
                return True
            except Refused as refusal:
                side.notes.append(f"with newer layers: {refusal}")
        side.counts.errnos.append("not mounted over newer layers")
        return False

    def check_replaced(self, side, model, before, done):
        """Files that were written show that, the others what the new layers have."""
        kept = ("chmod", "unlink") if "metacopy=on" in self.options.options else ("unlink",)
        written = {op.path for op in done if op.name not in kept}
        written |= {op.other for op in done if op.name == "link"}
        gone = {op.path for op in done if op.name == "unlink"}
        shown, new = tree.walk(side.point), self.lower.expected
        for path in sorted(set(before) | set(shown)):
            allowed = []
            if path in written or path not in new or self.shares(model, path, written):
                allowed += [before.get(path)]
            if path not in written | gone and path in new:
                allowed += [new[path]]
            self.judge(side, path, shown.get(path), [content_of(entry) for entry in allowed])
        by_number = {}
        for path, entry in shown.items():
            by_number.setdefault(entry.key, set()).add(content_of(entry))
        for key, contents in by_number.items():
            if len(contents) > 1:
                side.counts.inos.append(f"newer lower: one number for several files ({key})")

    @staticmethod
    def shares(model, path, written):
        """Whether it is a name of a file that was written by another one."""
        return path in model.files and bool(model.files[path].names & written)

    @staticmethod
    def judge(side, path, entry, allowed):
        if content_of(entry) not in allowed:
            side.counts.bytes.append(f"newer lower: {path} shows {content_of(entry)}")


def content_of(entry):
    return None if entry is None else (entry.kind, entry.content[:80])


# Data of some files, and of the rest only what is not data.
WRITTEN = [op for part in ("a", "b") for op in (
    ops.Op("append", f"{part}/h0", value="written\n"), ops.Op("rewrite", f"{part}/f0", value="new\n"),
    ops.Op("append", f"{part}/t1", value="more\n"), ops.Op("append", f"{part}/sub/f4", value="x\n"),
    ops.Op("create", f"{part}/made"), ops.Op("link", f"{part}/f0", f"{part}/f0-linked"),
    ops.Op("chmod", f"{part}/f1", value=0o600), ops.Op("unlink", f"{part}/f3"),
    ops.Op("mkdir", f"{part}/sub/made"), ops.Op("chown", f"{part}/s0", value=5))]

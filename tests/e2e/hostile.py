"""Writes OCI image layouts that must be refused (and one that must not).

usage: hostile.py KIND DIR OUTSIDE

DIR becomes a layout with one image, tag "image", of one or two layers. OUTSIDE is a directory that
the layers of some kinds try to write into.
"""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def entry(name, kind=tarfile.REGTYPE, data=b"", link="", **fields):
    info = tarfile.TarInfo("placeholder")
    info.name, info.type, info.linkname, info.size = name, kind, link, len(data)
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.mtime = 1000000000
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def directory(name):
    return entry(name, tarfile.DIRTYPE)


def symlink(name, target):
    return entry(name, tarfile.SYMTYPE, link=target)


def hard_link(name, target):
    return entry(name, tarfile.LNKTYPE, link=target)


# A layer that a store has already is not read again, so the faulty ones hold something else.
PLAIN = tar(directory("etc"), entry("etc/hostname", data=b"plain\n"))
GOOD = tar(directory("etc"), entry("etc/hostname", data=b"good\n"))
EVIL = b"written outside\n"


def layers_of(kind, outside):
    """The layers, bottom first, of the kinds whose fault is in a layer."""
    up = "../" * 40 + outside.lstrip("/")
    return {
        "good": [GOOD],
        "dotdot-name": [tar(entry(f"{up}/evil", data=EVIL))],
        "dotdot-inside": [tar(directory("a"), entry(f"a/{up}/evil", data=EVIL))],
        "absolute-name": [tar(entry(f"{outside}/evil", data=EVIL))],
        "dotdot-directory": [tar(entry("..", tarfile.DIRTYPE, mode=0o777))],
        "symlink-then-write": [tar(symlink("out", outside), entry("out/evil", data=EVIL))],
        "symlink-in-a-lower-layer": [tar(symlink("out", outside)),
                                     tar(entry("out/evil", data=EVIL))],
        "symlink-dotdot-then-write": [tar(symlink("out", up), entry("out/evil", data=EVIL))],
        "symlink-then-hard-link": [tar(symlink("out", outside), hard_link("mine", "out/victim"))],
        "hard-link-dotdot": [tar(hard_link("mine", f"{up}/victim"))],
        "hard-link-absolute": [tar(hard_link("mine", f"{outside}/victim"))],
        "hard-link-to-nothing": [tar(hard_link("mine", "nowhere"))],
        "whiteout-dotdot": [GOOD, tar(directory("etc"), entry("etc/.wh..."))],
        "whiteout-dot": [GOOD, tar(directory("etc"), entry("etc/.wh.."))],
        "whiteout-through-symlink": [tar(symlink("out", outside)), tar(entry("out/.wh.victim"))],
    }.get(kind)


FAULTS = ("truncated-layer", "wrong-layer-digest", "wrong-diff-id", "wrong-config-digest",
          "unknown-media-type", "unknown-manifest-type", "config-not-json", "missing-blob",
          "fewer-diff-ids", "not-a-tar")


class Layout:
    def __init__(self, path):
        self.path = path
        os.makedirs(f"{path}/blobs/sha256")
        with open(f"{path}/oci-layout", "w", encoding="utf-8") as file:
            json.dump({"imageLayoutVersion": "1.0.0"}, file)

    def blob(self, data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{self.path}/blobs/sha256/{digest}", "wb") as file:
            file.write(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def blob_path(self, descriptor):
        return f"{self.path}/blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"


def damage(path):
    """Changes a byte in the middle, keeping the size."""
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))


def write(kind, path, outside):
    layout = Layout(path)
    tars = layers_of(kind, outside) or [PLAIN]
    diff_ids = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in tars]
    packed = [gzip.compress(data, mtime=0) for data in tars]
    if kind == "truncated-layer":
        packed[-1] = packed[-1][:-20]
    if kind == "not-a-tar":
        noise = b"this is not a tar archive " * 100
        packed[-1] = gzip.compress(noise)
        diff_ids[-1] = f"sha256:{hashlib.sha256(noise).hexdigest()}"
    if kind == "wrong-diff-id":
        diff_ids[-1] = "sha256:" + "0" * 64
    if kind == "fewer-diff-ids":
        diff_ids = []
    media_type = "application/x-unheard-of" if kind == "unknown-media-type" else LAYER
    layers = [layout.blob(data, media_type) for data in packed]
    config = {"architecture": "amd64", "os": "linux",
              "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    text = b"{ not json" if kind == "config-not-json" else json.dumps(config).encode()
    config = layout.blob(text, CONFIG)
    manifest = layout.blob(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                                       "layers": layers}).encode(), MANIFEST)
    if kind == "unknown-manifest-type":
        manifest["mediaType"] = "application/x-unheard-of"
    if kind == "wrong-layer-digest":
        damage(layout.blob_path(layers[-1]))
    if kind == "wrong-config-digest":
        damage(layout.blob_path(config))
    if kind == "missing-blob":
        os.remove(layout.blob_path(layers[-1]))
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "image"}
    with open(f"{path}/index.json", "w", encoding="utf-8") as file:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)


if __name__ == "__main__":
    KIND, DIR, OUTSIDE = sys.argv[1:]
    if KIND not in FAULTS and not layers_of(KIND, OUTSIDE):
        sys.exit(f"hostile.py: no kind '{KIND}'")
    write(KIND, DIR, OUTSIDE)

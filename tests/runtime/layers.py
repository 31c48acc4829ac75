"""layers.py ARCHIVE: what the layers of the OCI archive hold, a line per entry, base layer first.

Times are left out: they differ from build to build.
"""
import gzip
import hashlib
import io
import json
import sys
import tarfile


def describe(layer, entry):
    content = ""
    if entry.isreg():
        content = hashlib.sha256(layer.extractfile(entry).read()).hexdigest()
    xattrs = {k: v for k, v in sorted(entry.pax_headers.items()) if k.startswith("SCHILY.xattr.")}
    name = entry.name.removeprefix("./").rstrip("/")
    return (f"{name} {entry.type.decode()} {entry.mode:o} {entry.uid}:{entry.gid} "
            f"{entry.linkname} {entry.devmajor}:{entry.devminor} {content} {xattrs}")


def main(path):
    with tarfile.open(path) as archive:
        def blob(digest):
            return archive.extractfile("blobs/" + digest.replace(":", "/")).read()

        index = json.load(archive.extractfile("index.json"))
        manifest = json.loads(blob(index["manifests"][0]["digest"]))
        for number, layer in enumerate(manifest["layers"]):
            data = blob(layer["digest"])
            if layer["mediaType"].endswith("gzip"):
                data = gzip.decompress(data)
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for line in sorted(describe(tar, entry) for entry in tar):
                    print(number, line.encode("utf-8", "surrogateescape").decode("latin-1"))


main(sys.argv[1])

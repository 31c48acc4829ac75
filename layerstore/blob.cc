#include "layerstore/blob.h"

#include "layerstore/file_util.h"

namespace layerfs::store {

std::string blob_path(const Digest& digest) { return "blobs/sha256/" + digest.hex(); }

bool has_blob(const StoreDir& store, const Digest& digest) {
  return has_entry(store.fd(), blob_path(digest));
}

Outcome<std::string> read_document(const StoreDir& store, const Digest& digest) {
  Result<std::string> text = read_file(store.fd(), blob_path(digest), kMaxDocument);
  if (!text) {
    return refuse_entry("cannot read the blob '" + store.path(blob_path(digest)) + "'",
                        text.error());
  }
  if (Digest::of(*text) != digest) {
    return refuse("the blob '" + store.path(blob_path(digest)) +
                  "' is damaged: its content has another digest");
  }
  return *text;
}

}  // namespace layerfs::store

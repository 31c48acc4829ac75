#include "layerstore/blob.h"

#include <fcntl.h>
#include <unistd.h>

#include "layerstore/file_util.h"

namespace layerfs::store {

std::string blob_path(const Digest& digest) { return "blobs/sha256/" + digest.hex(); }

bool has_blob(const StoreDir& store, const Digest& digest) {
  return ::faccessat(store.fd(), blob_path(digest).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Outcome<std::string> read_document(const StoreDir& store, const Digest& digest) {
  Result<std::string> text = read_file(store.fd(), blob_path(digest).c_str(), kMaxDocument);
  if (!text) {
    return refuse("cannot read the blob '" + store.path(blob_path(digest)) + "'", text.error());
  }
  if (Digest::of(*text) != digest) {
    return refuse("the blob '" + store.path(blob_path(digest)) +
                  "' is damaged: its content has another digest");
  }
  return *text;
}

}  // namespace layerfs::store

#include "fs/layer/observer.h"

#include <fcntl.h>

#include <utility>

#include "fs/sys/file.h"

namespace layerfs::layer {
namespace {

// Where the kernel says that the descriptor leads; empty if it does not say. In a detached clone of
// a mount that is a path from the root of the clone.
std::string path_of_fd(int fd) {
  return sys::readlink_at(AT_FDCWD, sys::fd_path(fd).c_str()).value_or(std::string());
}

}  // namespace

Reporter::Reporter(Observer& observer, std::string layer, int root)
    : layer_(std::make_shared<const Layer>(Layer{observer, std::move(layer), root})) {}

tl::unexpected<Errno> Reporter::failed(const sys::At& at, Errno error,
                                       std::string_view reason) const {
  if (layer_ != nullptr) tell(path_of(at), reason, error.code());
  return fail(error);
}

tl::unexpected<Errno> Reporter::failed(std::string path, Errno error,
                                       std::string_view reason) const {
  tell(std::move(path), reason, error.code());
  return fail(error);
}

void Reporter::ignored(const sys::At& at, std::string_view reason) const {
  if (layer_ != nullptr) tell(path_of(at), reason, 0);
}

void Reporter::tell(std::string path, std::string_view reason, int error) const {
  if (layer_ == nullptr) return;
  layer_->observer.problem({layer_->name, std::move(path), std::string(reason), error});
}

std::string Reporter::path_of(const sys::At& at) const {
  std::string path = path_of_fd(at.fd);
  if (at.is_entry()) path += "/" + std::string(at.name);
  const std::string root = path_of_fd(layer_->root);
  if (path.starts_with(root)) path.erase(0, root.size());
  path.erase(0, path.find_first_not_of('/'));
  return path;
}

bool is_fault(Errno error) {
  // EUCLEAN and EBADMSG are what Linux file systems answer where structures or checksums are wrong.
  return error == Errno(EIO) || error == Errno(EUCLEAN) || error == Errno(EBADMSG);
}

}  // namespace layerfs::layer

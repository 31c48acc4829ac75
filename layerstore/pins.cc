#include "layerstore/pins.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "layerstore/file_util.h"

namespace layerfs::store {

namespace {

constexpr const char* kPins = "pins";

}  // namespace

Outcome<Pins> Pins::open(const StoreDir& store, const std::string& owner) {
  const std::string name = std::string(kPins) + "/" + owner;
  for (const std::string& directory : {std::string(kPins), name}) {
    if (Result<void> made = make_dir(store.fd(), directory.c_str(), 0700); !made) {
      return refuse("cannot make '" + store.path(directory) + "'", made.error());
    }
  }
  sys::UniqueFd fd(::openat(store.fd(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return refuse("cannot open '" + store.path(name) + "'", Errno::last());
  return Pins(store.path(name), std::move(fd));
}

Outcome<void> Pins::add(const std::string& key) const {
  const sys::UniqueFd file(
      ::openat(fd_.get(), key.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file || ::fsync(fd_.get()) != 0) {
    return refuse("cannot write '" + path_ + "/" + key + "'", Errno::last());
  }
  return {};
}

Outcome<void> Pins::remove(const std::string& key) const {
  if (::unlinkat(fd_.get(), key.c_str(), 0) == 0 || errno == ENOENT) return {};
  return refuse("cannot remove '" + path_ + "/" + key + "'", Errno::last());
}

Outcome<std::set<std::string>> Pins::keys() const {
  const Result<std::vector<std::string>> names = list_dir(fd_.get(), ".");
  if (!names) return refuse("cannot list '" + path_ + "'", names.error());
  return std::set<std::string>(names->begin(), names->end());
}

Outcome<std::set<std::string>> pinned_layers(const StoreDir& store) {
  std::set<std::string> keys;
  const Result<std::vector<std::string>> owners = list_dir(store.fd(), kPins);
  if (!owners && owners.error().code() == ENOENT) return keys;
  if (!owners) return refuse("cannot list '" + store.path(kPins) + "'", owners.error());
  for (const std::string& owner : *owners) {
    const std::string name = std::string(kPins) + "/" + owner;
    const Result<std::vector<std::string>> names = list_dir(store.fd(), name.c_str());
    if (!names) return refuse("cannot list '" + store.path(name) + "'", names.error());
    keys.insert(names->begin(), names->end());
  }
  return keys;
}

}  // namespace layerfs::store

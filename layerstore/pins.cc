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
    if (Result<void> made = make_dir(store.fd(), directory, 0700); !made) {
      return refuse_entry("cannot make '" + store.path(directory) + "'", made.error());
    }
  }
  Result<sys::UniqueFd> fd = open_dir(store.fd(), name);
  if (!fd) return refuse_entry("cannot open '" + store.path(name) + "'", fd.error());
  return Pins(store.path(name), std::move(*fd));
}

Outcome<void> Pins::add(const std::string& key) const {
  const Result<sys::UniqueFd> file = open_file(fd_.get(), key, O_WRONLY | O_CREAT);
  if (!file) return refuse_entry("cannot write '" + path_ + "/" + key + "'", file.error());
  if (::fsync(fd_.get()) == 0) return {};
  return refuse("cannot write '" + path_ + "/" + key + "'", Errno::last());
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
    const Result<std::vector<std::string>> names = list_dir(store.fd(), name);
    if (!names) return refuse("cannot list '" + store.path(name) + "'", names.error());
    keys.insert(names->begin(), names->end());
  }
  return keys;
}

}  // namespace layerfs::store

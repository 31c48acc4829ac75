#include "layerstore/xattr_spool.h"

#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>

#include "fs/sys/file.h"

namespace layerfs::store {

namespace {

constexpr std::size_t kSmall = 512;

void append(std::string& bytes, const std::string& value) {
  const std::uint32_t size = static_cast<std::uint32_t>(value.size());
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
  bytes += value;
}

std::string take(std::string_view& bytes) {
  std::uint32_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  std::string value(bytes.substr(sizeof size, size));
  bytes.remove_prefix(sizeof size + size);
  return value;
}

tl::unexpected<Failure> cannot(const char* what, Errno error) {
  return refuse(std::string("extended attributes cannot be ") + what + " in the store", error);
}

}  // namespace

Outcome<XattrSpool::Kept> XattrSpool::keep(Xattrs xattrs) {
  std::string bytes;
  for (const auto& [name, value] : xattrs) {
    append(bytes, name);
    append(bytes, value);
  }
  if (bytes.size() <= kSmall) return Kept{std::move(xattrs)};
  if (!file_) {
    auto file = sys::open_tmpfile(dir_, 0600);
    if (!file) return cannot("kept", file.error());
    file_ = std::move(*file);
  }
  const auto written =
      sys::write_at(file_.get(), std::as_bytes(std::span(bytes)), static_cast<off_t>(end_));
  if (!written) return cannot("kept", written.error());
  if (*written < bytes.size()) return cannot("kept", Errno(ENOSPC));
  const Kept kept{{}, end_, bytes.size()};
  end_ += bytes.size();
  return kept;
}

Outcome<Xattrs> XattrSpool::read(const Kept& kept) const {
  if (kept.size == 0) return kept.here;
  std::string bytes(kept.size, '\0');
  const auto got = sys::read_at(file_.get(), std::as_writable_bytes(std::span(bytes)),
                                static_cast<off_t>(kept.offset));
  if (!got) return cannot("read", got.error());
  if (*got < bytes.size()) return cannot("read", Errno(EIO));
  Xattrs xattrs;
  for (std::string_view rest = bytes; !rest.empty();) {
    std::string name = take(rest);
    xattrs.emplace_back(std::move(name), take(rest));
  }
  return xattrs;
}

}  // namespace layerfs::store

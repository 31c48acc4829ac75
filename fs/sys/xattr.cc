#include "fs/sys/xattr.h"

#include <sys/xattr.h>

namespace layerfs::sys {
namespace {

// fd_path(fd) ends in a magic link, which must be followed to reach what the descriptor refers to;
// fd_path(dirfd, name) ends in a plain name, which must not.
bool names_descriptor(const std::string& path) {
  constexpr std::string_view kPrefix = "/proc/self/fd/";
  return path.starts_with(kPrefix) && path.find('/', kPrefix.size()) == std::string::npos;
}

// Runs a size-probing xattr call until the value fits.
template <typename Call>
Result<std::string> read_value(Call call) {
  std::string value(256, '\0');
  for (;;) {
    ssize_t length = call(value.data(), value.size());
    if (length >= 0) {
      value.resize(static_cast<std::size_t>(length));
      return value;
    }
    if (errno != ERANGE) return fail(Errno::last());
    ssize_t needed = call(nullptr, 0);
    if (needed < 0) return fail(Errno::last());
    value.resize(static_cast<std::size_t>(needed) + 64);
  }
}

}  // namespace

Result<std::string> get_xattr(const std::string& path, const std::string& name) {
  bool follow = names_descriptor(path);
  return read_value([&](char* data, std::size_t size) {
    return follow ? ::getxattr(path.c_str(), name.c_str(), data, size)
                  : ::lgetxattr(path.c_str(), name.c_str(), data, size);
  });
}

Result<void> set_xattr(const std::string& path, const std::string& name, std::string_view value,
                       int flags) {
  int status = names_descriptor(path)
                   ? ::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags)
                   : ::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags);
  if (status != 0) return fail(Errno::last());
  return {};
}

Result<void> remove_xattr(const std::string& path, const std::string& name) {
  int status = names_descriptor(path) ? ::removexattr(path.c_str(), name.c_str())
                                      : ::lremovexattr(path.c_str(), name.c_str());
  if (status != 0) return fail(Errno::last());
  return {};
}

Result<std::string> list_xattr(const std::string& path) {
  bool follow = names_descriptor(path);
  auto names = read_value([&](char* data, std::size_t size) {
    return follow ? ::listxattr(path.c_str(), data, size) : ::llistxattr(path.c_str(), data, size);
  });
  if (!names && names.error() == Errno(EOPNOTSUPP)) return std::string();
  return names;
}

std::vector<std::string> split_xattrs(const std::string& list) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at < list.size(); at += names.back().size() + 1)
    names.emplace_back(list.c_str() + at);
  return names;
}

}  // namespace layerfs::sys

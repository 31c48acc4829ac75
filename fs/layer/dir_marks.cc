#include "fs/layer/dir_marks.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fs/layer/marks.h"
#include "fs/sys/dirent.h"
#include "fs/sys/file.h"
#include "fs/sys/xattr.h"

namespace layerfs::layer {
namespace {

constexpr std::string_view kAufsPrefix = ".wh.";
constexpr std::string_view kAufsOpaque = ".wh..wh..opq";

Result<void> apply_mark(const std::string& path, const std::string& name, std::string_view suffix,
                        Marks& marks) {
  auto value = sys::get_xattr(path, name);
  if (!value) return {};
  if (suffix == "opaque") {
    marks.opaque = *value == "y";
    marks.xattr_whiteouts = *value == "x";
  } else if (suffix == "redirect") {
    if (!is_valid_redirect(*value)) return fail(EIO);
    marks.redirect = std::move(*value);
  } else if (suffix == "metacopy") {
    marks.metacopy = true;
  } else if (suffix == "impure") {
    marks.impure = *value == "y";
  } else if (suffix == "origin") {
    marks.origin = std::move(*value);
  }
  return {};
}

bool is_xattr_whiteout(int dirfd, const char* name, const XattrNames& names) {
  return sys::get_xattr(sys::fd_path(dirfd, name), names.mark("whiteout")).has_value();
}

// Completes what getdents alone cannot tell.
Result<Listed> decode(int dirfd, const sys::Dirent& entry, Dialect dialect,
                      const XattrNames& names) {
  Listed listed{entry.name, entry.type, entry.ino, false};
  if (entry.type == DT_CHR || entry.type == DT_UNKNOWN) {
    LAYERFS_TRY_ASSIGN(struct stat st, sys::stat_at(dirfd, entry.name));
    listed.type = static_cast<unsigned char>(IFTODT(st.st_mode));
    listed.whiteout = S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
  }
  if (dialect.xattr_whiteouts && listed.type == DT_REG)
    listed.whiteout = is_xattr_whiteout(dirfd, entry.name, names);
  return listed;
}

}  // namespace

Result<Marks> read_marks(const std::string& path, const XattrNames& names) {
  Marks marks;
  LAYERFS_TRY_ASSIGN(std::string list, sys::list_xattr(path));
  if (list.empty()) return marks;
  const std::string prefix = names.mark("");
  Result<void> status;
  sys::for_each_xattr(list, [&](const std::string& name) {
    if (status && name.starts_with(prefix))
      status = apply_mark(path, name, std::string_view(name).substr(prefix.size()), marks);
  });
  if (!status) return fail(status.error());
  return marks;
}

Result<bool> list_entries(int dirfd, Dialect dialect, const XattrNames& names,
                          const std::function<Result<void>(const Listed&)>& fn) {
  bool opaque = false;
  LAYERFS_TRY(sys::read_dir(dirfd, [&](const sys::Dirent& entry) -> Result<void> {
    std::string_view name = entry.name;
    if (dialect.aufs && is_aufs_name(name)) {
      if (name == kAufsOpaque) opaque = true;
      // What else AUFS keeps under its doubled prefix is bookkeeping of its own.
      if (name.starts_with(".wh..wh.")) return {};
      return fn(Listed{entry.name + kAufsPrefix.size(), DT_UNKNOWN, 0, true});
    }
    auto listed = decode(dirfd, entry, dialect, names);
    if (!listed) return fail(listed.error());
    return fn(*listed);
  }));
  return opaque;
}

bool is_aufs_name(std::string_view name) {
  return name.size() > kAufsPrefix.size() && name.starts_with(kAufsPrefix);
}

bool has_aufs_opaque(int dirfd) {
  return sys::stat_at(dirfd, kAufsOpaque.data()).has_value();
}

}  // namespace layerfs::layer

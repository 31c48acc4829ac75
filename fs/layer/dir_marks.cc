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

Result<void> apply_mark(const sys::At& at, const std::string& name, std::string_view suffix,
                        Marks& marks) {
  auto value = sys::get_xattr(at, name);
  if (!value) return {};
  if (suffix == mark::kOpaque) {
    marks.opaque = *value == kOpaqueValue;
    marks.xattr_whiteouts = *value == kXWhiteouts;
  } else if (suffix == mark::kRedirect) {
    if (!is_valid_redirect(*value)) return fail(EIO);
    marks.redirect = std::move(*value);
  } else if (suffix == mark::kMetacopy) {
    if (!is_valid_metacopy(*value)) return fail(EIO);
    marks.metacopy = true;
  } else if (suffix == mark::kImpure) {
    marks.impure = *value == kYes;
  } else if (suffix == mark::kOrigin) {
    marks.origin = std::move(*value);
    marks.has_origin = true;
  } else if (suffix == mark::kNlink) {
    marks.nlink = std::move(*value);
  } else if (suffix == mark::kProtattr) {
    marks.protattr = std::move(*value);
  }
  return {};
}

bool is_xattr_whiteout(int dirfd, const char* name, const XattrNames& names) {
  return sys::get_xattr(sys::At(dirfd, name), names.mark(mark::kWhiteout)).has_value();
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

Result<Marks> read_marks(const sys::At& at, const XattrNames& names) {
  Marks marks;
  LAYERFS_TRY_ASSIGN(std::string list, sys::list_xattr(at));
  if (list.empty()) return marks;
  const std::string prefix = names.mark("");
  for (const std::string& name : sys::split_xattrs(list))
    if (name.starts_with(prefix))
      LAYERFS_TRY(apply_mark(at, name, std::string_view(name).substr(prefix.size()), marks));
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

bool has_aufs_opaque(int dirfd) { return sys::stat_at(dirfd, kAufsOpaque.data()).has_value(); }

}  // namespace layerfs::layer

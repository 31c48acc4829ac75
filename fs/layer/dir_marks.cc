#include "fs/layer/dir_marks.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <optional>
#include <utility>

#include "fs/layer/marks.h"
#include "fs/sys/dirent.h"
#include "fs/sys/file.h"
#include "fs/sys/quote.h"
#include "fs/sys/xattr.h"

namespace layerfs::layer {
namespace {

constexpr std::string_view kAufsPrefix = ".wh.";
constexpr std::string_view kAufsOpaque = ".wh..wh..opq";

constexpr std::string_view kIgnoredOpaque = "the value of its overlay.opaque is not understood";
constexpr std::string_view kIgnoredOrigin = "its overlay.origin is not understood";
constexpr std::string_view kIgnoredNlink = "its overlay.nlink is not understood";
constexpr std::string_view kIgnoredProtattr = "its overlay.protattr holds unknown letters";

// What has no effect, though it is there; empty if nothing.
std::string_view ignored_part(std::string_view suffix, const std::string& value) {
  if (suffix == mark::kOpaque && value != kOpaqueValue && value != kXWhiteouts)
    return kIgnoredOpaque;
  // An empty one says that the origin is unknown.
  if (suffix == mark::kOrigin && !value.empty() && !parse_origin(value)) return kIgnoredOrigin;
  if (suffix == mark::kNlink && !parse_nlink(value)) return kIgnoredNlink;
  if (suffix == mark::kProtattr && format_protattr(parse_protattr(value)).size() != value.size())
    return kIgnoredProtattr;
  return {};
}

void apply_mark(std::string_view suffix, std::string value, Marks& marks) {
  if (suffix == mark::kOpaque) {
    marks.opaque = value == kOpaqueValue;
    marks.xattr_whiteouts = value == kXWhiteouts;
  } else if (suffix == mark::kRedirect) {
    marks.redirect = std::move(value);
  } else if (suffix == mark::kMetacopy) {
    marks.metacopy = true;
  } else if (suffix == mark::kImpure) {
    marks.impure = value == kYes;
  } else if (suffix == mark::kOrigin) {
    marks.origin = std::move(value);
    marks.has_origin = true;
  } else if (suffix == mark::kNlink) {
    marks.nlink = std::move(value);
  } else if (suffix == mark::kProtattr) {
    marks.protattr = std::move(value);
  }
}

// The value of a mark that is listed. Nothing if it has been removed since.
Result<std::optional<std::string>> read_mark(const sys::At& at, const std::string& name,
                                             std::string_view suffix, const Reporter& reporter) {
  auto value = sys::find_xattr(at, name);
  // Without read permission the daemon cannot read a user.* xattr, though it is listed. Of these
  // two it suffices to know that they are there: the value may hold a digest that nobody checks,
  // and a handle that is not needed.
  const bool presence_suffices = suffix == mark::kMetacopy || suffix == mark::kOrigin;
  if (!value && value.error() == Errno(EACCES) && presence_suffices) return std::string();
  if (!value) return reporter.failed(at, value.error(), "its " + name + " cannot be read");
  return value;
}

// The error for a mark from which the object below cannot be known, as the kernel's overlayfs has
// it; 0 for every other.
int error_of(std::string_view suffix, std::string_view value) {
  if (suffix == mark::kRedirect && !is_valid_redirect(value)) return EINVAL;
  if (suffix == mark::kMetacopy && !is_valid_metacopy(value)) return EIO;
  return 0;
}

Result<bool> has_whiteout_mark(const sys::At& at, const XattrNames& names) {
  LAYERFS_TRY_ASSIGN(const auto value, sys::find_xattr(at, names.mark(mark::kWhiteout)));
  return value.has_value();
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
  if (dialect.xattr_whiteouts && listed.type == DT_REG) {
    LAYERFS_TRY_ASSIGN(listed.whiteout, has_whiteout_mark(sys::At(dirfd, entry.name), names));
  }
  return listed;
}

}  // namespace

Result<Marks> read_marks(const sys::At& at, const XattrNames& names, const Reporter& reporter) {
  Marks marks;
  const auto list = sys::list_xattr(at);
  if (!list) return reporter.failed(at, list.error(), "its xattrs cannot be listed");
  if (list->empty()) return marks;
  const std::string prefix = names.mark("");
  for (const std::string& name : sys::split_xattrs(*list)) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view suffix = std::string_view(name).substr(prefix.size());
    LAYERFS_TRY_ASSIGN(std::optional<std::string> value, read_mark(at, name, suffix, reporter));
    if (!value) continue;
    if (const int error = error_of(suffix, *value); error != 0)
      return reporter.failed(at, Errno(error),
                             "its " + name + " is not valid: " + sys::quote(*value));
    if (const std::string_view ignored = ignored_part(suffix, *value); !ignored.empty())
      reporter.ignored(at, ignored);
    apply_mark(suffix, std::move(*value), marks);
  }
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

Result<bool> is_whiteout(const sys::At& at, const struct stat& st, const XattrNames& names) {
  if (S_ISCHR(st.st_mode)) return st.st_rdev == makedev(0, 0);
  if (!S_ISREG(st.st_mode) || st.st_size != 0) return false;
  return has_whiteout_mark(at, names);
}

bool is_aufs_name(std::string_view name) {
  return name.size() > kAufsPrefix.size() && name.starts_with(kAufsPrefix);
}

Result<bool> has_aufs_opaque(int dirfd) { return sys::has_entry(dirfd, kAufsOpaque.data()); }

Result<bool> has_aufs_whiteout(int dirfd, std::string_view name) {
  return sys::has_entry(dirfd, (std::string(kAufsPrefix) + std::string(name)).c_str());
}

}  // namespace layerfs::layer

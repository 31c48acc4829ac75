#include "fs/layer/index_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "fs/layer/dir_marks.h"
#include "fs/layer/index_builder.h"
#include "fs/layer/program.h"
#include "fs/layer/xattr_names.h"
#include "fs/sys/descent.h"
#include "fs/sys/file.h"
#include "fs/sys/interruption.h"
#include "fs/sys/quote.h"
#include "fs/sys/unique_fd.h"
#include "fs/sys/xattr.h"

namespace layerfs::layer {
namespace {

std::uint32_t kind_of_xattr(std::string_view name) {
  if (name == "security.capability") return index_flag::kCapability;
  if (name.starts_with("security.")) return index_flag::kSecurity;
  if (name.starts_with("system.posix_acl_")) return index_flag::kAcl;
  if (name.starts_with("user.")) return index_flag::kUser;
  if (name.starts_with("trusted.")) return index_flag::kTrusted;
  return index_flag::kOther;
}

// Whether the data that lies in `name` is a program's.
Result<bool> holds_program(int dirfd, const char* name, const struct stat& st) {
  if (!S_ISREG(st.st_mode) || st.st_size < static_cast<off_t>(kSmallestProgram)) return false;
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd fd, sys::open_beneath(dirfd, name, O_RDONLY | O_NOATIME));
  return is_program(fd.get());
}

// A file system that lies on others may show one number for two files; their attributes differ
// then.
bool is_same_file(const struct stat& a, const struct stat& b) {
  return a.st_mode == b.st_mode && a.st_nlink == b.st_nlink && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

// A walk over one layer, into a builder. `path()` tells how far it came.
class Walk {
 public:
  Walk(int tree, const IndexBuilder::Options& options)
      : tree_(tree), options_(options), names_(options.user_xattr) {}

  Result<IndexBuilder> run() {
    LAYERFS_TRY_ASSIGN(const struct stat root, sys::stat_fd(tree_));
    LAYERFS_TRY_ASSIGN(const Described about, describe(tree_, "", root));
    device_ = root.st_dev;
    IndexBuilder builder(options_, root, about.flags);
    LAYERFS_TRY_ASSIGN(at_, sys::Descent::from(tree_));
    LAYERFS_TRY(read(builder, {0, {}, about.xattr_whiteouts}));
    while (!pending_.empty()) {
      if (pending_.back().empty()) {
        pending_.pop_back();
        if (!pending_.empty()) LAYERFS_TRY(at_->leave());
        continue;
      }
      const Directory next = std::move(pending_.back().back());
      pending_.back().pop_back();
      name_ = next.name;
      LAYERFS_TRY(at_->enter(next.name.c_str()));
      LAYERFS_TRY(read(builder, next));
    }
    return builder;
  }

  std::string path() const {
    const std::string directory = at_ ? at_->path() : std::string();
    return directory.empty() || name_.empty() ? directory + name_ : directory + "/" + name_;
  }

 private:
  struct Directory {
    IndexBuilder::Id id;
    std::string name;
    bool xattr_whiteouts;
  };
  struct Described {
    std::uint32_t flags = 0;
    std::string text;
    bool xattr_whiteouts = false;
  };

  // The directory where the walk stands. Those in it are to be read after it.
  Result<void> read(IndexBuilder& builder, const Directory& directory) {
    if (sys::interruption_requested()) return fail(EINTR);
    name_.clear();
    pending_.emplace_back();
    const Dialect dialect{.aufs = options_.whiteouts == Whiteouts::kAufs,
                          .xattr_whiteouts = directory.xattr_whiteouts};
    auto opaque = list_entries(at_->fd(), dialect, names_, [&](const Listed& listed) {
      return listed.whiteout ? builder.add_whiteout(directory.id, listed.name)
                             : add(builder, directory.id, listed.name);
    });
    if (!opaque) return fail(opaque.error());
    if (*opaque) builder.add_flags(directory.id, index_flag::kOpaque);
    return {};
  }

  Result<void> add(IndexBuilder& builder, IndexBuilder::Id directory, const char* name) {
    name_ = name;
    LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_at(at_->fd(), name));
    if (st.st_dev != device_) return fail(EXDEV);
    const bool linked = !S_ISDIR(st.st_mode) && st.st_nlink > 1;
    if (linked) {
      const auto known = links_.find(st.st_ino);
      if (known != links_.end() && is_same_file(known->second.attr, st))
        return builder.add_entry(directory, name, known->second.id);
    }
    LAYERFS_TRY_ASSIGN(const Described about, describe(at_->fd(), name, st));
    LAYERFS_TRY_ASSIGN(const auto id, builder.add_inode(st, about.flags, about.text));
    if (linked) links_.emplace(st.st_ino, Linked{id, st});
    if (S_ISDIR(st.st_mode)) pending_.back().push_back({id, name, about.xattr_whiteouts});
    return builder.add_entry(directory, name, id);
  }

  // `name` may be empty for `dirfd` itself.
  Result<Described> describe(int dirfd, const char* name, const struct stat& st) {
    const sys::At at(dirfd, name);
    Described about;
    LAYERFS_TRY_ASSIGN(const std::string xattrs, sys::list_xattr(at));
    bool marked = false;
    for (const std::string& xattr : sys::split_xattrs(xattrs)) {
      if (names_.is_private(xattr)) {
        marked = true;
      } else {
        about.flags |= kind_of_xattr(xattr);
      }
    }
    if (marked) {
      LAYERFS_TRY_ASSIGN(Marks marks, read_marks(at, names_, Reporter()));
      const bool dir = S_ISDIR(st.st_mode);
      if (dir && marks.opaque) about.flags |= index_flag::kOpaque;
      if (S_ISREG(st.st_mode) && marks.metacopy) about.flags |= index_flag::kMetacopy;
      if (!marks.redirect.empty() && (dir || S_ISREG(st.st_mode))) {
        about.flags |= index_flag::kRedirect;
        about.text = std::move(marks.redirect);
      }
      about.xattr_whiteouts = marks.xattr_whiteouts;
    }
    if (S_ISLNK(st.st_mode)) {
      LAYERFS_TRY_ASSIGN(about.text, sys::readlink_at(dirfd, name));
    }
    LAYERFS_TRY_ASSIGN(const bool program, holds_program(dirfd, name, st));
    if (program) about.flags |= index_flag::kProgram | index_flag::kMaybeProgram;
    return about;
  }

  const int tree_;
  const IndexBuilder::Options options_;
  const XattrNames names_;
  dev_t device_ = 0;
  std::optional<sys::Descent> at_;
  std::string name_;                             // of the entry that is looked at
  std::vector<std::vector<Directory>> pending_;  // by level: directories that are to be read
  struct Linked {
    IndexBuilder::Id id;
    struct stat attr;
  };
  absl::flat_hash_map<ino_t, Linked> links_;
};

// A file of a name that nobody else uses, removed unless published.
class Temporary {
 public:
  Temporary(int dirfd, const char* name) : dirfd_(dirfd), name_(name) {
    temporary_ = std::string(".") + name + "." + std::to_string(::gettid());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    // One that cannot be removed is overwritten by the next who takes the name.
    if (fd_) (void)sys::unlink_at(dirfd_, temporary_.c_str());
  }

  Result<int> create() {
    (void)sys::unlink_at(dirfd_, temporary_.c_str());
    LAYERFS_TRY_ASSIGN(
        fd_, sys::open_beneath(dirfd_, temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644));
    return fd_.get();
  }

  Result<void> publish() {
    if (::fsync(fd_.get()) != 0) return fail(Errno::last());
    LAYERFS_TRY(sys::rename_at(dirfd_, temporary_.c_str(), dirfd_, name_.c_str()));
    fd_.reset();
    if (::fsync(dirfd_) != 0) return fail(Errno::last());
    return {};
  }

 private:
  const int dirfd_;
  const std::string name_;
  std::string temporary_;
  sys::UniqueFd fd_;
};

}  // namespace

Outcome<void> write_index(int tree, int dirfd, const char* name, bool user_xattr,
                          Whiteouts whiteouts) {
  Walk walk(tree, {user_xattr, whiteouts});
  auto builder = walk.run();
  if (!builder && sys::interruption_requested()) return sys::interrupted();
  if (!builder) return refuse(sys::quote(walk.path()) + " cannot be indexed", builder.error());
  Temporary file(dirfd, name);
  const auto publish = [&]() -> Result<void> {
    LAYERFS_TRY_ASSIGN(const int fd, file.create());
    LAYERFS_TRY(builder->write(fd));
    return file.publish();
  };
  if (const auto published = publish(); !published) {
    return refuse("the layer index '" + std::string(name) + "' cannot be written",
                  published.error());
  }
  return {};
}

}  // namespace layerfs::layer

// New objects, in the upper.
#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <functional>

#include "fs/layer/marks.h"
#include "fs/sys/credentials.h"
#include "fs/sys/file.h"
#include "fs/sys/xattr.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

constexpr const char* kDefaultAcl = "system.posix_acl_default";

Result<bool> has_default_acl(Directory& dir, int dirfd) {
  using enum Directory::DefaultAcl;
  if (dir.default_acl == kUnknown) {
    LAYERFS_TRY_ASSIGN(const auto acl, sys::find_xattr(sys::At(dirfd), kDefaultAcl));
    dir.default_acl = acl ? kYes : kNo;
  }
  return dir.default_acl == kYes;
}

// What this thread creates next is to be owned as `object` says. Where the daemon may be nobody but
// itself the object will be the daemon's: then `mode` loses setuid and setgid, which would lend the
// daemon's ids. EOVERFLOW if the daemon's user namespace does not have the owner.
Result<void> become_owner(const NewObject& object, mode_t& mode) {
  if (sys::create_as(object.uid, object.gid)) return {};
  if (sys::may_create_as_others()) return fail(EOVERFLOW);
  if (!S_ISDIR(mode)) mode &= ~mode_t{S_ISUID | S_ISGID};
  return {};
}

Result<void> make(int dirfd, const char* name, const NewObject& object, mode_t mode,
                  sys::UniqueFd* opened) {
  LAYERFS_TRY(become_owner(object, mode));
  if (S_ISDIR(mode)) return sys::make_dir(dirfd, name, mode & 07777);
  if (S_ISLNK(mode)) return sys::make_symlink(object.target.c_str(), dirfd, name);
  if (opened == nullptr) return sys::make_node(dirfd, name, mode, object.rdev);
  LAYERFS_TRY_ASSIGN(*opened,
                     sys::open_beneath(dirfd, name, O_RDWR | O_CREAT | O_EXCL, mode & 07777));
  return {};
}

mode_t mode_of_recorded(mode_t mode) {
  return (mode & S_IFMT) | layer::OwnerRecords::mode_on_disk(mode);
}

// Records whose `at`, made with mode_of_recorded(), is.
Result<void> record_new(const layer::OwnerRecords& records, const sys::At& at, struct stat st,
                        const NewObject& object, mode_t mode) {
  // A default ACL may have taken bits away.
  st.st_mode = mode & (st.st_mode | 07000);
  st.st_uid = object.uid;
  st.st_gid = object.gid;
  return records.write(at, st);
}

}  // namespace

// One creation, under the parent's exclusive mutex.
class Creation {
 public:
  Creation(Tree& tree, Node& dir, std::string_view name, const NewObject& object,
           sys::UniqueFd* opened)
      : tree_(tree), dir_(dir), name_(name), object_(object), opened_(opened) {}

  Result<Found> run(const ShapeToken& shape) {
    if (dir_.has(Node::kDetached)) return fail(ENOENT);
    LAYERFS_TRY(tree_.load(shape, dir_));
    Entry* there = dir_.dir->find(name_.view());
    if (there != nullptr && !there->whiteout) return fail(EEXIST);
    LAYERFS_TRY_ASSIGN(dirfd_, tree_.upper_dir(shape, dir_));
    // A default ACL takes the place of the umask (acl(5)); the file system below applies it.
    LAYERFS_TRY_ASSIGN(inherits_acl_, has_default_acl(*dir_.dir, dirfd_->get()));
    mode_ = inherits_acl_ || S_ISLNK(object_.mode) ? object_.mode : object_.mode & ~object_.umask;
    if (records().any()) {
      LAYERFS_TRY(inherit_group());
      LAYERFS_TRY(make_aside(there != nullptr));
    } else if (there == nullptr) {
      LAYERFS_TRY(make(dirfd_->get(), name_.c_str(), object_, mode_, opened_));
    } else {
      LAYERFS_TRY(make_aside(true));
    }
    return enter_into_directory();
  }

 private:
  const layer::OwnerRecords& records() const { return tree_.upper()->records; }

  // What a file system does where the directory is setgid; a record is all that says so here.
  Result<void> inherit_group() {
    LAYERFS_TRY_ASSIGN(const struct stat real, sys::stat_fd(dirfd_->get()));
    LAYERFS_TRY_ASSIGN(const struct stat parent, records().stored(sys::At(dirfd_->get()), real));
    if ((parent.st_mode & S_ISGID) == 0) return {};
    object_.gid = parent.st_gid;
    if (S_ISDIR(mode_)) mode_ |= S_ISGID;
    return {};
  }

  // Makes it in `dirfd`, with its record where the upper has such. `made` is called in between.
  Result<void> make_prepared(int dirfd, const char* name, const std::function<void()>& made) {
    const bool recorded = records().can_hold(mode_);
    NewObject object = object_;
    if (records().any()) {
      object.uid = ::geteuid();
      object.gid = ::getegid();
    }
    LAYERFS_TRY(make(dirfd, name, object, recorded ? mode_of_recorded(mode_) : mode_, opened_));
    made();
    if (recorded) {
      LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_at(dirfd, name));
      return record_new(records(), sys::At(dirfd, name), st, object_, mode_);
    }
    if (!records().any()) return {};
    return Place(dirfd, Name(name)).recorded_in(records()).chown(object_.uid, object_.gid);
  }

  // Prepared aside and put in place by one rename, so that what a whiteout hides never shows.
  Result<void> make_aside(bool over_whiteout) {
    WorkDir& work = *tree_.upper()->work;
    LAYERFS_TRY_ASSIGN(struct stat parent, sys::stat_fd(dirfd_->get()));
    WorkName name(work);
    if ((parent.st_mode & S_ISGID) != 0 || inherits_acl_) {
      WorkName likeness(work);
      LAYERFS_TRY_ASSIGN(sys::UniqueFd in, make_likeness(likeness, parent));
      LAYERFS_TRY(make_prepared(in.get(), name.c_str(), [] {}));
      LAYERFS_TRY(sys::rename_at(in.get(), name.c_str(), work.fd(), name.c_str()));
      name.made();
    } else {
      LAYERFS_TRY(make_prepared(work.fd(), name.c_str(), [&] { name.made(); }));
    }
    if (S_ISDIR(mode_) && over_whiteout) {
      LAYERFS_TRY(sys::set_xattr(sys::At(work.fd(), name.c_str()),
                                 tree_.stack().names().mark(layer::mark::kOpaque),
                                 layer::kOpaqueValue));
      // A directory cannot replace what is none: they change places, and the whiteout goes.
      return sys::rename_at(work.fd(), name.c_str(), dirfd_->get(), name_.c_str(), RENAME_EXCHANGE);
    }
    LAYERFS_TRY(sys::rename_at(work.fd(), name.c_str(), dirfd_->get(), name_.c_str(),
                               over_whiteout ? 0 : RENAME_NOREPLACE));
    name.published();
    return {};
  }

  // A directory from which a new object inherits what it would inherit from its parent.
  Result<sys::UniqueFd> make_likeness(WorkName& likeness, const struct stat& parent) {
    sys::create_as_daemon();
    LAYERFS_TRY(sys::make_dir(likeness.dirfd(), likeness.c_str(), 0700));
    likeness.made();
    LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, sys::open_entry(likeness.dirfd(), likeness.c_str()));
    LAYERFS_TRY(sys::chown_fd(fd.get(), static_cast<uid_t>(-1), parent.st_gid));
    LAYERFS_TRY(sys::chmod_fd(fd.get(), 0700 | (parent.st_mode & S_ISGID)));
    LAYERFS_TRY_ASSIGN(const auto acl, sys::find_xattr(sys::At(dirfd_->get()), kDefaultAcl));
    if (acl) LAYERFS_TRY(sys::set_xattr(sys::At(fd.get()), kDefaultAcl, *acl));
    return fd;
  }

  // It is there, whatever fails from here on.
  Result<Found> enter_into_directory() {
    Entry& entry = dir_.dir->insert(name_.view());
    entry.top = Entry::kInUpper;
    entry.type = static_cast<unsigned char>(IFTODT(mode_));
    entry.set_ino(0);
    entry.whiteout = false;
    LAYERFS_TRY_ASSIGN(const struct stat real, sys::stat_at(dirfd_->get(), name_.c_str()));
    LAYERFS_TRY_ASSIGN(const struct stat st,
                       tree_.upper_attr(sys::At(dirfd_->get(), name_.c_str()), real));
    auto node = std::make_unique<Node>(tree_.table_.new_id(), tree_.new_number(st), st.st_mode);
    node->set(Node::kUpper | Node::kNoCapability);
    if (node->is_dir()) {
      node->dir->loaded = true;  // new, and so empty
    }
    Node& made = tree_.adopt(std::move(node), dir_, entry);
    LAYERFS_TRY_ASSIGN(struct stat shown, tree_.present(made, st));
    return Found{&made, shown};
  }

  Tree& tree_;
  Node& dir_;
  const Name name_;
  NewObject object_;
  sys::UniqueFd* const opened_;
  FdRef dirfd_;
  mode_t mode_ = 0;
  bool inherits_acl_ = false;  // the directory has a default ACL
};

Result<Found> Tree::create(Node& dir, std::string_view name, const NewObject& object,
                           sys::UniqueFd* opened) {
  // It would be a whiteout.
  if (S_ISCHR(object.mode) && object.rdev == makedev(0, 0)) return fail(EPERM);
  LAYERFS_TRY(allow_new_name(enter(), dir));
  LAYERFS_TRY(copy_up(dir, CopyUpDepth::metadata()));
  auto shape = enter();
  std::unique_lock lock(dir.dir->mutex);
  return Creation(*this, dir, name, object, opened).run(shape);
}

Result<Found> Tree::create_unnamed(Node& dir, const NewObject& object, sys::UniqueFd& opened) {
  LAYERFS_TRY(allow_new_name(enter(), dir));
  LAYERFS_TRY(copy_up(dir, CopyUpDepth::metadata()));
  auto shape = enter();
  LAYERFS_TRY_ASSIGN(FdRef dirfd, upper_dir(shape, dir));
  LAYERFS_TRY_ASSIGN(const bool inherits_acl, has_default_acl(*dir.dir, dirfd->get()));
  mode_t mode = inherits_acl ? object.mode : object.mode & ~object.umask;
  const layer::OwnerRecords& records = upper()->records;
  if (records.any()) {
    sys::create_as_daemon();
    LAYERFS_TRY_ASSIGN(opened,
                       sys::open_tmpfile(dirfd->get(), layer::OwnerRecords::mode_on_disk(mode)));
    LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(opened.get()));
    LAYERFS_TRY(record_new(records, sys::At(opened.get()), st, object, S_IFREG | (mode & 07777)));
  } else {
    LAYERFS_TRY(become_owner(object, mode));
    LAYERFS_TRY_ASSIGN(opened, sys::open_tmpfile(dirfd->get(), mode & 07777));
  }
  LAYERFS_TRY_ASSIGN(const struct stat real, sys::stat_fd(opened.get()));
  LAYERFS_TRY_ASSIGN(const struct stat st, upper_attr(sys::At(opened.get()), real));
  auto node = std::make_unique<Node>(table_.new_id(), new_number(st), st.st_mode);
  LAYERFS_TRY_ASSIGN(sys::UniqueFd kept, with_room([&] { return sys::duplicate(opened.get()); }));
  unplaced_.keep(*node, std::move(kept));
  node->flags = Node::kUpper | Node::kDetached | Node::kNoCapability;
  node->lookups = 1;
  Node& made = table_.insert(std::move(node));
  LAYERFS_TRY_ASSIGN(struct stat shown, present(made, st));
  return Found{&made, shown};
}

}  // namespace layerfs::tree

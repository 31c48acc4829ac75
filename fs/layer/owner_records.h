// Owners and modes that files could not be given and that lie beside them in an xattr, as
// containers-storage (force_mask) and fuse-overlayfs (xattr_permissions) write them:
// doc/formats.md.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/layer/observer.h"
#include "fs/sys/at.h"
#include "fs/sys/result.h"
#include "fs/sys/user_namespace.h"

namespace layerfs::layer {

// In which xattr a layer has its records, which its root tells: one has a record there.
enum class RecordKind {
  kNone,
  kPrivileged,  // security.fuseoverlayfs.override_stat, on anything
  kContainers,  // user.containers.override_stat, on files and directories
  kUser,        // user.fuseoverlayfs.override_stat, the same
};

// One record: "UID:GID:MODE[:TYPE]", the mode octal.
struct OwnerRecord {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0;             // permission bits
  std::optional<mode_t> type;  // S_IFMT; of a file that stands for something else
  dev_t rdev = 0;              // of a device
  friend bool operator==(const OwnerRecord&, const OwnerRecord&) = default;
};
// Nothing if it is malformed.
std::optional<OwnerRecord> parse_record(std::string_view value);
std::string format_record(const OwnerRecord& record);

// Whose the recorded owners are shown to be.
struct RecordedOwners {
  bool shown = true;  // else everything is the daemon's
  // Whether records in user.* xattrs, which the owner of a file can write, count. Where this
  // process has privileges, they would give the owner of a layer's root what is only root's to
  // give.
  bool users_count = false;
  // What this user namespace has; others are shown as the daemon's, for they would be nobody's and
  // nobody could change them.
  sys::IdSpans users;
  sys::IdSpans groups;

  // `asked`: it was asked for records in user.* xattrs.
  static RecordedOwners of_this_process(bool shown, bool asked);
};

// What one layer records. Immutable; thread-safe.
class OwnerRecords {
 public:
  OwnerRecords() = default;  // nothing
  OwnerRecords(RecordKind kind, RecordedOwners owners, Reporter reporter = {})
      : kind_(kind), owners_(std::move(owners)), reporter_(std::move(reporter)) {}

  // The kind of the layer with that root, as far as it counts; `reporter`, that of the layer, tells
  // what does not. An error if the root's xattrs cannot be listed.
  static Result<RecordKind> find(const sys::At& root, const RecordedOwners& owners,
                                 const Reporter& reporter);
  static const char* xattr_of(RecordKind kind);

  RecordKind kind() const { return kind_; }
  bool any() const { return kind_ != RecordKind::kNone; }
  // Whether an inode of this type can have a record.
  bool can_hold(mode_t type) const;

  // The attributes of the file `at`, whose own are `real`: as recorded, and as to be shown.
  // EIO for a record that is malformed, and the errno of the read for one that cannot be read: the
  // reporter tells why. What belongs to somebody whom the namespace lacks is shown without setuid
  // or setgid, unless the namespace has the daemon's id only.
  Result<struct stat> stored(const sys::At& at, struct stat real) const;
  struct stat shown(struct stat stored) const;

  // Records what is to change of `real`; (uid_t)-1 and (gid_t)-1 change nothing. What is not
  // recorded yet is recorded as it is.
  Result<void> change(const sys::At& at, const struct stat& real, uid_t uid, gid_t gid,
                      std::optional<mode_t> mode) const;
  // Owner and permission bits of `st`.
  Result<void> write(const sys::At& at, const struct stat& st) const;

  // The mode of a recorded file itself: the daemon has to be able to use it.
  static mode_t mode_on_disk(mode_t mode);

 private:
  RecordKind kind_ = RecordKind::kNone;
  RecordedOwners owners_;
  Reporter reporter_;
};

}  // namespace layerfs::layer

#include "fs/tree/volatile_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "fs/sys/file.h"
#include "fs/sys/remove_tree.h"
#include "fs/tree/work_dir.h"

namespace layerfs::tree {
namespace {

constexpr const char* kVolatile = "volatile";

// The name in the mark that stands for this boot of the system; empty if it has none.
std::string boot_name() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  return std::getline(file, id) && !id.empty() ? "boot-" + id : "";
}

Result<bool> is_of_this_boot(int work) {
  const std::string boot = boot_name();
  if (boot.empty()) return false;
  const std::string mark = std::string(kIncompat) + "/" + kVolatile + "/" + boot;
  return sys::has_entry(work, mark.c_str());
}

}  // namespace

Outcome<void> check_volatile_mark(int work, const std::string& path) {
  // What empties it, as container runtimes do, says that the upper is whole.
  const Result<void> gone = sys::remove_dir(work, kIncompat);
  if (gone || gone.error() == Errno(ENOENT)) return {};
  const Result<bool> current = is_of_this_boot(work);
  if (!current) return refuse("workdir '" + path + "' cannot be read", current.error());
  if (*current) return {};
  return refuse(
      "upperdir was last mounted with 'volatile', so a crash may have left it incomplete; "
      "remove '" +
          path + "/work/incompat' if you know that it is whole",
      EINVAL);
}

Outcome<void> leave_volatile_mark(int work, const std::string& path) {
  const std::string boot = boot_name();
  std::string name;
  for (const std::string& part : {std::string(kIncompat), std::string(kVolatile), boot}) {
    if (part.empty()) continue;
    if (!name.empty()) name += '/';
    name += part;
    const auto made = sys::make_dir(work, name.c_str(), 0700);
    if (!made && made.error() != Errno(EEXIST)) {
      return refuse("workdir '" + path + "' cannot be marked", made.error());
    }
  }
  return {};
}

Outcome<void> settle_volatile_mark(int work, const std::string& path) {
  const Result<bool> marked = sys::has_entry(work, kIncompat);
  if (!marked) return refuse("workdir '" + path + "' cannot be read", marked.error());
  if (!*marked) return {};
  if (::syncfs(work) != 0) return refuse("upperdir cannot be synced", Errno::last());
  if (auto removed = sys::remove_tree(work, kIncompat); !removed) {
    return refuse("workdir '" + path + "' cannot be cleaned", removed.error());
  }
  return {};
}

}  // namespace layerfs::tree

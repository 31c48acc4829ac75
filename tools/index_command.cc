// index.
#include <fcntl.h>

#include <filesystem>

#include "fs/layer/index_writer.h"
#include "fs/sys/interruption.h"
#include "fs/sys/unique_fd.h"
#include "tools/command_line.h"
#include "tools/store_commands.h"

namespace layerfs::tools {
namespace {

Outcome<sys::UniqueFd> open_directory(const std::string& path) {
  sys::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return refuse("'" + path + "' cannot be opened as a directory", Errno::last());
  return fd;
}

Outcome<layer::Whiteouts> spelling_of(const std::string& layer, int tree, const std::string& word) {
  if (const auto named = layer::whiteouts_named(word)) return *named;
  const auto found = layer::find_whiteouts(tree);
  if (!found) return refuse("it cannot be seen who wrote '" + layer + "'", found.error());
  return *found;
}

Outcome<void> write_index(const std::string& layer, const std::string& file, bool user_xattr,
                          const std::string& whiteouts) {
  const std::filesystem::path path = std::filesystem::absolute(file);
  if (path.filename().empty()) return refuse("'" + file + "' names no file");
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd tree, open_directory(layer));
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd directory, open_directory(path.parent_path()));
  const std::string within = std::filesystem::canonical(layer) / "";
  if ((std::filesystem::canonical(path.parent_path()) / "").native().starts_with(within)) {
    return refuse("'" + file + "' would lie within '" + layer +
                      "', which must not change any more; write it elsewhere",
                  EINVAL);
  }
  LAYERFS_TRY_ASSIGN(const layer::Whiteouts spelling, spelling_of(layer, tree.get(), whiteouts));
  return layer::write_index(tree.get(), directory.get(), path.filename().c_str(), user_xattr,
                            spelling);
}

}  // namespace

int run_index(const Args& args, Io& io) {
  CommandLine line("Describe a directory in one file, so that mounts of it need not read it.",
                   "layerfs index");
  std::string layer, file;
  std::string whiteouts = "auto";
  bool user_xattr = false;
  line.add_option("DIR", layer, "A directory that will not change any more").required();
  line.add_option("FILE", file, "The file to write, not within DIR").required();
  line.add_flag("--user-xattr", user_xattr,
                "For mounts with userxattr: whiteouts and the like are marked by user.overlay.*");
  line.add_option("--whiteouts", whiteouts,
                  "overlay: `.wh.NAME` is a name; aufs: it is a whiteout of NAME; auto: as the "
                  "mount option whiteouts")
      .one_of({"auto", "overlay", "aufs"});
  line.footer(
      "layerfs mount -o lowerdir=DIR,layerindex=FILE ... uses it. Layers of the store have\n"
      "theirs already. An index that is not of DIR as it is now is not used.");
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  const sys::InterruptingSignals signals;
  const Outcome<void> written = write_index(layer, file, user_xattr, whiteouts);
  return written ? kDone : report(io, written.error());
}

}  // namespace layerfs::tools

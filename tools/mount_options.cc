#include "tools/mount_options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "tools/id_options.h"
#include "tools/lower_list.h"

namespace layerfs::tools {

namespace {

// One option: "key", or "key=value" still with its backslashes.
struct Option {
  std::string_view text;
  std::string_view key;
  std::optional<std::string_view> value;
};

// Where the option that begins `text` ends: at a comma that is neither escaped nor quoted.
std::size_t option_length(std::string_view text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == ',' && !quoted) {
      return i;
    }
  }
  return text.size();
}

Option option_of(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {text, text, std::nullopt};
  return {text, text.substr(0, equals), text.substr(equals + 1)};
}

tl::unexpected<Failure> refuse_value(const Option& option, std::string_view allowed) {
  return refuse(fmt::format("the mount option '{}' is not valid: {} takes {}", option.text,
                            option.key, allowed),
                EINVAL);
}

Outcome<void> set_directory(const Option& option, std::string& directory) {
  if (!option.value || option.value->empty()) return refuse_value(option, "a directory");
  directory = unescaped(*option.value);
  return {};
}

Outcome<void> set_lowerdirs(const Option& option, MountRequest& request) {
  if (!option.value || option.value->empty()) return refuse_value(option, "directories");
  auto list = parse_lower_list(*option.value);
  if (!list)
    return refuse(fmt::format("the mount option '{}' {}", option.text, list.error().sentence),
                  EINVAL);
  request.mount.stack.lowerdirs = std::move(list->lowers);
  request.mount.stack.datadirs = std::move(list->data_only);
  request.lowers_are_given = true;
  return {};
}

// Empty names stand for layers without an index.
Outcome<void> set_layer_indexes(const Option& option, MountRequest& request) {
  if (!option.value || option.value->empty()) return refuse_value(option, "files");
  request.mount.stack.layer_indexes = split_directories(*option.value);
  return {};
}

std::optional<std::optional<layer::Whiteouts>> parse_whiteouts(std::string_view word) {
  if (word == "auto") return std::optional<layer::Whiteouts>();
  const auto named = layer::whiteouts_named(word);
  if (!named) return std::nullopt;
  return named;
}

// One word for each lower directory, in their order, or one for all of them.
Outcome<void> set_whiteouts(const Option& option, MountRequest& request) {
  auto& whiteouts = request.mount.stack.whiteouts;
  whiteouts.clear();
  for (const std::string& word : split_directories(option.value.value_or(""))) {
    const auto parsed = parse_whiteouts(word);
    if (!parsed)
      return refuse_value(option,
                          "auto, overlay or aufs: one for all lower directories, or one "
                          "for each, divided by colons");
    whiteouts.push_back(*parsed);
  }
  return {};
}

Outcome<void> set_number(const Option& option, std::size_t& target) {
  const std::string_view value = option.value.value_or("");
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), target);
  if (error != std::errc() || end != value.data() + value.size())
    return refuse_value(option, "a number");
  return {};
}

Outcome<void> set_root_layer(const Option& option, std::size_t& target) {
  const std::string_view value = option.value.value_or("");
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), target);
  if (error != std::errc() || end != value.data() + value.size()) {
    return refuse_value(option, "the number of a lower directory, counted from 0");
  }
  return {};
}

// The kernel's order: one by one, the data-only ones last, and nothing behind the whole list.
Outcome<void> add_lowerdir(const Option& option, MountRequest& request) {
  op::StackOptions& stack = request.mount.stack;
  if (!option.value || option.value->empty()) return refuse_value(option, "a directory");
  if (request.lowers_are_given)
    return refuse(fmt::format("the mount option '{}' cannot follow lowerdir", option.text), EINVAL);
  const bool data_only = option.key == "datadir+";
  if (!data_only && !stack.datadirs.empty())
    return refuse(fmt::format("the mount option '{}' cannot follow datadir+", option.text), EINVAL);
  (data_only ? stack.datadirs : stack.lowerdirs).push_back(unescaped(*option.value));
  return {};
}

Outcome<void> set_switch(const Option& option, bool& target) {
  if (option.value == "on") {
    target = true;
  } else if (option.value == "off") {
    target = false;
  } else {
    return refuse_value(option, "on or off");
  }
  return {};
}

// fuse-overlayfs has numbers for it.
Outcome<void> set_writeback(const Option& option, bool& target) {
  if (!option.value || option.value == "0" || option.value == "1") {
    target = option.value != "0";
    return {};
  }
  return set_switch(option, target);
}

// "off" follows redirects, as the kernel does unless it was built not to.
Outcome<void> set_redirect_dir(const Option& option, MountRequest& request) {
  const auto& value = option.value;
  if (value != "on" && value != "off" && value != "follow" && value != "nofollow")
    return refuse_value(option, "on, off, follow or nofollow");
  request.mount.stack.redirect_dir = value == "on";
  request.mount.stack.follow_redirects = value != "nofollow";
  request.redirects_are_asked = value == "on" || value == "follow";
  return {};
}

Outcome<void> set_metacopy(const Option& option, MountRequest& request) {
  LAYERFS_TRY(set_switch(option, request.mount.stack.metacopy));
  request.metacopy_is_asked = request.mount.stack.metacopy;
  return {};
}

// One of several words; `words` names them for people.
template <typename T, std::size_t N>
Outcome<void> set_choice(const Option& option,
                         const std::array<std::pair<std::string_view, T>, N>& choices,
                         std::string_view words, T& target) {
  for (const auto& [name, choice] : choices) {
    if (option.value == name) {
      target = choice;
      return {};
    }
  }
  return refuse_value(option, words);
}

Outcome<void> set_passthrough(const Option& option, op::PassthroughPolicy& target) {
  using Choice = std::pair<std::string_view, op::PassthroughPolicy>;
  constexpr std::array<Choice, 4> kChoices = {{{"auto", op::PassthroughPolicy::kAuto},
                                               {"all", op::PassthroughPolicy::kAll},
                                               {"upper", op::PassthroughPolicy::kUpper},
                                               {"none", op::PassthroughPolicy::kNone}}};
  return set_choice(option, kChoices, "auto, all, upper or none", target);
}

Outcome<void> set_xino(const Option& option, tree::Xino& target) {
  using Choice = std::pair<std::string_view, tree::Xino>;
  constexpr std::array<Choice, 3> kChoices = {
      {{"auto", tree::Xino::kAuto}, {"on", tree::Xino::kOn}, {"off", tree::Xino::kOff}}};
  return set_choice(option, kChoices, "auto, on or off", target);
}

// fuse-overlayfs's option, as containers-storage gives it.
Outcome<void> set_record_owners(const Option& option, layer::RecordKind& target) {
  using Choice = std::pair<std::string_view, layer::RecordKind>;
  constexpr std::array<Choice, 3> kChoices = {{{"0", layer::RecordKind::kNone},
                                               {"1", layer::RecordKind::kPrivileged},
                                               {"2", layer::RecordKind::kContainers}}};
  return set_choice(option, kChoices, "0, 1 (security. attributes) or 2 (user. attributes)",
                    target);
}

Outcome<void> set_transport(const Option& option, fuse::Transport& target) {
  using Choice = std::pair<std::string_view, fuse::Transport>;
  constexpr std::array<Choice, 3> kChoices = {{{"auto", fuse::Transport::kAuto},
                                               {"io_uring", fuse::Transport::kIoUring},
                                               {"dev_fuse", fuse::Transport::kDevFuse}}};
  return set_choice(option, kChoices, "auto, io_uring or dev_fuse", target);
}

Outcome<void> set_threads(const Option& option, unsigned& target) {
  const std::string_view value = option.value.value_or("");
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), target);
  if (error != std::errc() || end != value.data() + value.size() || target > 64) {
    return refuse_value(option, "a number from 0 (as many as help) to 64");
  }
  return {};
}

// SELinux labels mean something only to a kernel with SELinux; others refuse them.
void add_context(const Option& option, MountRequest& request) {
  if (::access("/sys/fs/selinux/enforce", F_OK) == 0) {
    request.mount.kernel_options.emplace_back(option.text);
  }
}

bool is_one_of(std::string_view key, std::span<const std::string_view> set) {
  return std::ranges::find(set, key) != set.end();
}

// For the kernel's general part of a mount.
bool is_kernel_flag(const Option& option) {
  static constexpr std::array<std::string_view, 18> kFlags = {
      "nosuid",   "suid",     "nodev",      "dev",         "noexec",   "exec",
      "sync",     "async",    "dirsync",    "noatime",     "atime",    "nodiratime",
      "diratime", "relatime", "norelatime", "strictatime", "lazytime", "nosymfollow"};
  return !option.value && is_one_of(option.key, kFlags);
}

// Options of mount(8), fstab, libfuse and overlayfs that ask for what is so anyway, or that only
// tune another implementation.
bool is_without_meaning(const Option& option) {
  static constexpr std::array<std::string_view, 28> kIgnored = {
      "defaults",       "auto",           "noauto",       "user",
      "nouser",         "users",          "owner",        "group",
      "_netdev",        "nofail",         "comment",      "default_permissions",
      "subtype",        "max_read",       "nfs_export",   "uuid",
      "override_creds", "verity",         "static_nlink", "timeout",
      "threaded",       "fsync",          "clone_fd",     "fast_ino",
      "max_write",      "max_background", "auto_unmount", "nonempty"};
  if (option.key == "verity") return option.value == "off";
  return option.key.starts_with("x-") || option.key.starts_with("X-") ||
         is_one_of(option.key, kIgnored);
}

Outcome<void> apply_layer_option(const Option& option, MountRequest& request, bool& known) {
  op::StackOptions& stack = request.mount.stack;
  if (option.key == "lowerdir") return set_lowerdirs(option, request);
  if (option.key == "lowerdir+" || option.key == "datadir+") return add_lowerdir(option, request);
  if (option.key == "layerindex") return set_layer_indexes(option, request);
  if (option.key == "whiteouts") return set_whiteouts(option, request);
  if (option.key == "rootlayer") return set_root_layer(option, stack.root_lower);
  if (option.key == "upperdir") return set_directory(option, stack.upperdir);
  if (option.key == "workdir") return set_directory(option, stack.workdir);
  if (option.key == "redirect_dir") return set_redirect_dir(option, request);
  if (option.key == "metacopy") return set_metacopy(option, request);
  if (option.key == "index") return set_switch(option, stack.index);
  if (option.key == "xino") return set_xino(option, stack.xino);
  if (option.key == "passthrough") return set_passthrough(option, stack.passthrough);
  if (option.key == "xattr_permissions") return set_record_owners(option, stack.record_owners);
  if (option.text == "userxattr") {
    stack.user_xattr = true;
  } else if (option.text == "volatile") {
    stack.volatile_upper = true;
  } else {
    known = false;
  }
  return {};
}

Outcome<void> set_ids(const Option& option, op::IdMaps& ids, bool& known) {
  if (option.text == "squash_to_root") {
    ids = {op::IdMap::squash(0), op::IdMap::squash(0)};
    return {};
  }
  const bool is_map = option.key == "uidmapping" || option.key == "gidmapping";
  if (!is_map && option.key != "squash_to_uid" && option.key != "squash_to_gid") {
    known = false;
    return {};
  }
  const std::string_view value = option.value.value_or("");
  auto map = is_map ? parse_id_map(value) : parse_squash(value);
  if (!map) {
    return refuse_value(option, is_map ? "ranges of ids, STORED:SHOWN:COUNT[:...]" : "one id");
  }
  (option.key.ends_with("uid") || option.key == "uidmapping" ? ids.users : ids.groups) =
      *std::move(map);
  return {};
}

Outcome<void> apply_mount_option(const Option& option, MountRequest& request, bool& known) {
  fuse::MountOptions& mount = request.mount;
  if (option.key == "transport") return set_transport(option, mount.transport);
  if (option.key == "threads") return set_threads(option, mount.threads);
  if (option.key == "max_inodes") return set_number(option, mount.max_inodes);
  if (option.key == "spin") return set_switch(option, mount.spin);
  if (option.key == "writeback") return set_writeback(option, mount.writeback);
  if (option.key == "snapshot") return set_directory(option, request.snapshot);
  if (option.key == "root") return set_directory(option, request.root);
  if (option.key == "fsname") return set_directory(option, mount.source);
  if (option.text == "ro" || option.text == "rw") {
    mount.read_only = option.text == "ro";
  } else if (option.text == "debug") {
    mount.debug = true;
  } else if (option.text == "remount") {
    request.remount = true;
  } else if (option.text == "allow_other") {
    mount.allow_other = true;
  } else if (option.key.ends_with("context") && option.value) {
    add_context(option, request);
  } else if (is_kernel_flag(option)) {
    mount.kernel_options.emplace_back(option.text);
  } else {
    known = is_without_meaning(option);
  }
  return {};
}

Outcome<void> apply(const Option& option, MountRequest& request) {
  bool known = true;
  LAYERFS_TRY(apply_layer_option(option, request, known));
  if (known) return {};
  known = true;
  LAYERFS_TRY(set_ids(option, request.mount.stack.ids, known));
  if (known) return {};
  known = true;
  LAYERFS_TRY(apply_mount_option(option, request, known));
  if (known) return {};
  if (option.key == "verity") {
    return refuse(fmt::format("the mount option '{}' is not supported: fs-verity digests of data "
                              "files are not checked; verity=off says so",
                              option.text),
                  EINVAL);
  }
  request.warnings.push_back(
      fmt::format("the mount option '{}' is not known and has no effect", option.text));
  return {};
}

}  // namespace

Outcome<void> parse_mount_options(std::string_view text, MountRequest& request) {
  while (!text.empty()) {
    const std::size_t length = option_length(text);
    if (length > 0) LAYERFS_TRY(apply(option_of(text.substr(0, length)), request));
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return {};
}

// As the kernel's overlayfs refuses them; what is only the default gives way (tree::StackOptions).
Outcome<void> check_marks(const MountRequest& request) {
  const op::StackOptions& stack = request.mount.stack;
  if (request.metacopy_is_asked && !stack.follow_redirects)
    return refuse("metacopy=on needs redirects: leave out metacopy=on or redirect_dir=nofollow",
                  EINVAL);
  const bool asked = request.redirects_are_asked || request.metacopy_is_asked;
  if (!asked || !stack.user_xattr) return {};
  return refuse(
      fmt::format(
          "{} cannot be had with userxattr: whoever owns a file of a layer could have it lead "
          "to files that only others may read; leave out one of the two",
          request.metacopy_is_asked ? "metacopy=on" : "redirect_dir=on or follow"),
      EINVAL);
}

bool names_layers(const MountRequest& request) {
  const op::StackOptions& stack = request.mount.stack;
  return !stack.lowerdirs.empty() || !stack.datadirs.empty() || !stack.upperdir.empty();
}

Outcome<void> check_layers(const MountRequest& request) {
  const op::StackOptions& stack = request.mount.stack;
  if (stack.lowerdirs.empty()) {
    return refuse("no lower directory is given; name at least one with -o lowerdir=DIR", EINVAL);
  }
  if (!request.snapshot.empty()) {
    return refuse("a snapshot has layers of its own: give lowerdir or a snapshot, not both",
                  EINVAL);
  }
  if (stack.layer_indexes.size() > stack.lowerdirs.size()) {
    return refuse("layerindex names more files than lowerdir has directories", EINVAL);
  }
  if (stack.whiteouts.size() > 1 && stack.whiteouts.size() != stack.lowerdirs.size()) {
    return refuse("whiteouts needs one word for all lower directories, or one for each", EINVAL);
  }
  if (stack.root_lower >= stack.lowerdirs.size()) {
    return refuse("rootlayer names none of the lower directories", EINVAL);
  }
  if (!stack.upperdir.empty() && stack.workdir.empty()) {
    return refuse(
        "upperdir needs workdir, an empty directory on the same file system: -o workdir=DIR",
        EINVAL);
  }
  return check_marks(request);
}

}  // namespace layerfs::tools

#include "tools/runtime_state.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <span>
#include <sstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "fs/sys/file.h"
#include "layerstore/file_util.h"

namespace layerfs::tools {

namespace {

namespace stdfs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kType = "fuse.layerfs";

json to_json(const MountRecord& record) {
  return {{"mountpoint", record.mountpoint},
          {"image", record.image},
          {"snapshot", record.snapshot},
          {"lowerdirs", record.lowerdirs},
          {"upperdir", record.upperdir},
          {"transport", record.transport},
          {"is_restricted", record.is_restricted},
          {"device", record.device},
          {"pid", record.pid},
          {"since", record.since}};
}

// Names need not be UTF-8: what is not is replaced.
std::string as_written(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace);
}

MountRecord from_json(const json& object) {
  MountRecord record;
  record.mountpoint = object.at("mountpoint");
  record.image = object.at("image");
  record.snapshot = object.at("snapshot");
  record.lowerdirs = object.at("lowerdirs").get<std::vector<std::string>>();
  record.upperdir = object.at("upperdir");
  record.transport = object.at("transport");
  record.is_restricted = object.value("is_restricted", false);
  record.device = object.at("device");
  record.pid = object.at("pid");
  record.since = object.at("since");
  return record;
}

// Empty: there is no place for it.
std::string runtime_path() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (::geteuid() == 0 && ::access("/run", W_OK) == 0) return "/run/layerfs";
  if (runtime != nullptr && *runtime != '\0') return std::string(runtime) + "/layerfs";
  return {};
}

std::optional<MountRecord> read_record(int directory, const std::string& name) {
  constexpr std::size_t kLimit = 16 << 20;
  const Result<std::string> text = store::read_file(directory, name, kLimit);
  if (!text) return std::nullopt;
  try {
    return from_json(json::parse(*text));
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

bool is_locked_by_daemon(int directory, const std::string& name) {
  const Result<sys::UniqueFd> fd = store::open_file(directory, name, O_RDONLY);
  return fd && ::flock(fd->get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

// By device number: the kernel gives each mount its own while it lives.
std::map<dev_t, MountRecord> read_records() {
  std::map<dev_t, MountRecord> records;
  const auto directory = sys::open_trusted(runtime_path());
  if (!directory) return records;  // no directory of ours, no records
  const auto names = store::list_dir(directory->fd.get(), ".");
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    if (!name.ends_with(".json")) continue;
    const auto record = read_record(directory->fd.get(), name);
    if (record && is_locked_by_daemon(directory->fd.get(), name)) {
      const auto [place, is_new] = records.emplace(record->device, *record);
      if (!is_new && place->second.since < record->since) place->second = *record;
    } else {
      // What stays is looked at again the next time.
      static_cast<void>(sys::unlink_at(directory->fd.get(), name.c_str()));
    }
  }
  return records;
}

// The mount table writes space, tab, newline and backslash as \ooo.
std::string unescaped(const std::string& field) {
  std::string out;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      out += static_cast<char>(std::strtol(field.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      out += field[i];
    }
  }
  return out;
}

// One line of mountinfo, if it is a layerfs mount itself and not a bind mount of a part of one.
std::optional<LiveMount> mount_of(const std::string& line) {
  // One space between fields; of other white space a name may hold what it likes.
  std::istringstream fields(line);
  std::string id, parent, device, root, mountpoint, word;
  for (std::string* field : {&id, &parent, &device, &root, &mountpoint}) {
    std::getline(fields, *field, ' ');
  }
  while (std::getline(fields, word, ' ') && word != "-") {
  }
  std::string type, source;
  std::getline(fields, type, ' ');
  std::getline(fields, source, ' ');
  if (type != kType || root != "/") return std::nullopt;
  unsigned major_number = 0, minor_number = 0;
  char colon = 0;
  std::istringstream(device) >> major_number >> colon >> minor_number;
  LiveMount mount;
  mount.record.mountpoint = unescaped(mountpoint);
  mount.record.device = makedev(major_number, minor_number);
  mount.source = unescaped(source);
  return mount;
}

}  // namespace

Outcome<sys::TrustedDir> runtime_directory() {
  const std::string path = runtime_path();
  if (path.empty()) {
    return refuse("there is no directory for what runs: set XDG_RUNTIME_DIR to one of yours",
                  ENOENT);
  }
  return sys::make_trusted(path, 0700);
}

RecordFile::RecordFile(const MountRecord& record) {
  auto directory = runtime_directory();
  if (!directory) return;
  const int fd = directory->fd.get();
  const std::string name = std::to_string(record.pid) + ".json";
  const std::string temporary = name + ".new";
  // What a killed process of this number left.
  static_cast<void>(sys::unlink_at(fd, temporary.c_str()));
  auto file = store::open_file(fd, temporary, O_WRONLY | O_CREAT | O_EXCL);
  if (!file || ::flock(file->get(), LOCK_EX | LOCK_NB) != 0) return;
  const std::string text = as_written(to_json(record)) + "\n";
  if (!store::write_all(file->get(), std::as_bytes(std::span(text))) ||
      !sys::rename_at(fd, temporary.c_str(), fd, name.c_str())) {
    static_cast<void>(sys::unlink_at(fd, temporary.c_str()));
    return;
  }
  directory_ = std::move(directory->fd);
  name_ = name;
  lock_ = std::move(*file);
}

RecordFile::~RecordFile() {
  if (!name_.empty()) static_cast<void>(sys::unlink_at(directory_.get(), name_.c_str()));
}

Outcome<std::vector<LiveMount>> live_mounts() {
  std::ifstream table("/proc/self/mountinfo");
  if (!table) return refuse("/proc/self/mountinfo cannot be read; is /proc mounted?", ENOENT);
  const std::map<dev_t, MountRecord> records = read_records();
  std::vector<LiveMount> mounts;
  for (std::string line; std::getline(table, line);) {
    auto mount = mount_of(line);
    if (!mount) continue;
    const auto known = records.find(mount->record.device);
    // The number may have been given out again while the daemon of the last mount still ends.
    if (known != records.end() &&
        as_written(known->second.mountpoint) == as_written(mount->record.mountpoint)) {
      std::string mountpoint = std::move(mount->record.mountpoint);
      mount->record = known->second;
      mount->record.mountpoint = std::move(mountpoint);
      mount->alive = true;
    }
    mounts.push_back(*std::move(mount));
  }
  return mounts;
}

bool wait_for_end(pid_t pid, int seconds) {
  const sys::UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return errno == ESRCH;
  pollfd waiting = {.fd = process.get(), .events = POLLIN, .revents = 0};
  return ::poll(&waiting, 1, seconds * 1000) == 1;
}

std::string absolute_mountpoint(const std::string& path) {
  std::error_code failed;
  stdfs::path full = stdfs::absolute(path, failed).lexically_normal();
  if (failed) return path;
  if (full.has_relative_path() && !full.has_filename()) full = full.parent_path();
  const stdfs::path parent = stdfs::canonical(full.parent_path(), failed);
  return failed ? full.string() : (parent / full.filename()).string();
}

}  // namespace layerfs::tools

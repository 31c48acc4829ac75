#include "tests/stress/owner.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace layerfs::test {
namespace {

constexpr std::int64_t kLargest = 100'000;  // less than a mapping
constexpr std::size_t kMostHeld = 3;
constexpr std::size_t kFewest = 4;
constexpr std::size_t kMost = 12;

std::string read_all(int fd) {
  std::string all(SharedMapping::kSize, '\0');
  std::size_t size = 0;
  for (;;) {
    const ssize_t got = ::pread(fd, all.data() + size, all.size() - size, static_cast<off_t>(size));
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  all.resize(size);
  return all;
}

void overlay(std::string& content, std::size_t at, const std::string& bytes) {
  if (content.size() < at + bytes.size()) content.resize(at + bytes.size(), '\0');
  content.replace(at, bytes.size(), bytes);
}

}  // namespace

SharedMapping::SharedMapping(int fd, bool writable) {
  void* memory = ::mmap(nullptr, kSize, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  memory_ = memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

std::string SharedMapping::read(std::size_t size) const {
  std::string all(size, '\0');
  const iovec to{all.data(), size};
  const iovec from{memory_, size};
  const ssize_t got = ::process_vm_readv(::getpid(), &to, 1, &from, 1, 0);
  all.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return all;
}

bool SharedMapping::write(std::size_t at, const std::string& bytes) const {
  std::string copy = bytes;
  const iovec from{copy.data(), copy.size()};
  const iovec to{memory_ + at, copy.size()};
  return ::process_vm_writev(::getpid(), &from, 1, &to, 1, 0) == static_cast<ssize_t>(bytes.size());
}

SharedMapping::~SharedMapping() {
  if (memory_ != nullptr) ::munmap(memory_, kSize);
}

Owner::Owner(const SharedDirs& dirs, int root, std::uint64_t seed, unsigned thread)
    : Actor(root, seed), dirs_(dirs), thread_(thread) {
  for (unsigned dir = 0; dir < kSharedDirs; ++dir) {
    for (unsigned i = 0; i < 2; ++i) {
      const Key key{dir, own_file(thread, i)};
      const sys::UniqueFd fd = open(key, O_RDONLY);
      if (!fd) continue;
      auto file = std::make_shared<File>();
      file->content = read_all(fd.get());
      names_.emplace(key, std::move(file));
    }
  }
}

bool Owner::must(const std::string& call, bool succeeded) {
  note("own " + call, succeeded);
  if (!succeeded)
    wrong(call + " of a file that nobody else uses fails with " + oracle::errno_name(errno));
  return succeeded;
}

Owner::Names::value_type& Owner::any() {
  auto it = names_.begin();
  std::advance(it, rng_.below(static_cast<std::int64_t>(names_.size())));
  return *it;
}

Owner::Key Owner::free_key() {
  return {static_cast<unsigned>(rng_.below(kSharedDirs)), own_file(thread_, next_name_++ % 200)};
}

sys::UniqueFd Owner::open(const Key& key, int flags) {
  sys::UniqueFd fd(
      ::openat(dirs_[key.first].get(), key.second.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0644));
  must("open", static_cast<bool>(fd));
  return fd;
}

std::string Owner::path(const Key& key) const {
  return "/proc/self/fd/" + std::to_string(dirs_[key.first].get()) + "/" + key.second;
}

std::string Owner::random_bytes(std::size_t size) {
  std::string bytes(size, static_cast<char>('a' + rng_.below(26)));
  for (std::size_t i = 0; i < size; i += 97) bytes[i] = static_cast<char>('A' + rng_.below(26));
  return bytes;
}

void Owner::hold(Names::value_type& named) {
  File& file = *named.second;
  if (file.held.size() == kMostHeld) {
    drop(file);
    return;
  }
  const bool writable = rng_.percent(25);
  Held held{open(named.first, writable ? O_RDWR : O_RDONLY), writable, file.last, nullptr};
  if (!held.fd) return;
  if (rng_.percent(60)) {
    held.mapping = std::make_unique<SharedMapping>(held.fd.get(), writable);
    must("mmap", held.mapping->valid());
  }
  file.held.push_back(std::move(held));
}

void Owner::drop(File& file) {
  if (file.held.empty()) return;
  file.held.erase(file.held.begin() + rng_.below(static_cast<std::int64_t>(file.held.size())));
}

// By a descriptor of now, or one that was there before.
void Owner::write(Names::value_type& named) {
  File& file = *named.second;
  const std::size_t at = static_cast<std::size_t>(rng_.below(kLargest / 2));
  const std::string bytes = random_bytes(static_cast<std::size_t>(1 + rng_.below(kLargest / 2)));
  for (const Held& held : file.held) {
    if (!held.writable || rng_.percent(50)) continue;
    if (must("write-held", ::pwrite(held.fd.get(), bytes.data(), bytes.size(),
                                    static_cast<off_t>(at)) == static_cast<ssize_t>(bytes.size())))
      overlay(file.content, at, bytes);
    changed(file, "write-held");
    return;
  }
  const sys::UniqueFd fd = open(named.first, O_RDWR);
  if (!fd) return;
  if (must("write", ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
                        static_cast<ssize_t>(bytes.size())))
    overlay(file.content, at, bytes);
  changed(file, "write");
  if (rng_.percent(10)) must("fsync", ::fsync(fd.get()) == 0);
}

void Owner::store(Names::value_type& named) {
  File& file = *named.second;
  if (file.content.empty()) return;
  const sys::UniqueFd fd = open(named.first, O_RDWR);
  if (!fd) return;
  const SharedMapping mapping(fd.get(), true);
  if (!must("mmap", mapping.valid())) return;
  const std::size_t at =
      static_cast<std::size_t>(rng_.below(static_cast<std::int64_t>(file.content.size())));
  const std::string bytes = random_bytes(std::min<std::size_t>(5000, file.content.size() - at));
  must("store", mapping.write(at, bytes));
  overlay(file.content, at, bytes);
  changed(file, "store");
  if (rng_.percent(30)) must("msync", mapping.sync());
}

void Owner::resize(Names::value_type& named) {
  File& file = *named.second;
  const off_t size = rng_.below(kLargest);
  if (rng_.percent(50)) {
    if (!must("truncate", ::truncate(path(named.first).c_str(), size) == 0)) return;
  } else {
    const sys::UniqueFd fd = open(named.first, O_WRONLY);
    if (!fd || !must("ftruncate", ::ftruncate(fd.get(), size) == 0)) return;
  }
  file.content.resize(static_cast<std::size_t>(size), '\0');
  changed(file, "resize");
}

void Owner::allocate(Names::value_type& named) {
  File& file = *named.second;
  const sys::UniqueFd fd = open(named.first, O_RDWR);
  if (!fd) return;
  const std::size_t at = static_cast<std::size_t>(rng_.below(kLargest / 2));
  const std::size_t size = static_cast<std::size_t>(1 + rng_.below(kLargest / 2));
  if (rng_.percent(50)) {
    if (!must("fallocate",
              ::fallocate(fd.get(), 0, static_cast<off_t>(at), static_cast<off_t>(size)) == 0))
      return;
    if (file.content.size() < at + size) file.content.resize(at + size, '\0');
    changed(file, "fallocate");
    return;
  }
  if (!must("punch", ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 static_cast<off_t>(at), static_cast<off_t>(size)) == 0))
    return;
  if (at < file.content.size())
    overlay(file.content, at, std::string(std::min(size, file.content.size() - at), '\0'));
  changed(file, "punch");
}

void Owner::overwrite_all(Names::value_type& named) {
  File& file = *named.second;
  const sys::UniqueFd fd = open(named.first, O_WRONLY | O_TRUNC);
  if (!fd) return;
  file.content = random_bytes(static_cast<std::size_t>(rng_.below(kLargest)));
  if (!file.content.empty())
    must("write-new", ::write(fd.get(), file.content.data(), file.content.size()) ==
                          static_cast<ssize_t>(file.content.size()));
  changed(file, "overwrite");
}

void Owner::change_attributes(Names::value_type& named) {
  const std::string at = path(named.first);
  const timespec times[2] = {{1'000'000'000, 0}, {1'100'000'000, 0}};
  switch (rng_.below(4)) {
    case 0:
      must("chmod", ::chmod(at.c_str(), rng_.pick({0644U, 0600U, 0640U})) == 0);
      break;
    case 1:
      must("chown", ::chown(at.c_str(), 1, 1) == 0);
      break;
    case 2:
      must("utimes", ::utimensat(AT_FDCWD, at.c_str(), times, 0) == 0);
      break;
    default:
      must("setxattr", ::setxattr(at.c_str(), "user.own", "1", 1, 0) == 0);
  }
  changed(*named.second, "attributes");
}

void Owner::move(Names::value_type& named) {
  const Key from = named.first;
  if (rng_.percent(30) && names_.size() > 1) {
    Names::value_type& other = any();
    if (&other == &named || other.second == named.second) return;
    if (must("exchange", ::renameat2(dirs_[from.first].get(), from.second.c_str(),
                                     dirs_[other.first.first].get(), other.first.second.c_str(),
                                     RENAME_EXCHANGE) == 0))
      std::swap(named.second, other.second);
    return;
  }
  const Key to = free_key();
  const auto there = names_.find(to);
  if (there != names_.end() && there->second == named.second) return;
  if (!must("rename", ::renameat(dirs_[from.first].get(), from.second.c_str(),
                                 dirs_[to.first].get(), to.second.c_str()) == 0))
    return;
  const std::shared_ptr<File> file = named.second;
  changed(*file, "rename");
  if (there != names_.end()) nameless_.push_back(there->second);
  names_.erase(from);
  names_[to] = file;
}

void Owner::link(Names::value_type& named) {
  const Key to = free_key();
  if (names_.count(to) != 0 || names_.size() >= kMost) return;
  if (!must("link", ::linkat(dirs_[named.first.first].get(), named.first.second.c_str(),
                             dirs_[to.first].get(), to.second.c_str(), 0) == 0))
    return;
  changed(*named.second, "link");
  names_[to] = named.second;
}

void Owner::remove(Names::value_type& named) {
  if (names_.size() <= kFewest) return;
  const Key key = named.first;
  if (!must("unlink", ::unlinkat(dirs_[key.first].get(), key.second.c_str(), 0) == 0)) return;
  changed(*named.second, "unlink");
  nameless_.push_back(named.second);
  names_.erase(key);
}

void Owner::make() {
  const Key key = free_key();
  if (names_.count(key) != 0 || names_.size() >= kMost) return;
  const sys::UniqueFd fd = open(key, O_CREAT | O_EXCL | O_RDWR);
  if (!fd) return;
  auto file = std::make_shared<File>();
  changed(*file, "create");
  file->content = random_bytes(static_cast<std::size_t>(1 + rng_.below(kLargest)));
  must("write-new", ::write(fd.get(), file->content.data(), file->content.size()) ==
                        static_cast<ssize_t>(file->content.size()));
  names_[key] = std::move(file);
}

void Owner::compare(const File& file, const std::string& got, const std::string& by) {
  ++report_.done["own compared"];
  if (got == file.content) return;
  const auto differs =
      std::mismatch(got.begin(), got.end(), file.content.begin(), file.content.end());
  wrong("after " + file.last + " " + by + " shows other data than was written: " +
        std::to_string(got.size()) + " bytes instead of " + std::to_string(file.content.size()) +
        ", different from byte " + std::to_string(differs.first - got.begin()));
}

void Owner::check_held(File& file) {
  for (const Held& held : file.held) {
    const std::string how = (held.writable ? "a descriptor" : "a reader") + std::string(" from ") +
                            (held.since.empty() ? "the beginning" : held.since);
    if (rng_.percent(10)) ::posix_fadvise(held.fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    compare(file, read_all(held.fd.get()), how);
    if (held.mapping != nullptr && held.mapping->valid())
      compare(file, held.mapping->read(file.content.size()), "mapping of " + how);
  }
}

void Owner::check(const Key& key, File& file) {
  const sys::UniqueFd fd = open(key, O_RDONLY);
  if (!fd) return;
  struct stat st = {};
  must("fstat", ::fstat(fd.get(), &st) == 0);
  if (st.st_size != static_cast<off_t>(file.content.size()))
    wrong("after " + file.last + " st_size is " + std::to_string(st.st_size) + " and not " +
          std::to_string(file.content.size()));
  compare(file, read_all(fd.get()), "a new descriptor");
}

void Owner::check_all() {
  for (auto& [key, file] : names_) {
    check(key, *file);
    check_held(*file);
  }
  for (const auto& file : nameless_) check_held(*file);
}

void Owner::act() {
  if (names_.empty()) return;
  using Operation = void (Owner::*)(Names::value_type&);
  static constexpr std::array<Operation, 14> kOperations = {&Owner::hold,
                                                            &Owner::hold,
                                                            &Owner::hold,
                                                            &Owner::write,
                                                            &Owner::write,
                                                            &Owner::store,
                                                            &Owner::store,
                                                            &Owner::resize,
                                                            &Owner::allocate,
                                                            &Owner::overwrite_all,
                                                            &Owner::change_attributes,
                                                            &Owner::move,
                                                            &Owner::link,
                                                            &Owner::remove};
  Names::value_type& named = any();
  const std::shared_ptr<File> file = named.second;
  (this->*rng_.pick(std::vector<Operation>(kOperations.begin(), kOperations.end())))(named);
  check_held(*file);
  if (rng_.percent(30)) make();
  Names::value_type& other = any();
  check(other.first, *other.second);
  if (nameless_.size() > 2) nameless_.erase(nameless_.begin());
  for (const auto& gone : nameless_) check_held(*gone);
}

}  // namespace layerfs::test

#include "tests/mixed_io/fuzzer.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fmt/format.h>

namespace layerfs::mixed_io {
namespace {

constexpr std::size_t kMostDescriptors = 5;
constexpr std::size_t kMostMappings = 3;
constexpr std::size_t kNotesShown = 60;

}  // namespace

std::array<std::string, 2> first_contents(std::uint64_t seed) {
  oracle::Rng rng(seed);
  std::array<std::string, 2> contents;
  for (std::string& content : contents) {
    content.resize(static_cast<std::size_t>(rng.below(kMost * 3 / 4)));
    for (char& byte : content) byte = static_cast<char>(rng.below(255) + 1);
  }
  return contents;
}

const std::vector<Fuzzer::Action> Fuzzer::kActions = {
    {"open", 12, &Fuzzer::open},
    {"close", 9, &Fuzzer::close},
    {"map", 5, &Fuzzer::map},
    {"unmap", 3, &Fuzzer::unmap},
    {"read", 8, &Fuzzer::read},
    {"write", 12, &Fuzzer::write},
    {"append", 4, &Fuzzer::append},
    {"write asynchronously", 14, &Fuzzer::write_async},
    {"read asynchronously", 4, &Fuzzer::read_async},
    {"store", 10, &Fuzzer::store},
    {"sync", 4, &Fuzzer::sync},
    {"forget pages", 4, &Fuzzer::forget_pages},
    {"truncate", 5, &Fuzzer::truncate},
    {"allocate", 7, &Fuzzer::allocate},
    {"copy range", 7, &Fuzzer::copy_range},
    {"send file", 4, &Fuzzer::send_file},
    {"splice", 4, &Fuzzer::splice},
    {"change mode", 2, &Fuzzer::change_mode},
    {"rename", 2, &Fuzzer::rename},
    {"link", 1, &Fuzzer::link},
};

Fuzzer::Fuzzer(const std::filesystem::path& directory, std::uint64_t seed)
    : rng_(seed + 1),
      queues_{make_async_queue(test::AsyncWay::kAio), make_async_queue(test::AsyncWay::kIoUring)} {
  auto contents = first_contents(seed);
  for (std::size_t i = 0; i < files_.size(); ++i) {
    files_[i].path = directory / (i == 0 ? "a" : "b");
    files_[i].expected = std::move(contents[i]);
  }
}

std::string Fuzzer::run(int actions) {
  for (int i = 0; i < actions && problem_.empty(); ++i) {
    File& file = files_[number(files_.size())];
    const Action& action = choose();
    notes_.push_back(fmt::format("{}: {} {}", i, action.name, file.path));
    {
      std::optional<Bystander> bystander;
      if (rng_.percent(30) || action.act == &Fuzzer::write_async) bystander.emplace(file);
      // Views come and go only when nobody else uses them.
      if (action.act == &Fuzzer::close || action.act == &Fuzzer::unmap) bystander.reset();
      (this->*action.act)(file);
    }
    for (const File& each : files_)
      if (problem_.empty() && rng_.percent(50)) problem_ = each.problem();
  }
  for (File& file : files_) {
    if (problem_.empty()) problem_ = file.problem();
    file.mappings.clear();
    file.descriptors.clear();
  }
  if (problem_.empty()) return "";
  const std::size_t shown = std::min(notes_.size(), kNotesShown);
  return fmt::format(
      "{}\nafter\n{}\n", problem_,
      fmt::join(notes_.end() - static_cast<std::ptrdiff_t>(shown), notes_.end(), "\n"));
}

const Fuzzer::Action& Fuzzer::choose() {
  int all = 0;
  for (const Action& each : kActions) all += each.weight;
  auto left = static_cast<int>(rng_.below(all));
  for (const Action& each : kActions) {
    if (left < each.weight) return each;
    left -= each.weight;
  }
  return kActions.front();
}

std::size_t Fuzzer::number(std::size_t bound) {
  return static_cast<std::size_t>(rng_.below(static_cast<std::int64_t>(bound)));
}

std::string Fuzzer::bytes(std::size_t length) {
  return std::string(length, static_cast<char>(rng_.below(255) + 1));
}

Fuzzer::Range Fuzzer::range(bool aligned) {
  const std::size_t at = number(kMost * 3 / 4);
  const std::size_t length = 1 + number(rng_.percent(50) ? 2 * kBlock : kMost / 4);
  if (!aligned) return {at, length};
  return {at / kBlock * kBlock, (length + kBlock - 1) / kBlock * kBlock};
}

template <typename... Values>
void Fuzzer::note(const char* format, const Values&... values) {
  notes_.back() += " " + fmt::format(fmt::runtime(format), values...);
}

bool Fuzzer::must(bool ok, const char* what) {
  if (!ok && problem_.empty()) problem_ = fmt::format("{} fails: {}", what, std::strerror(errno));
  return ok;
}

const Descriptor* Fuzzer::writer(const File& file) {
  return file.find(number(100),
                   [](const Descriptor& each) { return each.writes() && !each.appends(); });
}

void Fuzzer::open(File& file) {
  if (file.descriptors.size() == kMostDescriptors) return;
  int flags = rng_.pick({O_RDONLY, O_RDONLY, O_RDWR, O_RDWR, O_RDWR | O_DIRECT, O_RDWR | O_DIRECT,
                         O_RDONLY | O_DIRECT, O_WRONLY, O_WRONLY | O_APPEND, O_RDWR | O_DSYNC});
  if ((flags & O_ACCMODE) != O_RDONLY && rng_.percent(5)) flags |= O_TRUNC;
  note("flags {:#o}", flags);
  sys::UniqueFd fd(::open(file.path.c_str(), flags | O_CLOEXEC));
  if (!must(static_cast<bool>(fd), "open")) return;
  if ((flags & O_TRUNC) != 0) file.expected.clear();
  file.descriptors.push_back({std::move(fd), flags});
}

void Fuzzer::close(File& file) {
  // Sometimes all, so that the next open may choose another way.
  if (rng_.percent(25)) {
    file.descriptors.clear();
    if (rng_.percent(50)) file.mappings.clear();
  } else if (!file.descriptors.empty()) {
    file.descriptors.erase(file.descriptors.begin() +
                           static_cast<std::ptrdiff_t>(number(file.descriptors.size())));
  }
}

void Fuzzer::map(File& file) {
  const bool writable = rng_.percent(50);
  const Descriptor* from = file.find(number(100), [&](const Descriptor& each) {
    return each.reads() && (!writable || each.writes());
  });
  if (from == nullptr || file.mappings.size() == kMostMappings) return;
  note("descriptor {}, {}", from->fd.get(), writable ? "writable" : "to read");
  file.mappings.push_back(std::make_unique<Mapping>(from->fd.get(), writable));
}

void Fuzzer::unmap(File& file) {
  if (!file.mappings.empty()) file.mappings.pop_back();
}

void Fuzzer::read(File& file) {
  const Descriptor* from = file.find(number(100), [](const Descriptor& d) { return d.reads(); });
  if (from == nullptr) return;
  const Range part = range(false);
  note("descriptor {}, {} bytes at {}", from->fd.get(), part.length, part.at);
  must(read_part(*from, part.at, part.length) == file.part(part.at, part.length), "read");
}

void Fuzzer::write(File& file) {
  const Descriptor* to = writer(file);
  if (to == nullptr) return;
  const Range part = range(to->direct());
  const std::string data = bytes(part.length);
  const AlignedMemory memory(part.length);
  std::memcpy(memory.get(), data.data(), data.size());
  note("descriptor {}, {} bytes at {}", to->fd.get(), part.length, part.at);
  const ssize_t written =
      ::pwrite(to->fd.get(), memory.get(), part.length, static_cast<off_t>(part.at));
  if (must(written == static_cast<ssize_t>(part.length), "write")) file.put(part.at, data);
}

void Fuzzer::append(File& file) {
  const Descriptor* to = file.find(number(100), [](const Descriptor& d) { return d.appends(); });
  const std::string data = bytes(1 + number(2 * kBlock));
  if (to == nullptr || file.expected.size() + data.size() > kMost) return;
  note("descriptor {}, {} bytes", to->fd.get(), data.size());
  const ssize_t written = ::write(to->fd.get(), data.data(), data.size());
  if (must(written == static_cast<ssize_t>(data.size()), "append"))
    file.put(file.expected.size(), data);
}

// Several at once, one behind the other, by the same descriptor or by two.
void Fuzzer::write_async(File& file) {
  const std::size_t count = 1 + number(4);
  const std::size_t part = (1 + number(8)) * kBlock;
  const std::size_t begin = number(kMost / 2 / kBlock) * kBlock;
  const AlignedMemory memory(count * part);
  std::vector<test::Transfer> transfers;
  std::string all;
  for (std::size_t i = 0; i < count && begin + (i + 1) * part <= kMost; ++i) {
    const Descriptor* to = writer(file);
    if (to == nullptr) return;
    const std::string data = bytes(part);
    std::memcpy(memory.get() + i * part, data.data(), part);
    all += data;
    transfers.push_back(
        {to->fd.get(), true, memory.get() + i * part, part, static_cast<off_t>(begin + i * part)});
  }
  test::AsyncQueue& queue = *queues_[number(queues_.size())];
  note("{} times {} bytes from {} by {}, descriptor {}", transfers.size(), part, begin,
       &queue == queues_[0].get() ? "AIO" : "io_uring", transfers.front().fd);
  for (const long written : queue.run(transfers, [&] { (void)file.problem(); }))
    must(written == static_cast<long>(part), "write asynchronously");
  file.put(begin, all);
}

void Fuzzer::read_async(File& file) {
  const Descriptor* from = file.find(number(100), [](const Descriptor& d) { return d.reads(); });
  if (from == nullptr) return;
  const Range part = range(true);
  const AlignedMemory memory(part.length);
  note("descriptor {}, {} bytes at {}", from->fd.get(), part.length, part.at);
  const auto ends = queues_[number(queues_.size())]->run(
      {{from->fd.get(), false, memory.get(), part.length, static_cast<off_t>(part.at)}});
  const std::string expected = file.part(part.at, part.length);
  must(ends.front() == static_cast<long>(expected.size()) &&
           std::memcmp(memory.get(), expected.data(), expected.size()) == 0,
       "read asynchronously");
}

void Fuzzer::store(File& file) {
  const auto found =
      std::ranges::find_if(file.mappings, [](const auto& m) { return m->writable(); });
  if (found == file.mappings.end() || file.expected.empty()) return;
  const std::size_t at = number(file.expected.size());
  const std::string data = bytes(std::min(1 + number(3 * kBlock), file.expected.size() - at));
  note("{} bytes at {}", data.size(), at);
  if (must((*found)->store(at, data), "store")) file.put(at, data);
}

void Fuzzer::sync(File& file) {
  if (!file.mappings.empty() && rng_.percent(50)) {
    must(file.mappings.front()->sync(), "msync");
  } else if (!file.descriptors.empty()) {
    const int fd = file.descriptors.front().fd.get();
    must((rng_.percent(50) ? ::fsync(fd) : ::fdatasync(fd)) == 0, "fsync");
  }
}

void Fuzzer::forget_pages(File& file) {
  for (const auto& mapping : file.mappings) mapping->forget_pages();
  for (const Descriptor& each : file.descriptors)
    ::posix_fadvise(each.fd.get(), 0, 0, POSIX_FADV_DONTNEED);
}

void Fuzzer::truncate(File& file) {
  const auto size = static_cast<off_t>(number(kMost * 3 / 4));
  const Descriptor* by = file.find(number(100), [](const Descriptor& d) { return d.writes(); });
  if (rng_.percent(50)) by = nullptr;
  note("to {} by {}", size, by == nullptr ? "name" : "descriptor");
  const int done =
      by == nullptr ? ::truncate(file.path.c_str(), size) : ::ftruncate(by->fd.get(), size);
  if (must(done == 0, "truncate")) file.expected.resize(static_cast<std::size_t>(size), '\0');
}

void Fuzzer::allocate(File& file) {
  const Descriptor* to = file.find(number(100), [](const Descriptor& d) { return d.writes(); });
  if (to == nullptr) return;
  const int mode = rng_.pick({0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
                              FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE});
  const Range part = range(rng_.percent(50));
  note("mode {}, {} bytes at {}", mode, part.length, part.at);
  const auto at = static_cast<off_t>(part.at), length = static_cast<off_t>(part.length);
  if (!must(::fallocate(to->fd.get(), mode, at, length) == 0, "fallocate")) return;
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0)
    file.expected.resize(std::max(file.expected.size(), part.at + part.length), '\0');
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) file.zero(part.at, part.length);
}

// From either file; within one the ranges must not overlap.
void Fuzzer::copy_range(File& file) {
  File& source = files_[number(files_.size())];
  const auto cached = [](const Descriptor& d) { return d.reads() && !d.direct(); };
  const Descriptor* from = source.find(number(100), cached);
  const Descriptor* to = writer(file);
  if (from == nullptr || to == nullptr || to->direct()) return;
  const Range in = range(rng_.percent(50)), out = range(rng_.percent(50));
  const std::size_t length = std::min(in.length, out.length);
  if (&source == &file && in.at < out.at + length && out.at < in.at + length) return;
  note("{} bytes from {} at {} to {}", length, source.path, in.at, out.at);
  auto in_at = static_cast<off_t>(in.at), out_at = static_cast<off_t>(out.at);
  const ssize_t copied =
      ::copy_file_range(from->fd.get(), &in_at, to->fd.get(), &out_at, length, 0);
  if (!must(copied >= 0, "copy_file_range") || copied == 0) return;
  file.put(out.at, source.part(in.at, static_cast<std::size_t>(copied)));
}

void Fuzzer::send_file(File& file) {
  File& source = files_[&file == &files_[0] ? 1 : 0];
  const auto cached = [](const Descriptor& d) { return d.reads() && !d.direct(); };
  const Descriptor* from = source.find(number(100), cached);
  const Descriptor* to = writer(file);
  if (from == nullptr || to == nullptr || to->direct()) return;
  const Range in = range(false), out = range(false);
  note("{} bytes from {} at {} to {}", in.length, source.path, in.at, out.at);
  auto in_at = static_cast<off_t>(in.at);
  must(::lseek(to->fd.get(), static_cast<off_t>(out.at), SEEK_SET) >= 0, "lseek");
  const ssize_t sent = ::sendfile(to->fd.get(), from->fd.get(), &in_at, in.length);
  if (!must(sent >= 0, "sendfile") || sent == 0) return;
  file.put(out.at, source.part(in.at, static_cast<std::size_t>(sent)));
}

// Out of a pipe.
void Fuzzer::splice(File& file) {
  const Descriptor* to = writer(file);
  if (to == nullptr || to->direct()) return;
  std::array<int, 2> ends{};
  if (!must(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe")) return;
  const sys::UniqueFd out(ends[0]), in(ends[1]);
  const std::string data = bytes(1 + number(2 * kBlock));
  auto at = static_cast<off_t>(number(kMost / 2));
  const auto begin = static_cast<std::size_t>(at);
  note("descriptor {}, {} bytes at {}", to->fd.get(), data.size(), at);
  must(::write(in.get(), data.data(), data.size()) == static_cast<ssize_t>(data.size()), "write");
  const ssize_t moved = ::splice(out.get(), nullptr, to->fd.get(), &at, data.size(), 0);
  if (must(moved > 0, "splice")) file.put(begin, data.substr(0, static_cast<std::size_t>(moved)));
}

void Fuzzer::change_mode(File& file) {
  must(::chmod(file.path.c_str(), rng_.percent(50) ? 0640 : 0644) == 0, "chmod");
}

void Fuzzer::rename(File& file) {
  const std::string target = file.path.ends_with("-moved")
                                 ? file.path.substr(0, file.path.size() - 6)
                                 : file.path + "-moved";
  if (must(::rename(file.path.c_str(), target.c_str()) == 0, "rename")) file.path = target;
}

void Fuzzer::link(File& file) {
  const std::string other = file.path + "-linked";
  must(::link(file.path.c_str(), other.c_str()) == 0, "link");
  must(::unlink(other.c_str()) == 0, "unlink");
}

}  // namespace layerfs::mixed_io

#include <fcntl.h>

#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "fs/sys/interruption.h"
#include "layerstore/blob.h"
#include "layerstore/check_parts.h"
#include "layerstore/file_util.h"

namespace layerfs::store {

namespace {

constexpr const char* kBlobs = "blobs/sha256";
constexpr std::size_t kPiece = 256 << 10;

// What is wrong with the blob; nothing if it is whole, or has been removed meanwhile.
std::optional<std::string> problem_of(const StoreDir& store, const std::string& name) {
  const std::optional<Digest> digest = Digest::parse_hex(name);
  if (!digest) return "it is no blob, since its name is no digest: remove it by hand";
  const std::string path = std::string(kBlobs) + "/" + name;
  const Result<sys::UniqueFd> fd = open_file(store.fd(), path, O_RDONLY);
  if (!fd && fd.error().code() == ENOENT) return std::nullopt;
  if (!fd) return "it cannot be read, or is no file";
  Hasher hasher;
  std::vector<std::byte> piece(kPiece);
  for (std::uint64_t offset = 0;;) {
    if (sys::interruption_requested()) return std::nullopt;  // told by whoever asked for the check
    const Result<std::size_t> got = read_at(fd->get(), piece, offset);
    if (!got) return "it cannot be read: the disk may be failing";
    hasher.update(std::span(piece).first(*got));
    offset += *got;
    if (*got < piece.size()) break;
  }
  if (hasher.finish() == *digest) return std::nullopt;
  return "its content has another digest: remove it, and import the image again";
}

}  // namespace

Outcome<void> check_blobs(const StoreDir& store, CheckResult& result) {
  const Result<std::vector<std::string>> names = list_dir(store.fd(), kBlobs);
  if (!names) return refuse("cannot list '" + store.path(kBlobs) + "'", names.error());
  result.blobs = names->size();
  std::vector<std::optional<std::string>> found(names->size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < names->size(); i = next++) {
      found[i] = problem_of(store, (*names)[i]);
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) helpers.emplace_back(work);
    work();
  }
  if (sys::interruption_requested()) return sys::interrupted();
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!found[i]) continue;
    add_problem(result, Part::kBlob, (*names)[i],
                "the blob '" + store.path(std::string(kBlobs) + "/" + (*names)[i]) +
                    "' is damaged: " + *found[i]);
  }
  return {};
}

}  // namespace layerfs::store

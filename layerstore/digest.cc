#include "layerstore/digest.h"

#include <cstring>

// The interface below EVP, of which the linker takes only this one function from libcrypto.a. All
// of libcrypto costs a mount, which verifies a few kilobytes, more than a millisecond, and ten
// where it must come from the disk.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

namespace layerfs::store {

namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kDigits = "0123456789abcdef";

// Its functions cannot fail on a context of theirs.
SHA256_CTX* context_of(void* context) { return static_cast<SHA256_CTX*>(context); }

}  // namespace

std::optional<Digest> Digest::parse(std::string_view text) {
  if (!text.starts_with(kPrefix)) return std::nullopt;
  return parse_hex(text.substr(kPrefix.size()));
}

std::optional<Digest> Digest::parse_hex(std::string_view hex) {
  Bytes bytes;
  if (hex.size() != bytes.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::size_t high = kDigits.find(hex[2 * i]);
    const std::size_t low = kDigits.find(hex[2 * i + 1]);
    if (high == kDigits.npos || low == kDigits.npos) return std::nullopt;
    bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return Digest(bytes);
}

Digest Digest::of(std::string_view bytes) {
  Hasher hasher;
  hasher.update(std::as_bytes(std::span(bytes)));
  return hasher.finish();
}

std::string Digest::hex() const {
  std::string hex;
  hex.reserve(bytes_.size() * 2);
  for (const std::uint8_t byte : bytes_) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

Hasher::Hasher() : context_(new SHA256_CTX) { SHA256_Init(context_of(context_.get())); }

void Hasher::Free::operator()(void* context) const { delete context_of(context); }

void Hasher::update(std::span<const std::byte> bytes) {
  SHA256_Update(context_of(context_.get()), bytes.data(), bytes.size());
}

Digest Hasher::finish() {
  Digest::Bytes bytes;
  SHA256_Final(bytes.data(), context_of(context_.get()));
  return Digest(bytes);
}

}  // namespace layerfs::store

std::size_t std::hash<layerfs::store::Digest>::operator()(
    const layerfs::store::Digest& digest) const noexcept {
  std::size_t value;
  std::memcpy(&value, digest.bytes().data(), sizeof value);
  return value;
}

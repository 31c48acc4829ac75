#include "layerstore/digest.h"

#include <cstring>
#include <new>

#include <openssl/evp.h>

namespace layerfs::store {

namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kDigits = "0123456789abcdef";

EVP_MD_CTX* context_of(void* context) { return static_cast<EVP_MD_CTX*>(context); }

// OpenSSL fails here only for want of memory.
void require(int ok) {
  if (ok != 1) throw std::bad_alloc();
}

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

Hasher::Hasher() : context_(EVP_MD_CTX_new()) {
  if (!context_) throw std::bad_alloc();
  require(EVP_DigestInit_ex(context_of(context_.get()), EVP_sha256(), nullptr));
}

void Hasher::Free::operator()(void* context) const { EVP_MD_CTX_free(context_of(context)); }

void Hasher::update(std::span<const std::byte> bytes) {
  require(EVP_DigestUpdate(context_of(context_.get()), bytes.data(), bytes.size()));
}

Digest Hasher::finish() {
  Digest::Bytes bytes;
  unsigned size = bytes.size();
  require(EVP_DigestFinal_ex(context_of(context_.get()), bytes.data(), &size));
  return Digest(bytes);
}

}  // namespace layerfs::store

std::size_t std::hash<layerfs::store::Digest>::operator()(
    const layerfs::store::Digest& digest) const noexcept {
  std::size_t value;
  std::memcpy(&value, digest.bytes().data(), sizeof value);
  return value;
}

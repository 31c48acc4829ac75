// Content addresses: SHA-256 digests as the OCI image specification writes them.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace layerfs::store {

// A SHA-256 digest. Its text form is "sha256:" and 64 lower-case hexadecimal digits; no other text
// is ever accepted, so that a Digest's hex() is always safe as a file name.
class Digest {
 public:
  using Bytes = std::array<std::uint8_t, 32>;

  explicit Digest(const Bytes& bytes) : bytes_(bytes) {}

  // Nothing for any other algorithm, length, case or character.
  static std::optional<Digest> parse(std::string_view text);
  // The same without "sha256:".
  static std::optional<Digest> parse_hex(std::string_view hex);
  static Digest of(std::string_view bytes);

  std::string hex() const;
  std::string text() const { return "sha256:" + hex(); }
  const Bytes& bytes() const { return bytes_; }

  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  Bytes bytes_;
};

// SHA-256 of a stream. Not thread-safe.
class Hasher {
 public:
  Hasher();
  void update(std::span<const std::byte> bytes);
  // The digest of everything so far; the hasher is used up.
  Digest finish();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

}  // namespace layerfs::store

template <>
struct std::hash<layerfs::store::Digest> {
  std::size_t operator()(const layerfs::store::Digest& digest) const noexcept;
};

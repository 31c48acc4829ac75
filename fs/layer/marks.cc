#include "fs/layer/marks.h"

#include <fcntl.h>
#include <linux/limits.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <utility>

namespace layerfs::layer {
namespace {

// struct ovl_fb: version, magic, length of the whole, flags, type of the handle, uuid, handle.
constexpr std::size_t kHeader = 5 + sizeof(sys::Uuid);
constexpr std::uint8_t kVersion = 0;
constexpr std::uint8_t kMagic = 0xfb;
constexpr std::uint8_t kBigEndian = 1;
constexpr std::uint8_t kAnyEndian = 2;
constexpr std::uint8_t kPathUpper = 4;
constexpr std::uint8_t kHostEndian = std::endian::native == std::endian::big ? kBigEndian : 0;

// struct ovl_metacopy: version, length of the whole, flags, digest algorithm, digest.
constexpr std::size_t kMetacopyHeader = 4;

constexpr std::string_view kHexDigits = "0123456789abcdef";

bool flags_are_known(std::uint8_t flags) {
  if ((flags & ~(kBigEndian | kAnyEndian | kPathUpper)) != 0) return false;
  return (flags & kAnyEndian) != 0 || (flags & kBigEndian) == kHostEndian;
}

std::optional<std::uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  return std::nullopt;
}

bool is_valid_component(std::string_view name) {
  return !name.empty() && name.size() <= NAME_MAX && name != "." && name != ".." &&
         name.find('\0') == std::string_view::npos;
}

}  // namespace

std::optional<std::string> format_origin(const Origin& origin) {
  const std::string& fid = origin.handle.bytes;
  if (origin.handle.type < 0 || origin.handle.type > 0xff || fid.size() > MAX_HANDLE_SZ) {
    return std::nullopt;
  }
  std::string value(kHeader, '\0');
  value[0] = static_cast<char>(kVersion);
  value[1] = static_cast<char>(kMagic);
  value[2] = static_cast<char>(kHeader + fid.size());
  value[3] = static_cast<char>(kHostEndian | (origin.upper ? kPathUpper : 0));
  value[4] = static_cast<char>(origin.handle.type);
  std::memcpy(value.data() + 5, origin.uuid.data(), origin.uuid.size());
  return value + fid;
}

std::optional<Origin> parse_origin(std::string_view value) {
  const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(value[at]); };
  if (value.size() < kHeader || byte(0) != kVersion || byte(1) != kMagic ||
      byte(2) != value.size() || !flags_are_known(byte(3))) {
    return std::nullopt;
  }
  const std::string_view fid = value.substr(kHeader);
  // A handle is made of 32-bit words.
  if (fid.empty() || fid.size() > MAX_HANDLE_SZ || fid.size() % 4 != 0) return std::nullopt;
  Origin origin;
  std::memcpy(origin.uuid.data(), value.data() + 5, origin.uuid.size());
  origin.handle = {byte(4), std::string(fid)};
  origin.upper = (byte(3) & kPathUpper) != 0;
  return origin;
}

std::string index_name(std::string_view origin_value) {
  std::string name;
  name.reserve(origin_value.size() * 2);
  for (const char c : origin_value) {
    const auto byte = static_cast<std::uint8_t>(c);
    name += kHexDigits[byte >> 4];
    name += kHexDigits[byte & 15];
  }
  return name;
}

std::optional<std::string> parse_index_name(std::string_view name) {
  if (name.size() % 2 != 0) return std::nullopt;
  std::string value;
  value.reserve(name.size() / 2);
  for (std::size_t at = 0; at < name.size(); at += 2) {
    const auto high = hex_digit(name[at]);
    const auto low = hex_digit(name[at + 1]);
    if (!high || !low) return std::nullopt;
    value += static_cast<char>(*high << 4 | *low);
  }
  if (!parse_origin(value)) return std::nullopt;
  return value;
}

std::string format_nlink(const NlinkMark& mark) {
  std::string value(1, mark.of_upper ? 'U' : 'L');
  if (mark.difference >= 0) value += '+';
  return value + std::to_string(mark.difference);
}

std::optional<NlinkMark> parse_nlink(std::string_view value) {
  // As long as the kernel's buffer.
  if (value.size() < 3 || value.size() > 12) return std::nullopt;
  if ((value[0] != 'U' && value[0] != 'L') || (value[1] != '+' && value[1] != '-')) {
    return std::nullopt;
  }
  const char* end = value.data() + value.size();
  // from_chars takes a minus, but no plus.
  const char* digits = value.data() + (value[1] == '+' ? 2 : 1);
  if (value[2] < '0' || value[2] > '9') return std::nullopt;
  int difference = 0;
  const auto parsed = std::from_chars(digits, end, difference);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return NlinkMark{value[0] == 'U', difference};
}

bool is_valid_redirect(std::string_view value) {
  if (!value.starts_with('/')) {
    return value.find('/') == std::string_view::npos && is_valid_component(value);
  }
  while (!value.empty()) {
    value.remove_prefix(1);
    const std::size_t length = std::min(value.find('/'), value.size());
    if (!is_valid_component(value.substr(0, length))) return false;
    value.remove_prefix(length);
  }
  return true;
}

bool is_valid_metacopy(std::string_view value) {
  if (value.empty()) return true;
  const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(value[at]); };
  return value.size() >= kMetacopyHeader && byte(0) == 0 && byte(1) == value.size() && byte(2) == 0;
}

std::string format_protattr(const Protattr& attr) {
  std::string value;
  if (attr.append) value += 'a';
  if (attr.immutable) value += 'i';
  return value;
}

Protattr parse_protattr(std::string_view value) {
  Protattr attr;
  for (const char letter : value) {
    if (letter == 'a') {
      attr.append = true;
    } else if (letter == 'i') {
      attr.immutable = true;
    } else {
      break;
    }
  }
  return attr;
}

}  // namespace layerfs::layer

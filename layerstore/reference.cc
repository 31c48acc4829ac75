#include "layerstore/reference.h"

#include <algorithm>
#include <array>

namespace layerfs::store {

namespace {

constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestTag = 128;
constexpr std::size_t kLeastDigits = 4;
constexpr std::size_t kDigestDigits = 64;

bool is_lower(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alphanumeric(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }
bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}
bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == text.npos;
}

// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= kLongestTag && text[0] != '.' && text[0] != '-' &&
         std::ranges::all_of(
             text, [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
bool is_component(std::string_view text) {
  while (true) {
    const std::size_t word = std::find_if_not(text.begin(), text.end(), is_lower) - text.begin();
    if (word == 0) return false;
    text.remove_prefix(word);
    if (text.empty()) return true;
    const std::size_t length = std::min(text.find_first_not_of(text[0]), text.size());
    const bool separates =
        text[0] == '-' || (text[0] == '_' && length <= 2) || (text[0] == '.' && length == 1);
    if (!separates) return false;
    text.remove_prefix(length);
  }
}

// HOST or HOST:PORT; a host of one word needs a port, but for "localhost".
bool is_registry(std::string_view text) {
  const std::size_t colon = text.find(':');
  std::string_view host = text.substr(0, colon);
  if (colon != text.npos && !is_number(text.substr(colon + 1))) return false;
  if (colon == text.npos && host != "localhost" && host.find('.') == host.npos) return false;
  while (true) {
    const std::string_view label = host.substr(0, host.find('.'));
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    if (!std::ranges::all_of(label, [](char c) { return is_alphanumeric(c) || c == '-'; }))
      return false;
    if (label.size() == host.size()) return true;
    host.remove_prefix(label.size() + 1);
  }
}

bool is_path(std::string_view text) {
  while (true) {
    const std::string_view component = text.substr(0, text.find('/'));
    if (!is_component(component)) return false;
    if (component.size() == text.size()) return true;
    text.remove_prefix(component.size() + 1);
  }
}

// NAME or NAME:TAG
bool is_tagged_name(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash != text.npos && is_registry(text.substr(0, slash))) text.remove_prefix(slash + 1);
  const std::size_t colon = text.find(':');
  if (colon == text.npos) return is_path(text);
  return is_path(text.substr(0, colon)) && is_tag(text.substr(colon + 1));
}

}  // namespace

bool is_digest_form(std::string_view text) {
  // Names of algorithms, of which this program knows one.
  constexpr std::array<std::string_view, 4> kBegins = {"sha256:", "sha384:", "sha512:", "blake3:"};
  const bool begins =
      std::ranges::any_of(kBegins, [&](std::string_view begin) { return text.starts_with(begin); });
  return begins || (text.size() == kDigestDigits && is_hex(text));
}

bool is_digest_prefix(std::string_view text) {
  return text.size() >= kLeastDigits && text.size() <= kDigestDigits && is_hex(text);
}

std::optional<Reference> parse_reference(std::string_view text) {
  if (is_digest_form(text)) return std::nullopt;
  Reference reference;
  const std::size_t at = text.find('@');
  const std::string_view name = text.substr(0, at);
  if (at != text.npos) {
    reference.digest = Digest::parse(text.substr(at + 1));
    if (!reference.digest) return std::nullopt;
  }
  if (name.size() > kLongestName || is_digest_form(name)) return std::nullopt;
  if (!is_tagged_name(name) && !is_tag(name)) return std::nullopt;
  reference.name = name;
  return reference;
}

bool is_name_of(std::string_view text, const Digest& manifest) {
  const std::optional<Reference> reference = parse_reference(text);
  return reference && (!reference->digest || *reference->digest == manifest);
}

}  // namespace layerfs::store

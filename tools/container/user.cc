#include "tools/container/user.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "layerstore/quote.h"

namespace layerfs::tools {

namespace {

constexpr std::uint32_t kLargestId = 0x7fffffff;

using Fields = std::vector<std::string_view>;

Fields split(std::string_view text, char divider) {
  Fields fields;
  for (;;) {
    const std::size_t end = text.find(divider);
    fields.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return fields;
    text.remove_prefix(end + 1);
  }
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<std::uint32_t> id_of(std::string_view text) {
  std::uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (!is_number(text) || error != std::errc() || id > kLargestId) return std::nullopt;
  return id;
}

// The lines that have `count` fields at least and an id in the third.
std::vector<Fields> entries_of(std::string_view file, std::size_t count) {
  std::vector<Fields> entries;
  for (const std::string_view line : split(file, '\n')) {
    Fields fields = split(line, ':');
    if (fields.size() >= count && id_of(fields[2])) entries.push_back(std::move(fields));
  }
  return entries;
}

// By name, else by number.
const Fields* find_entry(const std::vector<Fields>& entries, std::string_view wanted) {
  const auto named = std::ranges::find_if(
      entries, [&](const Fields& entry) { return !wanted.empty() && entry[0] == wanted; });
  if (named != entries.end()) return &*named;
  const std::optional<std::uint32_t> id = id_of(wanted);
  const auto numbered = std::ranges::find_if(
      entries, [&](const Fields& entry) { return id && id_of(entry[2]) == id; });
  return numbered == entries.end() ? nullptr : &*numbered;
}

Outcome<std::uint32_t> id_or_refuse(std::string_view text, const char* kind, const char* file) {
  if (const auto id = id_of(text)) return *id;
  if (is_number(text)) {
    return refuse("the " + std::string(kind) + " id " + std::string(text) +
                  " is too large: ids end at 2147483647");
  }
  return refuse("the image knows no " + std::string(kind) + " " + store::quote(text) + " (" + file +
                "); a number needs no entry there");
}

std::vector<std::uint32_t> groups_with(const std::vector<Fields>& groups, std::string_view user) {
  std::vector<std::uint32_t> ids;
  for (const Fields& group : groups) {
    if (std::ranges::count(split(group[3], ','), user) > 0) ids.push_back(*id_of(group[2]));
  }
  return ids;
}

}  // namespace

Outcome<ContainerUser> find_user(std::string_view wanted, const UserFiles& files) {
  const std::size_t colon = wanted.find(':');
  const std::string_view name = colon == 0 || wanted.empty() ? "0" : wanted.substr(0, colon);
  const std::string_view group_name =
      colon == std::string_view::npos ? std::string_view() : wanted.substr(colon + 1);
  const std::vector<Fields> users = entries_of(files.passwd, 6);
  const std::vector<Fields> groups = entries_of(files.group, 4);

  ContainerUser user;
  if (const Fields* entry = find_entry(users, name)) {
    user.uid = *id_of((*entry)[2]);
    user.gid = id_of((*entry)[3]).value_or(0);
    if (!(*entry)[5].empty()) user.home = (*entry)[5];
    if (group_name.empty()) user.groups = groups_with(groups, (*entry)[0]);
  } else {
    LAYERFS_TRY_ASSIGN(user.uid, id_or_refuse(name, "user", "/etc/passwd"));
  }
  if (group_name.empty()) return user;
  if (const Fields* entry = find_entry(groups, group_name)) {
    user.gid = *id_of((*entry)[2]);
  } else {
    LAYERFS_TRY_ASSIGN(user.gid, id_or_refuse(group_name, "group", "/etc/group"));
  }
  return user;
}

}  // namespace layerfs::tools

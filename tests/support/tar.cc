#include "tests/support/tar.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace layerfs::test {

namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kNameSize = 100;

std::string padded(std::string data) {
  data.resize((data.size() + kBlock - 1) / kBlock * kBlock, '\0');
  return data;
}

void put(std::string& header, std::size_t at, std::size_t size, const std::string& value) {
  header.replace(at, std::min(size, value.size()), value, 0, size);
}

void put_octal(std::string& header, std::size_t at, std::size_t size, std::uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llo", static_cast<int>(size) - 1,
                static_cast<unsigned long long>(value));
  put(header, at, size, text);
}

std::string header(const TarEntry& entry, char type, const std::string& name, std::size_t size) {
  std::string block(kBlock, '\0');
  put(block, 0, kNameSize, name);
  put_octal(block, 100, 8, entry.mode);
  put_octal(block, 108, 8, entry.uid);
  put_octal(block, 116, 8, entry.gid);
  put_octal(block, 124, 12, size);
  put_octal(block, 136, 12, entry.mtime < 0 ? 0 : static_cast<std::uint64_t>(entry.mtime));
  put(block, 148, 8, "        ");
  block[156] = type;
  put(block, 157, kNameSize, entry.link);
  put(block, 257, 8, std::string("ustar\00000", 8));
  put_octal(block, 329, 8, entry.major);
  put_octal(block, 337, 8, entry.minor);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  put_octal(block, 148, 7, sum);
  return block;
}

// "LENGTH key=value\n", where LENGTH counts itself.
std::string pax_record(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  std::size_t length = rest.size();
  while (std::to_string(length).size() + rest.size() != length) {
    length = std::to_string(length).size() + rest.size();
  }
  return std::to_string(length) + rest;
}

std::string one(const TarEntry& entry) {
  auto pax = entry.pax;
  if (entry.name.size() > kNameSize) pax.emplace_back("path", entry.name);
  if (entry.link.size() > kNameSize) pax.emplace_back("linkpath", entry.link);
  if (entry.mtime < 0) pax.emplace_back("mtime", std::to_string(entry.mtime));
  std::string out;
  if (!pax.empty()) {
    std::string records;
    for (const auto& [key, value] : pax) records += pax_record(key, value);
    out += header(TarEntry{"pax"}, 'x', "pax", records.size()) + padded(records);
  }
  const bool has_data = entry.type == '0' || entry.type == '\0';
  const std::string data = has_data ? entry.data : "";
  return out + header(entry, entry.type, entry.name, data.size()) + padded(data);
}

}  // namespace

TarEntry tar_dir(const std::string& name, unsigned mode) {
  TarEntry entry{name + "/", '5'};
  entry.mode = mode;
  return entry;
}

TarEntry tar_file(const std::string& name, const std::string& data, unsigned mode) {
  TarEntry entry{name, '0', data};
  entry.mode = mode;
  return entry;
}

TarEntry tar_symlink(const std::string& name, const std::string& target) {
  return {name, '2', "", target};
}

TarEntry tar_hard_link(const std::string& name, const std::string& target) {
  return {name, '1', "", target};
}

TarEntry tar_whiteout(const std::string& directory, const std::string& name) {
  return {(directory.empty() ? "" : directory + "/") + ".wh." + name};
}

TarEntry tar_opaque(const std::string& directory) { return tar_whiteout(directory, ".wh..opq"); }

std::string make_unended_tar(const std::vector<TarEntry>& entries) {
  std::string tar;
  for (const TarEntry& entry : entries) tar += one(entry);
  return tar;
}

std::string make_tar(const std::vector<TarEntry>& entries) {
  return make_unended_tar(entries) + std::string(2 * kBlock, '\0');
}

}  // namespace layerfs::test

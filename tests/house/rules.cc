#include "tests/house/rules.h"

#include <algorithm>
#include <array>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

// Module -> what it may include besides itself.
const std::map<std::string, std::set<std::string>, std::less<>>& allowed() {
  static const std::set<std::string> all{"fs/sys",  "fs/layer",   "fs/tree",     "fs/op",
                                         "fs/fuse", "layerstore", "snapshotter", "tools"};
  static const std::map<std::string, std::set<std::string>, std::less<>> table{
      {"fs/sys", {}},
      {"fs/layer", {"fs/sys"}},
      {"fs/tree", {"fs/layer", "fs/sys"}},
      {"fs/op", {"fs/tree", "fs/layer", "fs/sys"}},
      {"fs/fuse", {"fs/op", "fs/tree", "fs/layer", "fs/sys"}},
      {"layerstore", {"fs/layer", "fs/sys"}},
      {"snapshotter", {"layerstore", "fs/layer", "fs/sys"}},
      {"tools", all},
      {"tests", all},
      {"bench", all},
  };
  return table;
}

// Headers of libraries whose types stay inside .cc files.
constexpr std::array<std::string_view, 11> kKeptLibraries{
    "archive.h", "archive_entry.h", "zstd.h", "openssl/",  "nlohmann/", "CLI/",
    "grpc",      "google/",         "zlib.h", "sqlite3.h", "re2/"};

struct Include {
  std::string name;
  bool quoted;
};

std::vector<Include> includes_of(std::string_view content) {
  std::vector<Include> found;
  std::istringstream lines{std::string(content)};
  for (std::string line; std::getline(lines, line);) {
    const auto hash = line.find_first_not_of(" \t");
    if (hash == std::string::npos || line[hash] != '#') continue;
    const auto word = line.find_first_not_of(" \t", hash + 1);
    if (word == std::string::npos || line.compare(word, 7, "include") != 0) continue;
    const auto open = line.find_first_of("<\"", word);
    if (open == std::string::npos) continue;
    const auto close = line.find_first_of(">\"", open + 1);
    if (close == std::string::npos) continue;
    found.push_back({line.substr(open + 1, close - open - 1), line[open] == '"'});
  }
  return found;
}

bool is_libfuse(std::string_view name) {
  const auto slash = name.rfind('/');
  const auto base = slash == std::string_view::npos ? name : name.substr(slash + 1);
  return base.starts_with("fuse") || name.starts_with("fuse3/");
}

bool is_kept_library(std::string_view name) {
  return std::any_of(kKeptLibraries.begin(), kKeptLibraries.end(), [&](std::string_view library) {
    return library.ends_with(".h") ? name == library : name.starts_with(library);
  });
}

std::string judge_quoted(const std::string& from, const std::string& name) {
  const std::string to = module_of(name);
  if (to.empty()) return "\"" + name + "\" is not named by its path from the source root";
  const auto row = allowed().find(from);
  if (from == to || (row != allowed().end() && row->second.contains(to))) return {};
  return from + " may not include " + to + " (\"" + name + "\")";
}

std::string judge_library(const std::string& from, std::string_view path, const std::string& name) {
  // A test may have a file system of its own.
  if (is_libfuse(name) && from != "fs/fuse" && from != "tests")
    return "<" + name + "> belongs to fs/fuse alone";
  if (path.ends_with(".h") && is_kept_library(name)) return "<" + name + "> in a header";
  return {};
}

// What prints, and the one file that may.
const std::vector<std::pair<std::regex, std::string>>& printers() {
  static const std::vector<std::pair<std::regex, std::string>> all{
      {std::regex(R"(\bstd::(cout|cerr|clog|wcout|wcerr|print|println)\b)"), "tools/io.cc"},
      {std::regex(R"(\bfmt::print(ln)?\b)"), ""},
      {std::regex(
           R"((^|[^\w:>.])(::|std::)?(v?f?printf|v?dprintf|puts|fputs|putchar|fputc|fwrite|perror|psignal|v?syslog)\()"),
       ""},
      {std::regex(R"(\bwrite\((STDOUT_FILENO|STDERR_FILENO|[12],))"), ""},
      {std::regex(R"(\bspdlog::\w*_logger_\w+|\bset_(pattern|formatter|default_logger)\()"),
       "tools/log.cc"},
  };
  return all;
}

}  // namespace

std::string module_of(std::string_view path) {
  for (const auto& [module, unused] : allowed())
    if (path.starts_with(module + "/")) return module;
  return {};
}

std::vector<std::string> include_violations(std::string_view path, std::string_view content) {
  const std::string from = module_of(path);
  std::vector<std::string> wrong;
  for (const auto& [name, quoted] : includes_of(content)) {
    const std::string sentence =
        quoted ? judge_quoted(from, name) : judge_library(from, path, name);
    if (!sentence.empty()) wrong.push_back(std::string(path) + ": " + sentence);
  }
  return wrong;
}

std::vector<std::string> output_violations(std::string_view path, std::string_view content) {
  const std::string module = module_of(path);
  if (module.empty() || module == "tests" || module == "bench") return {};
  std::vector<std::string> wrong;
  std::istringstream lines{std::string(content)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line = line.substr(0, line.find("//"));
    for (const auto& [pattern, home] : printers()) {
      if (path == home || !std::regex_search(line, pattern)) continue;
      wrong.push_back(std::string(path) + ":" + std::to_string(number) +
                      ": text for people goes through Output (tools/io.h) and the log: " + line);
    }
  }
  return wrong;
}

std::vector<std::string> opening_violations(std::string_view path, std::string_view content) {
  const std::string module = module_of(path);
  if (!module.starts_with("fs/") || module == "fs/fuse") return {};
  if (path == "fs/sys/file.cc" || path == "fs/sys/file_handle.cc") return {};
  static const std::regex opening(
      R"((^|[^\w:>.])(::|std::)(openat2?|open|open_by_handle_at|creat|fopen|freopen|opendir|truncate|fchmodat|chmod|chown|lchown)\(|\bSYS_(open|openat|openat2|creat|open_by_handle_at)\b|\b[io]?fstream\s+\w+\((?!"/(proc|sys)/|map\)))");
  std::vector<std::string> wrong;
  std::istringstream lines{std::string(content)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line = line.substr(0, line.find("//"));
    if (!std::regex_search(line, opening)) continue;
    wrong.push_back(
        std::string(path) + ":" + std::to_string(number) +
        ": what lies in a layer is opened by fs/sys/file.h, which never waits: " + line);
  }
  return wrong;
}

std::vector<fs::path> source_files(const fs::path& root) {
  std::vector<fs::path> found;
  for (const char* top : {"fs", "layerstore", "snapshotter", "tools", "tests", "bench"}) {
    if (!fs::is_directory(root / top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const auto extension = entry.path().extension();
      if (entry.is_regular_file() && (extension == ".h" || extension == ".cc"))
        found.push_back(entry.path().lexically_relative(root));
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace layerfs::test

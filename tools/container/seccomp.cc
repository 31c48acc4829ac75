#include "tools/container/seccomp.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "layerstore/quote.h"

namespace layerfs::tools {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAdministrators = "/etc/containers/seccomp.json";
constexpr const char* kPackages = "/usr/share/containers/seccomp.json";

// The one of containers-common has 16 kB.
constexpr off_t kLargest = off_t{1} << 20;

struct Architecture {
  const char* name;     // in "arches" of a rule
  const char* seccomp;  // in "archMap"
};
#if defined(__x86_64__)
constexpr Architecture kNative = {"amd64", "SCMP_ARCH_X86_64"};
#elif defined(__i386__)
constexpr Architecture kNative = {"x86", "SCMP_ARCH_X86"};
#elif defined(__aarch64__)
constexpr Architecture kNative = {"arm64", "SCMP_ARCH_AARCH64"};
#elif defined(__arm__)
constexpr Architecture kNative = {"arm", "SCMP_ARCH_ARM"};
#elif defined(__riscv) && __riscv_xlen == 64
constexpr Architecture kNative = {"riscv64", "SCMP_ARCH_RISCV64"};
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
constexpr Architecture kNative = {"ppc64le", "SCMP_ARCH_PPC64LE"};
#elif defined(__s390x__)
constexpr Architecture kNative = {"s390x", "SCMP_ARCH_S390X"};
#else
constexpr Architecture kNative = {"", ""};
#endif

// What a member that may be missing, or null as Go writes it, holds.
Json member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? Json() : *found;
}

std::vector<std::string> words(const Json& object, const char* name) {
  const Json list = member(object, name);
  return list.is_null() ? std::vector<std::string>() : list.get<std::vector<std::string>>();
}

bool holds(const std::vector<std::string>& all, const std::string& one) {
  return std::ranges::find(all, one) != all.end();
}

std::pair<int, int> version_of(const std::string& text) {
  std::pair<int, int> version;
  char dot = 0;
  std::istringstream(text) >> version.first >> dot >> version.second;
  return version;
}

bool is_excluded(const Json& conditions, const SeccompSubject& subject) {
  const auto capabilities = words(conditions, "caps");
  const Json kernel = member(conditions, "minKernel");
  return holds(words(conditions, "arches"), subject.architecture) ||
         std::ranges::any_of(capabilities,
                             [&](const auto& one) { return holds(subject.capabilities, one); }) ||
         (kernel.is_string() && version_of(subject.kernel) >= version_of(kernel));
}

bool is_included(const Json& conditions, const SeccompSubject& subject) {
  const auto architectures = words(conditions, "arches");
  const auto capabilities = words(conditions, "caps");
  const Json kernel = member(conditions, "minKernel");
  return (architectures.empty() || holds(architectures, subject.architecture)) &&
         std::ranges::all_of(capabilities,
                             [&](const auto& one) { return holds(subject.capabilities, one); }) &&
         (!kernel.is_string() || version_of(subject.kernel) >= version_of(kernel));
}

// "EPERM" or "1".
std::optional<int> errno_named(const std::string& name) {
  for (int number = 1; number < 4096; ++number) {
    const char* known = ::strerrorname_np(number);
    if ((known != nullptr && name == known) || name == std::to_string(number)) return number;
  }
  return std::nullopt;
}

// The errno that two members say, of which the one with a name counts. Null if neither does.
Outcome<Json> errno_of(const Json& object, const char* name_member, const char* number_member) {
  const Json name = member(object, name_member);
  if (!name.is_string() || name == "") return member(object, number_member);
  if (const auto number = errno_named(name)) return Json(*number);
  return refuse("there is no error " + store::quote(name.get<std::string>()), EINVAL);
}

Json argument_of(const Json& given) {
  Json argument = {{"index", given.at("index")}, {"value", given.at("value")}};
  const Json second = member(given, "valueTwo");
  if (!second.is_null() && second != 0) argument["valueTwo"] = second;
  argument["op"] = given.at("op");
  return argument;
}

Outcome<Json> rule_of(const Json& given) {
  Json rule = {{"names", words(given, "names")}, {"action", given.at("action")}};
  if (const Json name = member(given, "name"); name.is_string() && name != "")
    rule["names"].push_back(name);
  LAYERFS_TRY_ASSIGN(const Json error, errno_of(given, "errno", "errnoRet"));
  if (!error.is_null()) rule["errnoRet"] = error;
  for (const Json& argument : member(given, "args")) rule["args"].push_back(argument_of(argument));
  return rule;
}

// The architectures whose calls are judged: the machine's and those that it runs as well.
Json architectures_of(const Json& profile, const SeccompSubject& subject) {
  Json all = member(profile, "architectures");
  if (!all.is_array()) all = Json::array();
  for (const Json& entry : member(profile, "archMap")) {
    if (subject.architecture != kNative.name || entry.at("architecture") != kNative.seccomp)
      continue;
    all.push_back(entry.at("architecture"));
    for (const Json& also : member(entry, "subArchitectures")) all.push_back(also);
    break;
  }
  return all;
}

Outcome<Json> filter_of(const Json& profile, const SeccompSubject& subject) {
  Json filter = {{"defaultAction", profile.at("defaultAction").get<std::string>()}};
  LAYERFS_TRY_ASSIGN(const Json error, errno_of(profile, "defaultErrno", "defaultErrnoRet"));
  if (!error.is_null()) filter["defaultErrnoRet"] = error;
  if (const Json all = architectures_of(profile, subject); !all.empty())
    filter["architectures"] = all;
  if (const Json flags = member(profile, "flags"); flags.is_array()) filter["flags"] = flags;
  filter["syscalls"] = Json::array();
  for (const Json& given : member(profile, "syscalls")) {
    if (is_excluded(member(given, "excludes"), subject) ||
        !is_included(member(given, "includes"), subject))
      continue;
    LAYERFS_TRY_ASSIGN(Json rule, rule_of(given));
    filter["syscalls"].push_back(std::move(rule));
  }
  return filter;
}

}  // namespace

Outcome<SeccompProfile> read_seccomp_profile(const std::string& path) {
  struct stat attr = {};
  if (::stat(path.c_str(), &attr) != 0)
    return refuse("the seccomp profile " + store::quote(path) + " cannot be read", Errno::last());
  if (!S_ISREG(attr.st_mode) || attr.st_size > kLargest) {
    return refuse(
        "the seccomp profile " + store::quote(path) + " is no file, or too large for a profile",
        EINVAL);
  }
  std::ifstream file(path);
  SeccompProfile profile{path, {std::istreambuf_iterator<char>(file), {}}};
  if (file) return profile;
  return refuse("the seccomp profile " + store::quote(path) + " cannot be read", EACCES);
}

Outcome<SeccompProfile> default_seccomp_profile() {
  for (const char* path : {kAdministrators, kPackages}) {
    struct stat attr = {};
    // What is there and cannot be read is no reason to take a weaker one.
    if (::stat(path, &attr) == 0 || errno != ENOENT) return read_seccomp_profile(path);
  }
  return refuse(
      fmt::format("there is no seccomp profile at {} or {}: install containers-common (on Debian "
                  "golang-github-containers-common), or give --seccomp FILE, or --seccomp "
                  "unconfined for a container without a filter",
                  kAdministrators, kPackages),
      ENOENT);
}

SeccompSubject seccomp_subject(std::vector<std::string> capabilities) {
  utsname machine = {};
  ::uname(&machine);
  return {std::move(capabilities), kNative.name, machine.release};
}

Outcome<std::string> seccomp_filter(const SeccompProfile& profile, const SeccompSubject& subject) {
  const auto no_profile = [&](const std::string& why) {
    return refuse(store::quote(profile.path) + " is no seccomp profile: " + why, EINVAL);
  };
  try {
    const Json document = Json::parse(profile.text);
    if (!document.is_object()) return no_profile("it is no JSON object");
    if (!document.contains("defaultAction")) return no_profile("it has no defaultAction");
    if (!words(document, "architectures").empty() && !member(document, "archMap").empty())
      return no_profile("it has both architectures and archMap");
    const auto filter = filter_of(document, subject);
    if (!filter) return no_profile(filter.error().sentence);
    return filter->dump();
  } catch (const Json::exception& problem) {
    return no_profile(store::quote(problem.what()));
  }
}

}  // namespace layerfs::tools

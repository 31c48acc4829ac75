// registry_name() and utc_time() of image_store.h.
#include <ctime>
#include <optional>
#include <regex>
#include <string>

#include <fmt/format.h>

#include "layerstore/image_store.h"

namespace layerfs::store {

std::optional<std::string> registry_name(const std::string& name) {
  // The grammar of names in the OCI distribution-spec.
  static const std::regex form(
      "([a-zA-Z0-9-]+(\\.[a-zA-Z0-9-]+)*(:[0-9]+)?)"
      "(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)+"
      ":[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}");
  constexpr std::size_t kLongest = 255;
  if (name.size() > kLongest) return std::nullopt;
  const std::size_t slash = name.find('/');
  const std::string first = name.substr(0, slash);
  const bool has_registry = slash != std::string::npos &&
                            (first == "localhost" || first.find_first_of(".:") != first.npos);
  std::string full = has_registry ? name : "localhost/" + name;
  if (full.find(':', full.rfind('/')) == std::string::npos) full += ":latest";
  if (!std::regex_match(full, form)) return std::nullopt;
  return full;
}

std::string utc_time(const std::string& time) {
  static const std::regex form(
      "([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\\.[0-9]+)?"
      "(Z|([+-])([0-9]{2}):([0-9]{2}))");
  std::smatch found;
  std::time_t seconds = 0;
  if (time.size() < 64 && std::regex_match(time, found, form)) {
    const auto number = [&](std::size_t part) { return std::stoi(found[part].str()); };
    std::tm fields = {};
    fields.tm_year = number(1) - 1900;
    fields.tm_mon = number(2) - 1;
    fields.tm_mday = number(3);
    fields.tm_hour = number(4);
    fields.tm_min = number(5);
    fields.tm_sec = number(6);
    seconds = ::timegm(&fields);
    if (found[9].matched) {
      const int offset = (number(10) * 60 + number(11)) * 60;
      seconds += found[9].str() == "+" ? -offset : offset;
    }
  }
  std::tm utc = {};
  ::gmtime_r(&seconds, &utc);
  if (utc.tm_year < -1900 || utc.tm_year > 9999 - 1900) return "1970-01-01T00:00:00Z";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace layerfs::store

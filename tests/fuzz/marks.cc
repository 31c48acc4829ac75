// The values of marks and owner records, which whoever owns a layer writes.
#include "fs/layer/marks.h"

#include "fs/layer/owner_records.h"
#include "tests/fuzz/fuzz.h"

namespace layer = layerfs::layer;
using layerfs::fuzz::require;

namespace {

void check_origin(std::string_view value) {
  const auto origin = layer::parse_origin(value);
  if (!origin) return;
  const auto written = layer::format_origin(*origin);
  require(written.has_value(), "an origin that was read cannot be written");
  require(layer::parse_origin(*written) == origin, "an origin changes when it is written");
}

void check_index_name(std::string_view value) {
  const auto inner = layer::parse_index_name(value);
  if (inner) require(layer::index_name(*inner) == value, "an index name has two spellings");
}

void check_nlink(std::string_view value) {
  const auto nlink = layer::parse_nlink(value);
  if (nlink) {
    require(layer::parse_nlink(layer::format_nlink(*nlink)) == nlink, "an nlink mark changes");
  }
}

void check_redirect(std::string_view value) {
  if (!layer::is_valid_redirect(value)) return;
  require(!value.empty() && value.find('\0') == std::string_view::npos, "a redirect holds NUL");
  std::string_view rest = value;
  if (rest.starts_with('/')) rest.remove_prefix(1);
  while (true) {
    const std::string_view name = rest.substr(0, rest.find('/'));
    require(!name.empty() && name != "." && name != ".." && name.size() <= 255,
            "a redirect leads out of its layer");
    if (name.size() == rest.size()) return;
    rest.remove_prefix(name.size() + 1);
  }
}

void check_record(std::string_view value) {
  const auto record = layer::parse_record(value);
  if (!record) return;
  require((record->mode & ~07777U) == 0, "a recorded mode has more than permission bits");
  require(layer::parse_record(layer::format_record(*record)) == record, "a record changes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view value = layerfs::fuzz::text_of(data, size);
  check_origin(value);
  check_index_name(value);
  check_nlink(value);
  check_redirect(value);
  check_record(value);
  (void)layer::is_valid_metacopy(value);
  const layer::Protattr attr = layer::parse_protattr(value);
  const layer::Protattr again = layer::parse_protattr(layer::format_protattr(attr));
  require(again == attr, "kept attributes change");
  return 0;
}

// The strings behind -o, of which a user may own a part: names of directories, ids.
#include "tools/mount_options.h"

#include "tests/fuzz/fuzz.h"
#include "tools/id_options.h"
#include "tools/lower_list.h"

namespace tools = layerfs::tools;
namespace fuzz = layerfs::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  tools::MountRequest request;
  if (tools::parse_mount_options(text, request)) (void)tools::check_layers(request);
  if (const auto list = tools::parse_lower_list(text)) {
    fuzz::require(!list->lowers.empty() || !list->data_only.empty(), "a list of no directory");
    for (const std::string& lower : list->lowers) {
      fuzz::require(!lower.empty(), "a lower directory without a name");
    }
  }
  (void)tools::parse_id_map(text);
  (void)tools::parse_squash(text);
  return 0;
}

#include "fs/sys/failure.h"

#include <system_error>

namespace layerfs {

tl::unexpected<Failure> refuse(std::string sentence, Errno error) {
  sentence += ": ";
  sentence += std::generic_category().message(error.code());
  return refuse(std::move(sentence), error.code());
}

}  // namespace layerfs

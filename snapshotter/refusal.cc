#include "snapshotter/refusal.h"

#include <cerrno>

namespace layerfs::snapshotter {

Refusal::Refusal(Failure failure)
    : code(failure.code == ENOSPC || failure.code == EDQUOT ? Code::kExhausted : Code::kInternal),
      sentence(std::move(failure.sentence)) {}

}  // namespace layerfs::snapshotter

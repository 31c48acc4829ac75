// Names from archives in sentences for people.
#pragma once

#include "fs/sys/quote.h"

namespace layerfs::store {

using sys::quote;

}  // namespace layerfs::store

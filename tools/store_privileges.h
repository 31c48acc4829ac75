// What commands of the store may do.
#pragma once

namespace layerfs::tools {

// For a process that works on the store and nothing else: it keeps the capabilities that unpacking
// and indexing an image take (files of everybody, their owners and xattrs, devices), can gain no
// others, and is not to be looked into. Call before there are other threads.
void shed_what_a_store_does_not_need();

}  // namespace layerfs::tools

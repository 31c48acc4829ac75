// Who a container's process runs as: OCI image-spec's Config.User, resolved with the image's own
// /etc/passwd and /etc/group as Docker does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/failure.h"

namespace layerfs::tools {

struct ContainerUser {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;  // supplementary
  std::string home = "/";
};

// The contents of the two files; empty where the image has none.
struct UserFiles {
  std::string passwd;
  std::string group;
};

// "user", "uid", "user:group", "uid:gid" and mixtures; "" is uid 0. A name wins over a number that
// looks like it. A number need not be in the files: the group is then 0 and the home directory /.
// Supplementary groups are those that name the user, unless a group is given. Refuses names that
// the image does not know and ids beyond 2^31 - 1, which runtimes do not take. Lines of the files
// that make no sense are passed over.
Outcome<ContainerUser> find_user(std::string_view wanted, const UserFiles& files);

}  // namespace layerfs::tools

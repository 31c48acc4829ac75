// Which system calls the programs of a container may make: profiles of seccomp, in the form of
// containers-common and Docker, and the filters of runtime-spec that come of them.
#pragma once

#include <string>
#include <vector>

#include "fs/sys/failure.h"

namespace layerfs::tools {

// A profile says for each capability, architecture and kernel what is allowed.
struct SeccompProfile {
  std::string path;
  std::string text;
};

// The profile in that file. Refuses what cannot be read or is larger than a profile.
Outcome<SeccompProfile> read_seccomp_profile(const std::string& path);

// The machine's, where containers-common has it: the administrator's /etc/containers/seccomp.json,
// or the package's /usr/share/containers/seccomp.json. Refuses if there is neither.
Outcome<SeccompProfile> default_seccomp_profile();

// Whom a filter is for.
struct SeccompSubject {
  std::vector<std::string> capabilities;  // the bounding set: "CAP_CHOWN"
  std::string architecture;               // as profiles name it: "amd64"
  std::string kernel;                     // "6.1.0-13-amd64"
};

// A container with these capabilities on this machine.
SeccompSubject seccomp_subject(std::vector<std::string> capabilities);

// The JSON text of runtime-spec's linux.seccomp that the profile means for the subject. A rule that
// is for other capabilities, architectures or kernels is left out. Refuses what is no profile.
Outcome<std::string> seccomp_filter(const SeccompProfile& profile, const SeccompSubject& subject);

}  // namespace layerfs::tools

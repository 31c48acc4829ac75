// What a container is: an image's configuration and the wishes of whoever starts it, turned into
// the config.json of the OCI runtime specification 1.0.2 as image-spec's conversion.md describes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "layerstore/image_config.h"
#include "tools/container/seccomp.h"
#include "tools/container/user.h"

namespace layerfs::tools {

struct Volume {
  std::string source;  // absolute, on the host
  std::string target;  // absolute, in the container
  bool read_only = false;
};

// What is wanted beyond, or instead of, the image's configuration. Empty: as the image says.
struct ContainerOptions {
  std::vector<std::string> command;       // instead of Cmd
  std::optional<std::string> entrypoint;  // instead of Entrypoint and Cmd; "" is none
  std::vector<std::string> env;           // NAME=value, the last of a name wins
  std::string workdir;                    // absolute
  std::string user;                       // as find_user() takes it
  std::string hostname;                   // never empty
  std::vector<Volume> volumes;
  bool host_network = true;               // else a network of its own with nothing but loopback
  std::optional<SeccompProfile> seccomp;  // none: all that its capabilities allow
  bool read_only = false;  // the root directory; the image's volumes stay writable, and are lost
};

// How the machine wants it.
struct Surroundings {
  bool terminal = false;         // the process gets a terminal of its own
  bool cgroup_namespace = true;  // no use with the cgroup v1 hierarchies
  // Without root: the one id that the container's root is outside.
  struct Ids {
    unsigned uid = 0;
    unsigned gid = 0;
  };
  std::optional<Ids> unprivileged;
  // Files beside config.json that take the place of the image's /etc/hosts and /etc/resolv.conf.
  std::vector<std::string> etc_files;
};

// What the container runs.
struct Process {
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  ContainerUser user;
};

// Refuses if neither the image nor the options say what to run, and a working directory that is not
// absolute.
Outcome<Process> process_of(const store::ImageConfig& image, const ContainerOptions& options,
                            const ContainerUser& user, bool terminal);

// The config.json of a bundle whose root directory is "rootfs". Refuses a seccomp profile that is
// none, and text that is not UTF-8: JSON cannot hold it.
Outcome<std::string> runtime_config(const store::ImageConfig& image,
                                    const ContainerOptions& options, const Process& process,
                                    const Surroundings& surroundings);

}  // namespace layerfs::tools

// A daemon without the commands around it, so that it is quick to build once more with the thread
// sanitizer: `daemon mount --foreground -o OPTIONS DIR`, as the oracle starts layerfs.
#include <csignal>
#include <cstdio>
#include <memory>

#include "fs/fuse/session.h"
#include "tools/mount_options.h"

namespace layerfs::test {
namespace {

fuse::Session* session_to_stop = nullptr;

int serve(const char* options, const char* target) {
  tools::MountRequest request;
  request.mount.mountpoint = target;
  if (auto parsed = tools::parse_mount_options(options, request); !parsed) {
    std::fprintf(stderr, "%s\n", parsed.error().sentence.c_str());
    return 2;
  }
  auto session = fuse::Session::mount(request.mount);
  if (!session) {
    std::fprintf(stderr, "%s\n", session.error().sentence.c_str());
    return 1;
  }
  session_to_stop = session->get();
  std::signal(SIGTERM, [](int) { session_to_stop->stop(); });
  return (*session)->serve() ? 0 : 1;
}

}  // namespace
}  // namespace layerfs::test

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: daemon mount --foreground -o OPTIONS DIR\n", stderr);
    return 2;
  }
  return layerfs::test::serve(argv[4], argv[5]);
}

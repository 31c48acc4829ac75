#include "tests/mount/live_mount.h"

#include <chrono>
#include <stdexcept>
#include <utility>

namespace layerfs::test {

LiveMount::LiveMount(const fuse::MountOptions& options) {
  auto session = fuse::Session::mount(options);
  if (!session) throw std::runtime_error(session.error().sentence);
  session_ = *std::move(session);
  server_ = std::thread([this] {
    if (const auto served = session_->serve(); !served) {
      throw std::runtime_error(served.error().sentence);
    }
  });
}

LiveMount::~LiveMount() {
  session_->stop();
  server_.join();
}

std::map<std::string, std::uint64_t> LiveMount::settled_counts() const {
  for (auto before = session_->request_counts();;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    auto now = session_->request_counts();
    if (now == before) return now;
    before = std::move(now);
  }
}

std::map<std::string, std::uint64_t> LiveMount::requests_of(const std::function<void()>& action) {
  const auto before = settled_counts();
  action();
  std::map<std::string, std::uint64_t> made;
  for (const auto& [kind, count] : settled_counts()) {
    const auto known = before.find(kind);
    const std::uint64_t difference = count - (known == before.end() ? 0 : known->second);
    if (difference > 0 && kind != "FORGET") made[kind] = difference;
  }
  return made;
}

}  // namespace layerfs::test

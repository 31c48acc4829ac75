#include "snapshotter/check.h"

namespace layerfs::snapshotter {

namespace {

constexpr std::size_t kMaxKey = 32768;   // of containerd's own database
constexpr std::size_t kMaxLabel = 4096;  // of containerd's service
constexpr std::size_t kMaxLabels = 1024;

bool has_nul(const std::string& text) { return text.find('\0') != text.npos; }

}  // namespace

Answer<void> check_key(const std::string& key, const char* what) {
  const std::string subject = std::string("the ") + what;
  if (key.empty()) return deny(Code::kInvalidArgument, subject + " is empty");
  if (has_nul(key)) return deny(Code::kInvalidArgument, subject + " has a NUL in it");
  if (key.size() > kMaxKey) {
    return deny(Code::kInvalidArgument,
                subject + " is longer than " + std::to_string(kMaxKey) + " bytes");
  }
  return {};
}

Answer<void> check_labels(const Labels& labels) {
  if (labels.size() > kMaxLabels) {
    return deny(Code::kInvalidArgument, "more than " + std::to_string(kMaxLabels) + " labels");
  }
  for (const auto& [name, value] : labels) {
    if (name.empty()) return deny(Code::kInvalidArgument, "a label has no name");
    if (name.size() + value.size() > kMaxLabel) {
      return deny(Code::kInvalidArgument, "the label '" + name.substr(0, 100) +
                                              "' is longer than " + std::to_string(kMaxLabel) +
                                              " bytes");
    }
    if (has_nul(name) || has_nul(value)) {
      return deny(Code::kInvalidArgument, "a label has a NUL in it");
    }
  }
  return {};
}

}  // namespace layerfs::snapshotter

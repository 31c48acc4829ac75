// The seam through which a mount tells of what is wrong with its layers.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "fs/sys/at.h"
#include "fs/sys/result.h"

namespace layerfs::layer {

// Something that is wrong with one object of a layer. The texts may hold any bytes.
struct Problem {
  std::string layer;   // its directory, as the options of the mount name it
  std::string path;    // of the object from the layer's root; empty for the root itself
  std::string reason;  // a clause about the object: "its overlay.redirect is not valid"
  int error = 0;       // the errno that a request got; 0: the cause was ignored
};

class Observer {
 public:
  virtual ~Observer() = default;
  // May be called by any thread, and with locks of the tree held.
  virtual void problem(const Problem& problem) noexcept = 0;
};

// Reports the problems of one layer. A copy reports for the same layer. Thread-safe.
class Reporter {
 public:
  Reporter() = default;  // tells nobody
  // `root` is a descriptor of the layer's root; it and the observer outlive the reporter.
  Reporter(Observer& observer, std::string layer, int root);

  // Tells why a request fails with `error`, and returns that for the caller to pass on.
  tl::unexpected<Errno> failed(const sys::At& at, Errno error, std::string_view reason) const;
  // The same for an object named by its path from the layer's root.
  tl::unexpected<Errno> failed(std::string path, Errno error, std::string_view reason) const;

  // Tells that something at an object is broken and has no effect.
  void ignored(const sys::At& at, std::string_view reason) const;

 private:
  struct Layer {
    Observer& observer;
    std::string name;
    int root;
  };

  void tell(std::string path, std::string_view reason, int error) const;
  std::string path_of(const sys::At& at) const;

  std::shared_ptr<const Layer> layer_;  // null: tells nobody
};

// Whether the error says that the file system of a layer is damaged or its disk fails, rather than
// that an object is absent or that the daemon lacks a right or a resource.
bool is_fault(Errno error);

}  // namespace layerfs::layer

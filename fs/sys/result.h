// Errors of system calls as values.
#pragma once

#include <cerrno>

#include <tl/expected.hpp>

namespace layerfs {

// The errno of a system call that failed, or one that the file system itself decides on.
// Never 0: success is the other side of a Result.
class [[nodiscard]] Errno {
 public:
  explicit constexpr Errno(int code) : code_(code) {}

  // The errno that the calling thread's last failed system call left.
  static Errno last() { return Errno(errno); }

  constexpr int code() const { return code_; }
  friend constexpr bool operator==(Errno, Errno) = default;

 private:
  int code_;
};

// A value, or the errno that took its place.
template <typename T>
using Result = tl::expected<T, Errno>;

// The error side of any Result: `return fail(ENOENT);`
inline tl::unexpected<Errno> fail(int code) { return tl::unexpected<Errno>(Errno(code)); }
inline tl::unexpected<Errno> fail(Errno error) { return tl::unexpected<Errno>(error); }

}  // namespace layerfs

// Evaluates `expr`, a Result or Outcome, and returns its error from the enclosing function if it
// holds one. The _ASSIGN form binds the value: LAYERFS_TRY_ASSIGN(UniqueFd fd, open_at(...)).
#define LAYERFS_TRY(expr)                                                \
  do {                                                                   \
    if (auto layerfs_try_result = (expr); !layerfs_try_result)           \
      return tl::make_unexpected(std::move(layerfs_try_result.error())); \
  } while (false)

#define LAYERFS_CONCAT_INNER(a, b) a##b
#define LAYERFS_CONCAT(a, b) LAYERFS_CONCAT_INNER(a, b)
#define LAYERFS_TRY_ASSIGN(declaration, expr) \
  LAYERFS_TRY_ASSIGN_TO(LAYERFS_CONCAT(layerfs_result_, __LINE__), declaration, expr)
#define LAYERFS_TRY_ASSIGN_TO(holder, declaration, expr)              \
  auto holder = (expr);                                               \
  if (!holder) return tl::make_unexpected(std::move(holder.error())); \
  declaration = std::move(*holder)

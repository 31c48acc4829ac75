#include "fs/sys/syscall_filter.h"

#include <cerrno>
#include <memory>

#include <fmt/format.h>

#include "fs/sys/config.h"

#if LAYERFS_HAS_SECCOMP
#include <seccomp.h>
#endif

namespace layerfs::sys {

#if LAYERFS_HAS_SECCOMP

namespace {

struct Release {
  void operator()(void* filter) const noexcept { ::seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

tl::unexpected<Failure> failed(const char* what, int negative_errno) {
  return refuse(fmt::format("the filter of system calls cannot be made ({})", what),
                Errno(-negative_errno));
}

// Of what the filter does not allow the kernel's log tells if `told`.
Outcome<Filter> make_filter(std::uint32_t otherwise, bool told) {
  Filter filter(::seccomp_init(otherwise));
  if (!filter) return failed("no memory", -ENOMEM);
  int done = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, otherwise);
  // Threads of libfuse are there already.
  if (done == 0) done = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (done != 0) return failed("its attributes", done);
  // Without these it is slower, or quiet, on old kernels. Those before 5.16 make filtered processes
  // slow against an attack by programs that run in them, and none do.
  for (const auto attribute : {SCMP_FLTATR_CTL_SSB, SCMP_FLTATR_API_SYSRAWRC})
    ::seccomp_attr_set(filter.get(), attribute, 1);
  ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (told) ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1);
  return filter;
}

Outcome<void> add_rule(scmp_filter_ctx filter, const SyscallRule& rule, std::uint32_t action) {
  int number = ::seccomp_syscall_resolve_name(rule.name.c_str());
  if (number == __NR_SCMP_ERROR) number = rule.number;
  if (number == __NR_SCMP_ERROR) return {};
  std::vector<scmp_arg_cmp> conditions;
  for (const ArgumentRule& argument : rule.arguments)
    conditions.push_back({argument.argument, SCMP_CMP_MASKED_EQ, argument.mask, argument.value});
  const int done = ::seccomp_rule_add_array(
      filter, action, number, static_cast<unsigned>(conditions.size()), conditions.data());
  // libseccomp knows the name, and this architecture has no such call.
  if (done < 0 && done != -EDOM) return failed(rule.name.c_str(), done);
  return {};
}

Outcome<void> load(scmp_filter_ctx filter) {
  if (const int done = ::seccomp_load(filter); done < 0)
    return refuse("the kernel takes no filter of system calls", Errno(-done));
  return {};
}

// A filter of its own, since the kernel tells of all that a filter refuses, or of nothing.
Outcome<void> refuse_quietly(std::span<const char* const> missing) {
  LAYERFS_TRY_ASSIGN(const Filter filter, make_filter(SCMP_ACT_ALLOW, false));
  for (const char* name : missing)
    LAYERFS_TRY(add_rule(filter.get(), {name}, SCMP_ACT_ERRNO(ENOSYS)));
  return load(filter.get());
}

}  // namespace

bool filters_syscalls() { return true; }

Outcome<void> allow_only(std::span<const SyscallRule> rules, std::span<const char* const> missing,
                         Refused refused) {
  if (!missing.empty()) LAYERFS_TRY(refuse_quietly(missing));
  const std::uint32_t otherwise =
      refused == Refused::kKilled ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(ENOSYS);
  LAYERFS_TRY_ASSIGN(const Filter filter, make_filter(otherwise, true));
  for (const SyscallRule& rule : rules) LAYERFS_TRY(add_rule(filter.get(), rule, SCMP_ACT_ALLOW));
  for (const char* name : missing) LAYERFS_TRY(add_rule(filter.get(), {name}, SCMP_ACT_ALLOW));
  return load(filter.get());
}

#else

bool filters_syscalls() { return false; }

Outcome<void> allow_only(std::span<const SyscallRule>, std::span<const char* const>, Refused) {
  return refuse("this build has no filter of system calls (libseccomp)", ENOSYS);
}

#endif

}  // namespace layerfs::sys

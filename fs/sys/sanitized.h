// Whether this build carries a sanitizer, which makes system calls of its own.
#pragma once

namespace layerfs::sys {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LAYERFS_ADDRESS_SANITIZER 1
#endif
#if __has_feature(thread_sanitizer)
#define LAYERFS_THREAD_SANITIZER 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(LAYERFS_ADDRESS_SANITIZER)
inline constexpr bool kAddressSanitized = true;
#else
inline constexpr bool kAddressSanitized = false;
#endif

#if defined(__SANITIZE_THREAD__) || defined(LAYERFS_THREAD_SANITIZER)
inline constexpr bool kThreadSanitized = true;
#else
inline constexpr bool kThreadSanitized = false;
#endif

}  // namespace layerfs::sys

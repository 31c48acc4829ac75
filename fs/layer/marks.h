// The values of kernel overlayfs's marks: the format of an upper layer on disk. Pure functions.
// Sources: fs/overlayfs/overlayfs.h, namei.c, copy_up.c, util.c of Linux.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fs/sys/file_handle.h"

namespace layerfs::layer {

// The suffixes for XattrNames::mark(), and on what they lie.
namespace mark {
inline constexpr std::string_view kOpaque = "opaque";      // directory: kOpaqueValue or kXWhiteouts
inline constexpr std::string_view kRedirect = "redirect";  // directory or metacopy file
inline constexpr std::string_view kOrigin = "origin";      // anything copied up; index entries
inline constexpr std::string_view kImpure = "impure";      // directory: kYes
inline constexpr std::string_view kNlink = "nlink";        // hard-linked file: format_nlink()
inline constexpr std::string_view kUpper = "upper";  // the index, directories in it: an Origin
inline constexpr std::string_view kLower = "lower";  // the index: an Origin, ours alone
inline constexpr std::string_view kUuid = "uuid";    // root of the upper: 16 bytes
inline constexpr std::string_view kMetacopy = "metacopy";  // file without its data
inline constexpr std::string_view kProtattr = "protattr";  // file: format_protattr()
inline constexpr std::string_view kWhiteout = "whiteout";  // empty regular file, any value
}  // namespace mark

inline constexpr std::string_view kYes = "y";
// opaque=y: what lies below the directory is hidden. opaque=x: the directory may hold whiteouts by
// xattr (and, on the root of a layer, so may those below it).
inline constexpr std::string_view kOpaqueValue = "y";
inline constexpr std::string_view kXWhiteouts = "x";

// A file as the marks `origin` and `upper` and the names in work/index name it.
struct Origin {
  sys::Uuid uuid = {};     // of its file system; zeroes with uuid=off
  sys::FileHandle handle;  // type 0 to 255
  bool upper = false;      // it lies in the upper layer
  friend bool operator==(const Origin&, const Origin&) = default;
};

// The value of `origin` and `upper` (struct ovl_fb). Nothing for a handle that does not fit into
// the format; kernel overlayfs then writes an empty value, which says: copied up, origin unknown.
std::optional<std::string> format_origin(const Origin& origin);

// Nothing if the origin is unknown: empty, malformed, from a later version or from a machine of
// the other byte order.
std::optional<Origin> parse_origin(std::string_view value);

// The name in work/index of a file that was copied up from `origin_value` (of format_origin()).
std::string index_name(std::string_view origin_value);

// The value behind the name of an index entry; nothing if it is not such a name.
std::optional<std::string> parse_index_name(std::string_view name);

// `nlink` of an indexed file says by how much its link count on the overlay is off from that of an
// inode: the upper ("U+1") once it is copied up, while copying the lower ("L-2").
struct NlinkMark {
  bool of_upper = true;
  int difference = 0;
  friend bool operator==(const NlinkMark&, const NlinkMark&) = default;
};
std::string format_nlink(const NlinkMark& mark);
std::optional<NlinkMark> parse_nlink(std::string_view value);

// Whether `redirect` names where the object lies in the layers below: one name in the same
// directory there, or an absolute path from the layers' root; no empty, "." or ".." component, and
// none above NAME_MAX.
bool is_valid_redirect(std::string_view value);

// Whether the value of `metacopy` is one that we understand: the data lies in a layer below,
// with a digest (fs-verity) or without. The kernel fails the lookup with EIO otherwise.
bool is_valid_metacopy(std::string_view value);

// Attributes that chattr(1) sets and that are kept aside, for the upper file itself must stay
// writable.
struct Protattr {
  bool append = false;
  bool immutable = false;
  friend bool operator==(const Protattr&, const Protattr&) = default;
};
std::string format_protattr(const Protattr& attr);  // empty: remove the mark
Protattr parse_protattr(std::string_view value);    // ends at the first unknown letter

}  // namespace layerfs::layer

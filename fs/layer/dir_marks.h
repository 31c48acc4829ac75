// What a directory or file of a layer says about itself beyond its attributes.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <string_view>

#include "fs/layer/observer.h"
#include "fs/layer/xattr_names.h"
#include "fs/sys/at.h"
#include "fs/sys/result.h"

namespace layerfs::layer {

// The overlay.* xattrs of one inode (Documentation/filesystems/overlayfs.rst).
struct Marks {
  bool opaque = false;           // nothing of the layers below shows in this directory
  bool xattr_whiteouts = false;  // regular files in it may be whiteouts by xattr (opaque=x)
  bool metacopy = false;         // the data is in a layer below
  bool impure = false;           // entries in it carry origin: their d_ino is not their st_ino
  std::string redirect;          // where in the layers below this object lies; empty: same name
  bool has_origin = false;       // copied up, from where if known:
  std::string origin;            // value for parse_origin()
  std::string nlink;             // value for parse_nlink()
  std::string protattr;          // value for parse_protattr()
};

// Reads the marks of what is `at`. EINVAL for a redirect and EIO for a metacopy that is not
// understood, as the object below cannot be known then; the errno of the read for a mark that is
// there and cannot be read. `reporter`, that of the layer, tells the reason of either, and which
// other marks are not understood and ignored. One system call where there is no mark.
Result<Marks> read_marks(const sys::At& at, const XattrNames& names, const Reporter& reporter);

// An entry of one layer's directory.
struct Listed {
  const char* name;    // NUL-terminated, valid during the call only
  unsigned char type;  // DT_*, never DT_UNKNOWN; of a whiteout DT_UNKNOWN
  ino_t ino;           // of the layer's own inode
  bool whiteout;       // hides the name in the layers below, is not there itself
};

// How whiteouts are spelt in the directory being read.
struct Dialect {
  bool aufs = false;             // `.wh.NAME` and `.wh..wh..opq`
  bool xattr_whiteouts = false;  // empty regular files with overlay.whiteout
};

// Calls `fn` for each entry of the directory `dirfd` (open for reading), whiteouts of all dialects
// decoded. 0:0 character devices are whiteouts in each dialect. An entry and its AUFS whiteout may
// both come, in any order: the whiteout then speaks of the layers below only. The result says
// whether the listing itself made the directory opaque.
Result<bool> list_entries(int dirfd, Dialect dialect, const XattrNames& names,
                          const std::function<Result<void>(const Listed&)>& fn);

// Whether the inode `at`, whose attributes are `st`, is a whiteout by its device number or by
// xattr.
Result<bool> is_whiteout(const sys::At& at, const struct stat& st, const XattrNames& names);

// True for a name that the AUFS dialect reserves.
bool is_aufs_name(std::string_view name);

// Whether the directory `dirfd` holds the AUFS marker of an opaque directory, or the AUFS whiteout
// of `name`.
Result<bool> has_aufs_opaque(int dirfd);
Result<bool> has_aufs_whiteout(int dirfd, std::string_view name);

}  // namespace layerfs::layer

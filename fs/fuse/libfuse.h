// The one door to libfuse: fixes the version of the interface that fs/fuse is written against.
#pragma once

#define FUSE_USE_VERSION 317
#include <fuse_lowlevel.h>

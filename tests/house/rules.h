// The rules of the house that a program can check.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace layerfs::test {

// The module that a path (relative to the source root, '/'-separated) belongs to: "fs/sys", ...,
// "layerstore", "tools", "tests", "bench"; empty if it is none of them.
std::string module_of(std::string_view path);

// What is wrong with the #include lines of the file at `path` with this content, a sentence each:
// includes that point up the table of doc/architecture.md, libfuse outside fs/fuse, a kept library
// in a header, a header of ours named by anything but its path from the root.
std::vector<std::string> include_violations(std::string_view path, std::string_view content);

// The lines of the file that print past tools::Output, by which all text reaches people, or that
// make a logger past tools/log.h, a sentence each. Only the files that these are made in may.
std::vector<std::string> output_violations(std::string_view path, std::string_view content);

// The lines of a file of fs/ (fs/fuse reads no layers) that open something past fs/sys/file.h, or
// change what a path names and follow it, a sentence each.
std::vector<std::string> opening_violations(std::string_view path, std::string_view content);

// Every C++ source and header of the project below `root`, relative to it and sorted.
std::vector<std::filesystem::path> source_files(const std::filesystem::path& root);

}  // namespace layerfs::test

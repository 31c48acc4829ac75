#include "tools/commands.h"
#include "tools/io.h"

int main(int argc, char** argv) {
  layerfs::tools::Io io = layerfs::tools::standard_io();
  return layerfs::tools::run_layerfs(layerfs::tools::Args(argv + 1, argv + argc), io);
}

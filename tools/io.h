// What a command prints to: the terminal in the program, strings in a test.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include "fs/sys/quote.h"

namespace layerfs::tools {

// The one way by which text reaches people. Names, images and other users' mounts may hold bytes
// that a terminal takes for commands, or that imitate lines of ours: all text that is handed over
// as a value is escaped (sys::escaped), also its newlines and tabs. Only what the program's source
// says itself, the format, is printed as it is. A pipe or file gets the same; programs read
// documents. Not thread-safe. Borrows the stream.
class Output {
  template <typename Value>
  static constexpr bool kIsText = std::is_convertible_v<const Value&, std::string_view>;
  template <typename Value>
  using Shown = std::conditional_t<kIsText<Value>, std::string, std::remove_cvref_t<Value>>;

 public:
  // Not explicit: a test writes Io{out, err} with streams of its own.
  Output(std::ostream& sink) : sink_(&sink) {}  // NOLINT(google-explicit-constructor)

  // As fmt::format(), with every text among the values escaped.
  template <typename... Values>
  void print(fmt::format_string<Shown<Values>...> format, const Values&... values) {
    write(fmt::format(format, shown(values)...));
  }

  // Lines that a library of ours has put together (--help): newlines stay, all else is escaped.
  void lines(std::string_view text);

  // Columns of equal width, two spaces between them; the first row is the heading.
  void table(const std::vector<std::vector<std::string>>& rows);

  // One JSON document, and a newline. It says exactly what `json` says, but what a terminal would
  // take for a command or for a change of direction is written as \uHHHH.
  void document(std::string_view json);

  void flush();
  // Flushes; false if what was printed could not be written.
  [[nodiscard]] bool finish();

 private:
  template <typename Value>
  static Shown<Value> shown(const Value& value) {
    static_assert(kIsText<Value> || std::is_arithmetic_v<Value>, "hand over its text");
    if constexpr (kIsText<Value>) {
      return sys::escaped(value);
    } else {
      return value;
    }
  }

  void write(std::string_view text);

  std::ostream* sink_;
};

struct Io {
  Output out;                // results: what a pipe reads
  Output err;                // errors, warnings, progress: what a person reads
  bool is_terminal = false;  // err is a terminal: progress bars may be drawn there
  int width = 80;            // columns of that terminal
};

// std::cout and std::cerr, with the properties of standard error's terminal.
Io standard_io();

// Opens what is closed of the standard descriptors, so that no file that is opened later is taken
// for one of them. Reading finds the end, writing fails.
void fill_standard_descriptors();

// At the end of a program whose exit status would be `status`: the exit status, which is not 0 if
// the results could not be written. Then a sentence says so.
int finish_output(Io& io, int status);

}  // namespace layerfs::tools

#include "snapshotter/filter.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <re2/re2.h>

namespace layerfs::snapshotter {

namespace {

constexpr std::size_t kMaxLength = 64 << 10;

bool is_field_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool is_quote(char c) { return c == '"' || c == '/' || c == '|'; }

void append_utf8(std::string& out, unsigned long code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

}  // namespace

class Filters::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Answer<std::vector<Selector>> run() {
    std::vector<Selector> selectors;
    while (true) {
      LAYERFS_TRY_ASSIGN(Selector selector, selector_here());
      selectors.push_back(std::move(selector));
      skip_space();
      if (at_ == text_.size()) return selectors;
      if (text_[at_] != ',') return refuse_here("expected ',' or the end");
      ++at_;
    }
  }

 private:
  tl::unexpected<Refusal> refuse_here(const char* what) const {
    return deny(Code::kInvalidArgument, "the filter '" + std::string(text_.substr(0, 200)) +
                                            "' is malformed at character " + std::to_string(at_) +
                                            ": " + what);
  }

  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }

  Answer<Selector> selector_here() {
    Selector selector;
    while (true) {
      LAYERFS_TRY_ASSIGN(std::string part, field_part());
      selector.field.push_back(std::move(part));
      if (at_ == text_.size() || text_[at_] != '.') break;
      ++at_;
    }
    skip_space();
    if (at_ == text_.size() || text_[at_] == ',') return selector;
    LAYERFS_TRY_ASSIGN(selector.what, operator_here());
    LAYERFS_TRY_ASSIGN(selector.value, value_here());
    if (selector.what == Operator::kMatches) {
      re2::RE2::Options options;
      options.set_log_errors(false);
      selector.regex = std::make_shared<const re2::RE2>(selector.value, options);
      if (!selector.regex->ok()) return refuse_here("the regular expression is not valid");
    }
    return selector;
  }

  Answer<std::string> field_part() {
    skip_space();
    if (at_ < text_.size() && is_quote(text_[at_])) return quoted();
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_field_character(text_[at_])) ++at_;
    if (at_ == begin) return refuse_here("expected a field");
    return std::string(text_.substr(begin, at_ - begin));
  }

  Answer<Operator> operator_here() {
    const std::string_view word = text_.substr(at_, 2);
    at_ += word.size();
    if (word == "==") return Operator::kEqual;
    if (word == "!=") return Operator::kNotEqual;
    if (word == "~=") return Operator::kMatches;
    return refuse_here("expected ==, != or ~=");
  }

  Answer<std::string> value_here() {
    skip_space();
    if (at_ < text_.size() && is_quote(text_[at_])) return quoted();
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' &&
           std::isspace(static_cast<unsigned char>(text_[at_])) == 0) {
      ++at_;
    }
    if (at_ == begin) return refuse_here("expected a value");
    return std::string(text_.substr(begin, at_ - begin));
  }

  Answer<std::string> quoted() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      if (text_[at_] != '\\') {
        out += text_[at_++];
        continue;
      }
      ++at_;
      LAYERFS_TRY(escape(quote, out));
    }
    if (at_ == text_.size() || text_[at_] != quote) return refuse_here("the quote has no end");
    ++at_;
    return out;
  }

  Answer<void> escape(char quote, std::string& out) {
    if (at_ == text_.size()) return refuse_here("an escape has no end");
    const char c = text_[at_++];
    static constexpr std::string_view kNames = "abfnrtv\\";
    static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\";
    if (const std::size_t known = kNames.find(c); known != kNames.npos) {
      out += kMeanings[known];
    } else if (c == quote) {
      out += c;
    } else if (c == 'x') {
      LAYERFS_TRY_ASSIGN(const unsigned long code, digits(2, 16));
      out += static_cast<char>(code);
    } else if (c == 'u' || c == 'U') {
      LAYERFS_TRY_ASSIGN(const unsigned long code, digits(c == 'u' ? 4 : 8, 16));
      if (code > 0x10ffff) return refuse_here("there is no such character");
      append_utf8(out, code);
    } else if (c >= '0' && c <= '7') {
      --at_;
      LAYERFS_TRY_ASSIGN(const unsigned long code, digits(3, 8));
      if (code > 0xff) return refuse_here("there is no such byte");
      out += static_cast<char>(code);
    } else {
      return refuse_here("an unknown escape");
    }
    return {};
  }

  Answer<unsigned long> digits(std::size_t count, unsigned base) {
    unsigned long code = 0;
    for (std::size_t i = 0; i < count; ++i, ++at_) {
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      unsigned digit = 99;
      if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
      if (c >= 'a' && c <= 'f') digit = static_cast<unsigned>(c - 'a') + 10;
      if (c >= 'A' && c <= 'F') digit = static_cast<unsigned>(c - 'A') + 10;
      if (digit >= base) return refuse_here("an escape is too short");
      code = code * base + digit;
    }
    return code;
  }

  const std::string_view text_;
  std::size_t at_ = 0;
};

Answer<Filters> Filters::parse(const std::vector<std::string>& texts) {
  Filters filters;
  for (const std::string& text : texts) {
    if (text.size() > kMaxLength) return deny(Code::kInvalidArgument, "a filter is too long");
    std::vector<Selector> selectors;  // none: everything matches
    if (!text.empty()) {
      LAYERFS_TRY_ASSIGN(selectors, Parser(text).run());
    }
    filters.filters_.push_back(std::move(selectors));
  }
  return filters;
}

std::optional<std::string> Filters::value_of(const Info& info,
                                             const std::vector<std::string>& field) {
  if (field[0] == "name") return info.name;
  if (field[0] == "parent") return info.parent;
  if (field[0] == "kind") {
    return info.kind == Kind::kActive ? "active" : info.kind == Kind::kView ? "view" : "committed";
  }
  if (field[0] != "labels") return std::nullopt;
  std::string name;
  for (std::size_t i = 1; i < field.size(); ++i) name += (i > 1 ? "." : "") + field[i];
  const auto found = info.labels.find(name);
  if (found == info.labels.end()) return std::nullopt;
  return found->second;
}

bool Filters::holds(const Selector& selector, const Info& info) {
  const std::optional<std::string> value = value_of(info, selector.field);
  switch (selector.what) {
    case Operator::kPresent:
      return value.has_value();
    case Operator::kEqual:
      return value == selector.value;
    case Operator::kNotEqual:
      return value.value_or("") != selector.value;
    case Operator::kMatches:
      return re2::RE2::PartialMatch(value.value_or(""), *selector.regex);
  }
  return false;
}

bool Filters::match(const Info& info) const {
  return filters_.empty() || std::ranges::any_of(filters_, [&](const auto& selectors) {
           return std::ranges::all_of(
               selectors, [&](const Selector& selector) { return holds(selector, info); });
         });
}

}  // namespace layerfs::snapshotter

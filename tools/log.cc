#include "tools/log.h"

#include <syslog.h>

#include <memory>
#include <utility>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include "fs/sys/quote.h"

namespace layerfs::tools {

namespace {

// The message itself, in a pattern. Whoever logs need not know which part came from outside.
class EscapedMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text = sys::escaped({message.payload.data(), message.payload.size()});
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<EscapedMessage>();
  }
};

constexpr char kMessage = '*';

void log_by(std::shared_ptr<spdlog::logger> logger, const std::string& before) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<EscapedMessage>(kMessage).set_pattern(before + "%" + kMessage);
  logger->set_formatter(std::move(formatter));
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

void log_to_stderr(const std::string& program) {
  log_by(spdlog::stderr_logger_mt(program + "-stderr"), program + ": %l: ");
}

void log_to_syslog() {
  constexpr bool kUseFormatter = true;
  log_by(spdlog::syslog_logger_mt("layerfs-daemon", "layerfs", LOG_PID, LOG_DAEMON, kUseFormatter),
         "");
}

}  // namespace layerfs::tools

// One message each way over a TLS stream, with a deadline for all of it; part of the join.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <string>

#include "runtime/crypto/byte_io.h"
#include "runtime/net/http_handover.h"

namespace hs {

class JoinExchange : public std::enable_shared_from_this<JoinExchange> {
 public:
  using ErrorCode = boost::system::error_code;

  explicit JoinExchange(TlsStream stream) : stream_(std::move(stream)), deadline_(stream_.get_executor()) {}

  TlsStream& stream() { return stream_; }

  void Deadline(std::chrono::nanoseconds in) {
    deadline_.expires_after(in);
    deadline_.async_wait([weak = weak_from_this()](ErrorCode stopped) {
      if (const auto late = stopped ? nullptr : weak.lock()) late->Close();
    });
  }

  void Close() {
    ErrorCode ignored;
    deadline_.cancel();
    stream_.next_layer().close(ignored);
  }

  void Send(std::string_view message, std::function<void(ErrorCode)> done) {
    ByteWriter writer;
    writer.String(message);
    out_ = writer.Take();
    boost::asio::async_write(stream_, boost::asio::buffer(out_),
                             [self = shared_from_this(), done = std::move(done)](
                                 ErrorCode failure, std::size_t) { done(failure); });
  }

  void Receive(std::size_t size_max, std::function<void(ErrorCode, std::string_view)> done) {
    in_.resize(4);
    boost::asio::async_read(stream_, boost::asio::buffer(in_),
                            [self = shared_from_this(), size_max, done](ErrorCode failure, std::size_t) {
                              const std::uint64_t size = ByteReader(self->in_).Number(4);
                              if (!failure && size > size_max) failure = boost::asio::error::message_size;
                              if (failure) return done(failure, {});
                              self->in_.resize(size);
                              self->ReceiveBody(done);
                            });
  }

 private:
  void ReceiveBody(const std::function<void(ErrorCode, std::string_view)>& done) {
    boost::asio::async_read(
        stream_, boost::asio::buffer(in_),
        [self = shared_from_this(), done](ErrorCode failure, std::size_t) { done(failure, self->in_); });
  }

  TlsStream stream_;
  boost::asio::steady_timer deadline_;
  std::string out_;
  std::string in_;
};

}  // namespace hs

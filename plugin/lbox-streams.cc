#include "plugin/lbox-streams.h"

#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

namespace {

// The C part must come first: Dovecot passes pointers to it.
struct body_istream {
  struct istream_private istream;
  lbox::BodyReader* reader;
};

struct body_ostream {
  struct ostream_private ostream;
  lbox::BodyWriter* writer;
  std::string* held;
  lbox::Status* status;
  bool started;
};

body_istream* from(struct istream_private* stream) {
  return reinterpret_cast<body_istream*>(stream);
}
body_ostream* from(struct ostream_private* stream) {
  return reinterpret_cast<body_ostream*>(stream);
}

int fail(body_ostream* stream, const lbox::Status& status) {
  *stream->status = status;
  stream->ostream.ostream.stream_errno = status.code() == lbox::Code::kNoSpace ? ENOSPC : EIO;
  io_stream_set_error(&stream->ostream.iostream, "%s", status.message().c_str());
  return -1;
}

int append(body_ostream* stream, const void* data, size_t size) {
  if (!stream->started) {
    stream->held->append(static_cast<const char*>(data), size);
    return 0;
  }
  const lbox::Status status = stream->writer->Append(data, size);
  return status.ok() ? 0 : fail(stream, status);
}

extern "C" {

static ssize_t body_istream_read(struct istream_private* stream) noexcept {
  body_istream* body = from(stream);
  size_t room = 0;
  if (!i_stream_try_alloc(stream, 1, &room)) {
    return -2;
  }
  const uoff_t offset = stream->istream.v_offset + (stream->pos - stream->skip);
  try {
    const auto size = body->reader->Read(offset, stream->w_buffer + stream->pos, room);
    if (!size.ok()) {
      stream->istream.stream_errno = EIO;
      io_stream_set_error(&stream->iostream, "%s", size.status().message().c_str());
      return -1;
    }
    if (*size == 0) {
      stream->istream.eof = true;
      return -1;
    }
    stream->pos += *size;
    return static_cast<ssize_t>(*size);
  } catch (const std::exception& error) {
    stream->istream.stream_errno = ENOMEM;
    io_stream_set_error(&stream->iostream, "%s", error.what());
    return -1;
  }
}

static void body_istream_seek(struct istream_private* stream, uoff_t v_offset, bool) noexcept {
  stream->istream.v_offset = v_offset;
  stream->skip = stream->pos = 0;
}

static int body_istream_stat(struct istream_private* stream, bool) noexcept {
  stream->statbuf.st_size = static_cast<off_t>(from(stream)->reader->size());
  return 0;
}

static void body_istream_destroy(struct iostream_private* iostream) noexcept {
  auto* stream = reinterpret_cast<struct istream_private*>(iostream);
  delete from(stream)->reader;
  i_stream_free_buffer(stream);
}

static ssize_t body_ostream_sendv(struct ostream_private* stream, const struct const_iovec* iov,
                                  unsigned int iov_count) noexcept {
  body_ostream* body = from(stream);
  ssize_t total = 0;
  try {
    for (unsigned int i = 0; i < iov_count; ++i) {
      if (append(body, iov[i].iov_base, iov[i].iov_len) < 0) {
        return -1;
      }
      total += static_cast<ssize_t>(iov[i].iov_len);
    }
  } catch (const std::exception& error) {
    return fail(body, lbox::Status(lbox::Code::kUnavailable, error.what()));
  }
  stream->ostream.offset += total;
  return total;
}

static void body_ostream_destroy(struct iostream_private* iostream) noexcept {
  body_ostream* body = from(reinterpret_cast<struct ostream_private*>(iostream));
  delete body->held;
  delete body->status;
}

}  // extern "C"

}  // namespace

struct istream* lbox_istream_create(std::unique_ptr<lbox::BodyReader> reader) {
  auto* body = i_new(body_istream, 1);
  body->reader = reader.release();
  body->istream.max_buffer_size = IO_BLOCK_SIZE;
  body->istream.read = body_istream_read;
  body->istream.seek = body_istream_seek;
  body->istream.stat = body_istream_stat;
  body->istream.iostream.destroy = body_istream_destroy;
  body->istream.istream.readable_fd = false;
  body->istream.istream.blocking = true;
  body->istream.istream.seekable = true;
  return i_stream_create(&body->istream, nullptr, -1, static_cast<enum istream_create_flag>(0));
}

struct ostream* lbox_ostream_create(lbox::BodyWriter* writer) {
  auto* body = i_new(body_ostream, 1);
  body->writer = writer;
  body->held = new std::string;
  body->status = new lbox::Status;
  body->ostream.sendv = body_ostream_sendv;
  body->ostream.iostream.destroy = body_ostream_destroy;
  struct ostream* output = o_stream_create(&body->ostream, nullptr, -1);
  output->blocking = true;
  return output;
}

int lbox_ostream_start(struct ostream* output, bool opaque) {
  body_ostream* body = from(output->real_stream);
  if (body->started) {
    return 0;
  }
  body->started = true;
  if (opaque) {
    body->writer->SetOpaque();
  }
  const std::string held = std::exchange(*body->held, {});
  return held.empty() ? 0 : append(body, held.data(), held.size());
}

const lbox::Status& lbox_ostream_status(struct ostream* output) {
  return *from(output->real_stream)->status;
}

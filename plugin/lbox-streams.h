// Dovecot streams over storage/'s body writer and reader.
#pragma once

#include <memory>

#include "plugin/dovecot.h"
#include "storage/body.h"

// Reads a stored body. Takes the reader over. Seekable; errors become stream errors with the
// reader's message.
struct istream* lbox_istream_create(std::unique_ptr<lbox::BodyReader> reader);

// Writes into `writer`, which must outlive the stream. Bytes are held back until
// lbox_ostream_start, since a plugin that puts its own stream in front may write before it is known
// to be there.
struct ostream* lbox_ostream_create(lbox::BodyWriter* writer);
// Passes on what was held back and all that follows. `opaque`: a plugin's encoding. Returns 0 or
// -1.
int lbox_ostream_start(struct ostream* output, bool opaque);
// Why the stream failed; ok when it did not.
const lbox::Status& lbox_ostream_status(struct ostream* output);

// docs/format.md is true: its tables have no holes, and its example is what the code reads and
// writes.
#include <charconv>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "storage/body_reader.h"
#include "storage/journal_record.h"
#include "storage/pack_record.h"
#include "storage/rows.h"
#include "tests/unit/test_support.h"

namespace lbox {
namespace {

const std::string& Doc() {
  static const std::string text = ReadWholeFile(LBOX_SOURCE_DIR "/docs/format.md");
  return text;
}

// The bytes of the ```hex block, each line "<offset>  <16 bytes>".
std::string Example() {
  const size_t start = Doc().find("```hex\n");
  const size_t end = Doc().find("```", start + 3);
  if (start == std::string::npos || end == std::string::npos) {
    return {};
  }
  std::istringstream lines(Doc().substr(start + 7, end - start - 7));
  std::string bytes;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    unsigned value = 0;
    words >> std::hex >> value;
    EXPECT_EQ(value, bytes.size()) << line;
    while (words >> value) {
      bytes += static_cast<char>(value);
    }
  }
  return bytes;
}

TEST(FormatDoc, ExampleDecodes) {
  const std::string bytes = Example();
  ASSERT_EQ(bytes.size(), 304u);
  const auto header_bytes = PackRecordHeaderBytes(Bytes(bytes));
  ASSERT_TRUE(header_bytes.ok());
  ASSERT_EQ(header_bytes.value(), 213u);
  const auto record = DecodePackRecord(Bytes(bytes));
  ASSERT_TRUE(record.ok()) << record.status().message();
  EXPECT_EQ(ToHex(record->store), "101112131415161718191a1b1c1d1e1f");
  EXPECT_EQ(ToHex(record->mailbox), "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf");
  EXPECT_EQ(ToHex(record->guid), "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf");
  EXPECT_EQ(record->transaction, 5u);
  EXPECT_EQ(record->batch_index, 0u);
  EXPECT_EQ(record->batch_count, 1u);
  EXPECT_EQ(record->body_id, 9u);
  EXPECT_EQ(record->uid, 12u);
  EXPECT_EQ(record->flags, 0x08);
  EXPECT_EQ(record->cause, Cause::kDelivered);
  EXPECT_EQ(record->codec, Codec::kZstd);
  EXPECT_EQ(record->received, 1700000000);
  EXPECT_EQ(record->saved, 1700000060u);
  EXPECT_EQ(record->physical_size, 68u);
  EXPECT_EQ(record->virtual_size, 68u);
  EXPECT_EQ(record->header_size, 42u);
  EXPECT_EQ(record->header_stored, 51u);
  EXPECT_EQ(record->body_stored, 35u);
  EXPECT_EQ(record->large_id, 0u);
  EXPECT_EQ(record->keywords, (std::vector<std::string>{"$Junk", "work"}));
  EXPECT_EQ(record->original_guid, "");
  EXPECT_EQ(record->pop3_uidl, "7.ab");
  EXPECT_EQ(record->pop3_order, 3u);
  EXPECT_EQ(PackRecordSpan(header_bytes.value(), record.value()), bytes.size());
}

TEST(FormatDoc, ExampleEncodesToTheSameBytes) {
  const std::string bytes = Example();
  const auto record = DecodePackRecord(Bytes(bytes));
  ASSERT_TRUE(record.ok());
  std::string again = EncodePackRecord(record.value());
  again += bytes.substr(again.size(), record->header_stored + record->body_stored);
  again.resize(PackRecordSpan(213, record.value()));
  EXPECT_EQ(again, bytes);
}

TEST(FormatDoc, ExampleHoldsTheMessage) {
  const std::string bytes = Example();
  BodyReaderOptions options;
  options.record = DecodePackRecord(Bytes(bytes)).value();
  options.header_frame = bytes.substr(213, options.record.header_stored);
  options.body_frame = bytes.substr(213 + options.record.header_stored, options.record.body_stored);
  const auto reader = NewBodyReader(std::move(options));
  std::string message;
  char buffer[100];
  for (;;) {
    const auto got = reader->Read(message.size(), buffer, sizeof(buffer));
    ASSERT_TRUE(got.ok()) << got.status().message();
    if (got.value() == 0) {
      break;
    }
    message.append(buffer, got.value());
  }
  EXPECT_EQ(message,
            "From: ann@example.org\r\nSubject: hello\r\n\r\nHi Bob,\r\nsee you at noon.\r\n");
}

// Total bytes of each table with offsets, by the heading above it; adds a failure where a field
// does not begin where the one before it ends.
std::map<std::string, size_t> TableSizes() {
  std::map<std::string, size_t> sizes;
  std::istringstream lines(Doc());
  std::string heading;
  bool in_table = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) {
      heading = line.substr(line.find(' ') + 1);
    }
    if (line.starts_with("| offset | size |")) {
      in_table = true;
      sizes[heading] = 0;
    } else if (in_table && !line.starts_with("|---")) {
      size_t offset = 0, size = 0;
      if (sscanf(line.c_str(), "| %zu | %zu |", &offset, &size) == 2) {
        EXPECT_EQ(offset, sizes[heading]) << heading << ": " << line;
        sizes[heading] += size;
      } else if (!line.starts_with("| ")) {
        in_table = false;
      }
    }
  }
  return sizes;
}

TEST(FormatDoc, TablesHaveNoHoles) {
  const std::map<std::string, size_t> expected = {
      {"Record header", kPackRecordFixedBytes},
      {"Large body", kLargeHeaderBytes},
      {"Meta row, 160 bytes", kMetaRowBytes},
      {"Mailbox row, 96 bytes", kMailboxRowBytes},
      {"Message row, 64 bytes", kMessageRowBytes},
      {"Body row, 40 bytes", kBodyRowBytes},
      {"Pack row, 32 bytes", kPackRowBytes},
      {"Journal", kJournalFrameBytes},
      {"Index copy header", 48},
      {"Index copy block", 32},
  };
  EXPECT_EQ(TableSizes(), expected);
}

}  // namespace
}  // namespace lbox

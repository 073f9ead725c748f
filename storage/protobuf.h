// Protobuf messages, written and read field by field.
//
// Purpose: cold.proto and journal.proto say what is stored; libprotobuf would do this, too, but
// loading it and libstdc++ takes a mail process, of which there is one for each login, longer than
// all else that it does until it is ready. tests/unit/protobuf_test.cc compares the two.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

namespace lbox {

// Fields are given in the order of their numbers; as in all of proto3, zeros and empty bytes are
// left out.
class ProtobufWriter {
 public:
  explicit ProtobufWriter(std::string& bytes) : out_(bytes) {}

  void Number(uint32_t field, uint64_t value) {
    if (value != 0) {
      out_.add_uint64(field, value);
    }
  }
  void Signed(uint32_t field, int64_t value) {  // sint64
    if (value != 0) {
      out_.add_sint64(field, value);
    }
  }
  void Bytes(uint32_t field, std::string_view value) {
    if (!value.empty()) {
      out_.add_bytes(field, value.data(), value.size());
    }
  }
  void Each(uint32_t field, const std::vector<std::string>& values) {
    for (const std::string& value : values) {
      out_.add_bytes(field, value);
    }
  }
  void Each(uint32_t field, const std::vector<uint32_t>& values) {
    out_.add_packed_uint32(field, values.begin(), values.end());
  }
  void Message(uint32_t field, const std::string& bytes) { out_.add_message(field, bytes); }

 private:
  protozero::pbf_writer out_;
};

// One field while a message is read. Each Get does nothing unless the field has that number and is
// of that kind.
class ProtobufField {
 public:
  explicit ProtobufField(protozero::pbf_reader& in) : in_(in) {}

  template <typename T>
  void Number(uint32_t field, T& value) {
    if (Is(field, protozero::pbf_wire_type::varint)) {
      value = static_cast<T>(in_.get_uint64());
      taken_ = true;
    }
  }
  void Signed(uint32_t field, int64_t& value) {
    if (Is(field, protozero::pbf_wire_type::varint)) {
      value = in_.get_sint64();
      taken_ = true;
    }
  }
  void Bytes(uint32_t field, std::string& value) {
    if (Is(field, protozero::pbf_wire_type::length_delimited)) {
      value = in_.get_bytes();
      taken_ = true;
    }
  }
  void Each(uint32_t field, std::vector<std::string>& values) {
    if (Is(field, protozero::pbf_wire_type::length_delimited)) {
      values.push_back(in_.get_bytes());
      taken_ = true;
    }
  }
  void Each(uint32_t field, std::vector<uint32_t>& values) {
    if (Is(field, protozero::pbf_wire_type::length_delimited)) {
      for (const uint32_t value : in_.get_packed_uint32()) {
        values.push_back(value);
      }
      taken_ = true;
    } else if (Is(field, protozero::pbf_wire_type::varint)) {
      values.push_back(in_.get_uint32());
      taken_ = true;
    }
  }
  // visit(span): the bytes of a message.
  template <typename Visit>
  void Message(uint32_t field, Visit visit) {
    if (Is(field, protozero::pbf_wire_type::length_delimited)) {
      const auto view = in_.get_view();
      taken_ = true;
      visit(std::span(reinterpret_cast<const uint8_t*>(view.data()), view.size()));
    }
  }

  void SkipUnlessTaken() {
    if (!taken_) {
      in_.skip();
    }
  }

 private:
  [[nodiscard]] bool Is(uint32_t field, protozero::pbf_wire_type type) const {
    return !taken_ && in_.tag_and_type() == protozero::tag_and_type(field, type);
  }

  protozero::pbf_reader& in_;
  bool taken_ = false;
};

// visit(ProtobufField&) for each field; those that nobody takes are passed over. False when `data`
// is no message.
template <typename Visit>
bool ReadProtobuf(std::span<const uint8_t> data, Visit visit) {
  try {
    protozero::pbf_reader in(reinterpret_cast<const char*>(data.data()), data.size());
    while (in.next()) {
      ProtobufField field(in);
      visit(field);
      field.SkipUnlessTaken();
    }
    return true;
  } catch (const protozero::exception&) {
    return false;
  }
}

}  // namespace lbox

// Spool: reports that a session could not deliver before its end, and marks of sessions that began
// without the service (no report in them: what they changed is not known), one file each.
//
// Purpose: mail processes leave their newest report there when hosting-usage is away; the service
// takes them in once it is back. Ownership: the folder belongs to the service's uid with mode 03733
// (anyone may add, nobody but the service may list, files go to the service's group, and only it
// and their owner may remove them); a file belongs to whoever wrote it, which is how the service
// knows whom it has to trust with what.
// Failure modes: Status. A file that is not what WriteSpool writes is kInvalid and of no use.
// Crash rule: a name that does not begin with '.' is whole after a kill. Nothing is flushed: after
// a power cut all mail is recounted anyway.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quota/status.h"

namespace hosting {

namespace wire {
class Spooled;
}

// Bytes of a spool file: magic, XXH3-64 of the message, wire::Spooled.
std::string EncodeSpooled(const wire::Spooled& spooled);
Status DecodeSpooled(const std::string& bytes, wire::Spooled& spooled);

// The name of the new file.
Result<std::string> WriteSpool(const std::string& folder, const wire::Spooled& spooled);
// Sets the file's time to now. kNotFound once the service has taken it in.
Status TouchSpool(const std::string& folder, const std::string& name);

// Of the service. Names in the folder, at most `most`; files that were never finished and are an
// hour old are removed.
Result<std::vector<std::string>> ListSpool(const std::string& folder, size_t most, int64_t now);
struct SpoolFile {
  uint32_t owner = 0;    // uid that wrote it
  int64_t modified = 0;  // Unix seconds
};
// kInvalid when it is no spool file.
Status ReadSpool(const std::string& folder, const std::string& name, wire::Spooled& spooled,
                 SpoolFile& file);
Status RemoveSpool(const std::string& folder, const std::string& name);

}  // namespace hosting

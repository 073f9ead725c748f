#include "storage/verify.h"

#include <string>
#include <utility>

#include "storage/child.h"
#include "storage/index_walk.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"
#include "storage/wire.h"

namespace lbox {
namespace {

enum Kind : char { kProgress, kFinding, kCounts, kFailed };

std::string Encode(const Finding& finding) {
  WireWriter out;
  out.Number(static_cast<uint64_t>(finding.damage));
  out.Text(finding.text);
  out.Number(finding.pack);
  out.Number(finding.body_id);
  out.Id(finding.mailbox);
  out.Text(finding.mailbox_name);
  out.Number(finding.uid);
  out.Id(finding.guid);
  return out.bytes();
}

Finding DecodeFinding(std::string_view bytes) {
  WireReader in(bytes);
  Finding finding;
  finding.damage = static_cast<Damage>(in.Number());
  finding.text = in.Text();
  finding.pack = static_cast<uint32_t>(in.Number());
  finding.body_id = in.Number();
  finding.mailbox = in.Id();
  finding.mailbox_name = in.Text();
  finding.uid = static_cast<uint32_t>(in.Number());
  finding.guid = in.Id();
  return finding;
}

void Send(ChildPipe& pipe, const Status& status) {
  WireWriter out;
  out.Number(static_cast<uint64_t>(status.code()));
  out.Text(status.message());
  pipe.Send(kFailed, out.bytes());
}

Status Check(const VerifyOptions& options, ChildPipe& pipe) {
  StoreOptions mine = options.store;
  mine.create = false;
  LBOX_ASSIGN_OR_RETURN(const auto store, StoreImpl::Open(mine, Opening::kExamine));
  CheckOptions check = options.check;
  auto last = std::chrono::steady_clock::now();
  check.progress = [&](uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last >= std::chrono::milliseconds(100)) {
      last = now;
      WireWriter out;
      out.Number(done);
      out.Number(total);
      pipe.Send(kProgress, out.bytes());
    }
  };
  LBOX_ASSIGN_OR_RETURN(const CheckReport report, CheckStore(*store, check));
  for (const Finding& finding : report.findings) {
    pipe.Send(kFinding, Encode(finding));
  }
  WireWriter out;
  for (const uint64_t number :
       {report.mailboxes, report.messages, report.bodies, report.packs, report.bytes}) {
    out.Number(number);
  }
  pipe.Send(kCounts, out.bytes());
  return {};
}

// What comes from the child.
struct Answer {
  CheckReport report;
  Status failed;

  void Take(char kind, std::string_view bytes, const CheckOptions& options) {
    WireReader in(bytes);
    if (kind == kProgress && options.progress) {
      const uint64_t done = in.Number();
      options.progress(done, in.Number());
    } else if (kind == kFinding) {
      report.findings.push_back(DecodeFinding(bytes));
    } else if (kind == kCounts) {
      for (uint64_t* number :
           {&report.mailboxes, &report.messages, &report.bodies, &report.packs, &report.bytes}) {
        *number = in.Number();
      }
    } else if (kind == kFailed) {
      const auto code = static_cast<Code>(in.Number());
      failed = Status(code, in.Text());
    }
  }
};

}  // namespace

Result<CheckReport> VerifyStore(const VerifyOptions& options) {
  Answer answer;
  const auto work = [&](ChildPipe& pipe) {
    if (const Status status = Check(options, pipe); !status.ok()) {
      Send(pipe, status);
    }
  };
  const auto receive = [&](char kind, std::string_view bytes) {
    answer.Take(kind, bytes, options.check);
  };
  LBOX_ASSIGN_OR_RETURN(const ChildEnd end,
                        RunInChild(work, receive, {.patience = options.patience}));
  if (end.kind != ChildEnd::Kind::kDone) {
    answer.report = CheckReport();
    Finding finding;
    finding.text =
        options.store.path + ": the index cannot be read: the process that tried " + end.how;
    answer.report.findings.push_back(std::move(finding));
  } else if (answer.failed.code() == Code::kCorruption) {
    answer.report = CheckReport();
    Finding finding;
    finding.text = answer.failed.message();
    answer.report.findings.push_back(std::move(finding));
  } else if (!answer.failed.ok()) {
    return answer.failed;
  }
  for (const Finding& finding : answer.report.findings) {
    if (answer.report.problems.size() < kMaxProblems) {
      answer.report.problems.push_back(finding.text);
    }
  }
  return std::move(answer.report);
}

}  // namespace lbox

// An Env that fails when told to, and counts flushes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "storage/env.h"

namespace lbox::testing {

class FaultEnv : public Env {
 public:
  explicit FaultEnv(Env& base = *Env::Default()) : base_(base) {}

  // Called before each call that changes something ("write", "sync", "create", "mkdir", "rename",
  // "link", "unlink", "sync directory") with the path; when it gives a failure, that is what the
  // call gives, having done nothing.
  std::function<Status(const std::string& call, const std::string& path)> before;
  uint64_t syncs = 0;  // of files
  uint64_t directory_syncs = 0;

  // Lets `allowed` changing calls pass and fails the one after, and only that one.
  void FailAfter(uint64_t allowed, Code code = Code::kIo) {
    before = [this, allowed, code, calls = uint64_t{0}](const std::string& call,
                                                        const std::string& path) mutable {
      failed_ |= calls == allowed;
      return calls++ == allowed ? Status(code, "made to fail: " + call + " " + path) : Status();
    };
    failed_ = false;
  }
  [[nodiscard]] bool failed() const { return failed_; }

  Result<std::unique_ptr<File>> OpenRead(const std::string& path) override {
    return base_.OpenRead(path);
  }
  Result<std::unique_ptr<File>> OpenReadWrite(const std::string& path) override {
    return Wrap(base_.OpenReadWrite(path), path);
  }
  Result<std::unique_ptr<File>> Create(const std::string& path, bool exclusive, uint32_t mode,
                                       int64_t gid) override {
    if (Status status = Before("create", path); !status.ok()) {
      return status;
    }
    return Wrap(base_.Create(path, exclusive, mode, gid), path);
  }
  Status MakeDirectory(const std::string& path, uint32_t mode, int64_t gid) override {
    const Status status = Before("mkdir", path);
    return status.ok() ? base_.MakeDirectory(path, mode, gid) : status;
  }
  Status Rename(const std::string& from, const std::string& to) override {
    const Status status = Before("rename", to);
    return status.ok() ? base_.Rename(from, to) : status;
  }
  Status Link(const std::string& from, const std::string& to) override {
    const Status status = Before("link", to);
    return status.ok() ? base_.Link(from, to) : status;
  }
  Status Unlink(const std::string& path) override {
    const Status status = Before("unlink", path);
    return status.ok() ? base_.Unlink(path) : status;
  }
  Status SyncDirectory(const std::string& path) override {
    directory_syncs++;
    const Status status = Before("sync directory", path);
    return status.ok() ? base_.SyncDirectory(path) : status;
  }
  Result<FileInfo> Stat(const std::string& path) override { return base_.Stat(path); }
  Status List(const std::string& path,
              const std::function<void(const std::string& name)>& visit) override {
    return base_.List(path, visit);
  }

 private:
  class FaultFile final : public File {
   public:
    FaultFile(FaultEnv& env, std::unique_ptr<File> base, std::string path)
        : env_(env), base_(std::move(base)), path_(std::move(path)) {}
    Result<size_t> ReadAt(uint64_t offset, void* data, size_t size) override {
      return base_->ReadAt(offset, data, size);
    }
    Status WriteAt(uint64_t offset, const void* data, size_t size) override {
      const Status status = env_.Before("write", path_);
      return status.ok() ? base_->WriteAt(offset, data, size) : status;
    }
    Status Sync() override {
      env_.syncs++;
      const Status status = env_.Before("sync", path_);
      return status.ok() ? base_->Sync() : status;
    }
    Result<uint64_t> Size() override { return base_->Size(); }
    int descriptor() const override { return base_->descriptor(); }

   private:
    FaultEnv& env_;
    const std::unique_ptr<File> base_;
    const std::string path_;
  };

  Status Before(const std::string& call, const std::string& path) {
    return before ? before(call, path) : Status();
  }
  Result<std::unique_ptr<File>> Wrap(Result<std::unique_ptr<File>> file, const std::string& path) {
    if (!file.ok()) {
      return file;
    }
    return std::unique_ptr<File>(std::make_unique<FaultFile>(*this, std::move(file.value()), path));
  }

  Env& base_;
  bool failed_ = false;
};

}  // namespace lbox::testing

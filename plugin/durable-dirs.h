// Directories that Dovecot makes, made durable: a mailbox that was acknowledged must not lose its
// directory, or its parents', to a power cut.
#pragma once

#include <string>
#include <vector>

#include "storage/status.h"

// The parents of those of `path` and its ancestors that do not exist yet, deepest first. Empty when
// `path` exists.
std::vector<std::string> lbox_missing_parents(const std::string& path);

// Durable after this: the names in each directory. One that may not be read is passed over (a
// home's parent need not be readable to the mail user).
lbox::Status lbox_sync_directories(const std::vector<std::string>& directories);

// The directories from the parent of `path` up to `root`, inclusive.
std::vector<std::string> lbox_parents_up_to(const std::string& path, const std::string& root);

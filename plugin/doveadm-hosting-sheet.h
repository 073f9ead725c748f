// Rows of `doveadm hosting` commands that are a table, JSON, or CSV for spreadsheets.
#pragma once

#include <string>
#include <vector>

struct hosting_column {
  const char* name;
  bool number;   // of digits, perhaps with a sign and a point
  bool missing;  // may be empty; JSON then has strings
};

// One for a command, which has begun with doveadm_print_init: flow for CSV, else a table.
class hosting_sheet {
 public:
  hosting_sheet(bool csv, const std::vector<hosting_column>& columns);
  // A cell for each column. Texts may be anything (cell_text.h).
  void row(const std::vector<std::string>& cells) const;

 private:
  [[nodiscard]] std::string line(const std::vector<std::string>& cells, bool names) const;

  bool csv_;
  std::vector<hosting_column> columns_;
};

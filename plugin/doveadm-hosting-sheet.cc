#include "plugin/doveadm-hosting-sheet.h"

#include "plugin/doveadm-hosting-common.h"
#include "quota/cell_text.h"

hosting_sheet::hosting_sheet(bool csv, const std::vector<hosting_column>& columns)
    : csv_(csv), columns_(columns) {
  if (csv) {
    doveadm_print_header("csv", "csv", DOVEADM_PRINT_HEADER_FLAG_HIDE_TITLE);
    std::vector<std::string> names;
    names.reserve(columns.size());
    for (const hosting_column& column : columns) {
      names.emplace_back(column.name);
    }
    doveadm_hosting_print(line(names, true));
    return;
  }
  for (const hosting_column& column : columns) {
    (!column.number   ? doveadm_hosting_text_column
     : column.missing ? doveadm_hosting_right_column
                      : doveadm_hosting_number_column)(column.name);
  }
}

void hosting_sheet::row(const std::vector<std::string>& cells) const {
  if (csv_) {
    doveadm_hosting_print(line(cells, false));
    return;
  }
  for (const std::string& cell : cells) {
    doveadm_hosting_print(hosting::CellText(cell));
  }
}

std::string hosting_sheet::line(const std::vector<std::string>& cells, bool names) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    // A number is none for a spreadsheet once it begins with an apostrophe.
    const bool number = columns_[i].number && !names;
    line +=
        (i == 0 ? "" : ",") + (number ? cells[i] : hosting::CsvCell(hosting::CellText(cells[i])));
  }
  return line;
}

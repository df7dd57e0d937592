#include "gateway/ctl/table.h"

#include <algorithm>
#include <utility>

namespace vigil::ctl {

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) {
    if (cell.empty()) cell.assign(1, '-');
  }
  rows_.push_back(std::move(cells));
}

std::string Table::Text() const {
  std::vector<std::string> heads;
  std::vector<size_t> widths;
  for (const Column& column : columns_) {
    heads.push_back(column.head);
    widths.push_back(column.head.size());
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text = Line(heads, widths);
  for (const auto& row : rows_) text += Line(row, widths);
  return text;
}

std::string Table::Line(const std::vector<std::string>& cells,
                        const std::vector<size_t>& widths) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += "  ";
    const std::string space(widths[i] - cells[i].size(), ' ');
    line += columns_[i].is_number ? space + cells[i] : cells[i] + space;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace vigil::ctl

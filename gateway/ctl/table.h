#pragma once

#include <string>
#include <vector>

namespace vigil::ctl {

// Text in columns, for a terminal.
class Table {
 public:
  struct Column {
    std::string head;
    bool is_number = false;  // Right-aligned.
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // As many cells as there are columns. An empty cell is shown as "-", so that no column of a
  // script's `awk` shifts.
  void AddRow(std::vector<std::string> cells);

  bool empty() const { return rows_.empty(); }

  // The heads and the rows, two spaces between columns, no space at the end of a line.
  std::string Text() const;

 private:
  std::string Line(const std::vector<std::string>& cells, const std::vector<size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace vigil::ctl

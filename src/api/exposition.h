// Writes Prometheus' text format, version 0.0.4: families with HELP and TYPE, one sample a line.
//
// A family's samples follow its head at once; the caller says each family once.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace hs {

using MetricLabels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class Exposition {
 public:
  void Gauge(std::string_view name, std::string_view help) { Head(name, help, "gauge"); }
  // By convention its name ends in _total.
  void Counter(std::string_view name, std::string_view help) { Head(name, help, "counter"); }
  void Summary(std::string_view name, std::string_view help) { Head(name, help, "summary"); }
  // Its samples are Parts: _bucket with a label le for each bound and +Inf, rising; _sum; _count.
  void Histogram(std::string_view name, std::string_view help) { Head(name, help, "histogram"); }
  // Of the family begun last.
  void Sample(double value) { Sample({}, value); }
  void Sample(MetricLabels labels, double value) { Part("", labels, value); }
  void Part(std::string_view suffix, MetricLabels labels, double value);
  std::string Take() { return std::move(out_); }

 private:
  void Head(std::string_view name, std::string_view help, std::string_view type);
  std::string name_;
  std::string out_;
};

}  // namespace hs

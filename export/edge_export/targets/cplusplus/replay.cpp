// Replays the evidence of bundles and prints the steps of `edge verify`, or a line of JSON for each bundle.
//
//     replay [--json] [--key KEY]... BUNDLE...      KEY: 64 hexadecimal digits, or the file of a public key
//
// Exit code 0: every bundle is as its evidence says; 1: one is not, or was refused; 2: wrong usage.

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "edge.hpp"

namespace {

constexpr int rounds = 200;  // of a single image, for its time

std::string key_of(const std::string& word) {
  std::ifstream file(word);
  return file ? std::string{std::istreambuf_iterator<char>(file), {}} : word;
}

double median_ms(const edge::Bundle& bundle) {
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) {
    const auto began = std::chrono::steady_clock::now();
    bundle.run(bundle.evidence.images.data(), 1);
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[rounds / 2];
}

void print(const std::string& path, const edge::Report& report) {
  std::cout << path << (report.passed ? ": verified\n" : ": FAILED\n");
  for (const edge::Step& step : report.steps)
    std::cout << "  " << step.name << std::string(11 - step.name.size(), ' ') << (step.passed ? "ok      " : "FAILED  ")
              << step.detail << '\n';
}

void print_json(const edge::Bundle& bundle, const edge::Report& report) {
  const edge::Outputs outputs = bundle.run(bundle.evidence.images.data(), bundle.evidence.kinds.size());
  nlohmann::json predictions = nlohmann::json::array();
  for (const edge::Prediction& each : bundle.predict(bundle.evidence.images.data(), bundle.evidence.kinds.size()))
    predictions.push_back({{"label", each.label},
                           {"confidence", each.confidence},
                           {"score", each.score ? nlohmann::json(*each.score) : nlohmann::json()},
                           {"rejected", each.rejected}});
  nlohmann::json steps = nlohmann::json::array();
  for (const edge::Step& step : report.steps)
    steps.push_back({{"name", step.name}, {"passed", step.passed}, {"detail", step.detail}});
  const nlohmann::json line = {{"name", bundle.name},
                               {"passed", report.passed},
                               {"steps", steps},
                               {"max_logit_error", report.max_logit_error},
                               {"flips", report.flips},
                               {"digit_flips", report.digit_flips},
                               {"logits", outputs.logits},
                               {"predictions", predictions},
                               {"onnxruntime", Ort::GetVersionString()},
                               {"ms", median_ms(bundle)}};
  std::cout << line.dump() << '\n';
}

}  // namespace

int main(int count, char** words) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // Microsoft's builds talk to their maker otherwise
  edge::Options options;
  std::vector<std::string> paths;
  bool json = false;
  for (int at = 1; at < count; ++at) {
    const std::string word = words[at];
    if (word == "--json") {
      json = true;
    } else if (word == "--key" && at + 1 < count) {
      if (!options.trusted) options.trusted.emplace();
      options.trusted->push_back(key_of(words[++at]));
    } else {
      paths.push_back(word);
    }
  }
  if (paths.empty()) {
    std::cerr << "usage: replay [--json] [--key KEY]... BUNDLE...\n";
    return 2;
  }
  bool all = true;
  for (const std::string& path : paths) {
    try {
      const edge::Bundle bundle = edge::Bundle::open(path, options);
      const edge::Report report = bundle.verify();
      json ? print_json(bundle, report) : print(path, report);
      all = all && report.passed;
    } catch (const edge::BundleError& error) {
      std::cerr << "edge: " << path << ": " << error.what() << '\n';
      all = false;
    }
  }
  return all ? EXIT_SUCCESS : EXIT_FAILURE;
}

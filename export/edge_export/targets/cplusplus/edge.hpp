// Bundles of edge in C++17: opened, checked, replayed and asked, with ONNX Runtime.
//
//     #include "edge.hpp"
//
//     const auto bundle = edge::Bundle::open("lstm.onnx");       // a damaged one throws edge::BundleError
//     const auto report = bundle.verify();                       // the steps of `edge verify`, on this machine
//     const auto answers = bundle.predict(images.data(), 1);     // count * 784 bytes, ink 255 on background 0
//
//     edge::Options options;
//     options.trusted = {{"64 hexadecimal digits, or the text of a .pub file"}};
//     edge::Bundle::open("lstm.onnx", options);                  // signed by that key, or edge::SignatureError
//
// It needs ONNX Runtime 1.21 or newer, and of the system libcrypto (OpenSSL 1.1.1 or newer: SHA-256, Ed25519), zlib and
// nlohmann/json. Link with -lonnxruntime -lcrypto -lz. A bundle may be asked from several threads at once. Microsoft's
// builds of ONNX Runtime talk to their maker unless ORT_DISABLE_TELEMETRY=1 is set before the first bundle is opened.
//
// The digest finds accidents and a signature finds people, but nothing here looks through the graph as `edge verify`
// does: take bundles of strangers with a signature only.

#ifndef EDGE_HPP
#define EDGE_HPP

#include <onnxruntime_cxx_api.h>
#include <openssl/evp.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace edge {

inline constexpr std::size_t side = 28;
inline constexpr std::size_t pixels = side * side;

/// A bundle that cannot be used; the message says what happened and what to do next.
class BundleError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A bundle that no trusted key has signed.
class SignatureError : public BundleError {
 public:
  using BundleError::BundleError;
};

struct Options {
  /// Public keys, one of which must have signed the bundle: 64 hexadecimal digits or the text of a PEM file each.
  std::optional<std::vector<std::string>> trusted;
  int threads = 1;  ///< These models are too small to be divided among more.
};

/// Golden images and PyTorch's answers.
struct Evidence {
  std::vector<std::uint8_t> images;  ///< [N, 28, 28].
  std::vector<float> logits;         ///< [N, classes].
  std::vector<std::string> kinds;    ///< What each image is; drawn ones begin with "stroke".
  std::vector<double> limits;        ///< The largest difference of a logit that still passes, for each image.
  std::size_t max_flips = 0;
};

/// When an answer is none, as `edge.classifier.prediction` computes it.
struct Rejection {
  double threshold = 0;
  std::array<double, 2> energy{};    ///< Median and spread of usual digits.
  std::array<double, 2> distance{};  ///< The same of the distance to the nearest centre.
  std::vector<std::vector<double>> centres;
  std::vector<std::vector<double>> whitening;  ///< Rows of a lower triangle.
};

struct Outputs {
  std::vector<float> logits;         ///< [N, classes].
  std::vector<float> probabilities;  ///< [N, classes]; each row sums to 1.
  std::vector<double> scores;        ///< [N]; empty where the bundle cannot say.
};

struct Prediction {
  std::string label;
  float confidence = 0;              ///< 0 to 1.
  std::vector<float> probabilities;  ///< In the order of `Bundle::labels`.
  std::optional<double> score;       ///< About 0 for a usual digit, lower for what looks less like any label.
  bool rejected = false;             ///< Whether the image is probably none of the labels.
};

struct Step {
  std::string name;
  bool passed = false;
  std::string detail;
};

struct Report {
  std::vector<Step> steps;
  double max_logit_error = 0;
  double mean_logit_error = 0;
  std::size_t flips = 0;
  std::size_t digit_flips = 0;
  bool passed = false;
};

namespace detail {

inline constexpr int protocol = 1;
inline constexpr double probability_tolerance = 2e-3;  // as `edge verify` has them
inline constexpr double score_tolerance = 1e-3;        // a share of the score, or of 1 where it is less
inline constexpr std::size_t many_images = 64;         // more than an int8 graph computes in its way for a few
inline constexpr std::size_t most_images = 4096;
inline constexpr std::uint64_t metadata_field = 14;  // of a ModelProto: repeated StringStringEntryProto
inline constexpr std::size_t digest_length = 64;
inline constexpr std::size_t signature_length = 8 + 64 + 1 + 128;  // docs/signing.md: "ed25519 ", key and signature

using Bytes = std::string_view;

inline std::string hexadecimal(Bytes bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const char each : bytes) {
    const auto byte = static_cast<unsigned char>(each);
    text += {digits[byte >> 4], digits[byte & 15]};
  }
  return text;
}

inline bool is_hexadecimal(Bytes text, std::size_t length) {
  return text.size() == length && text.find_first_not_of("0123456789abcdef") == Bytes::npos;
}

inline std::string from_hexadecimal(Bytes digits) {
  std::string bytes;
  for (std::size_t at = 0; at + 1 < digits.size(); at += 2)
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(at, 2)), nullptr, 16));
  return bytes;
}

inline std::string from_base64(Bytes text) {
  std::string bytes(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0 || static_cast<std::size_t>(size) != bytes.size())
    throw BundleError("a part of the bundle is no base64; export it again");
  for (std::size_t at = text.size(); at > 0 && text[at - 1] == '=' && text.size() - at < 2; --at) bytes.pop_back();
  return bytes;
}

inline std::string sha256(Bytes bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), hash.data(), &size, EVP_sha256(), nullptr) != 1)
    throw BundleError("libcrypto cannot compute SHA-256 here");
  return hexadecimal({reinterpret_cast<const char*>(hash.data()), size});
}

/// A protobuf message, read field by field: nothing is looked at past its end.
class Message {
 public:
  explicit Message(Bytes bytes) : rest_(bytes) {}

  /// Takes the next field; false at the end. The value is that of a field with a length, empty for numbers.
  bool next(std::uint64_t& number, Bytes& value) {
    if (rest_.empty()) return false;
    const std::uint64_t key = varint();
    number = key >> 3;
    value = {};
    switch (key & 7) {
      case 0: varint(); return true;
      case 1: take(8); return true;
      case 2: value = take(varint()); return true;
      case 5: take(4); return true;
      default: throw cut_off();
    }
  }

 private:
  static BundleError cut_off() { return BundleError("the file is cut off or no ONNX file; copy it again"); }

  Bytes take(std::uint64_t size) {
    if (size > rest_.size()) throw cut_off();
    const Bytes taken = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw cut_off();
  }

  Bytes rest_;
};

/// The value of a metadata entry; nullopt where there is none. Entries of edge may come once only.
inline std::optional<Bytes> entry(Bytes file, Bytes wanted) {
  std::optional<Bytes> found;
  Message model(file);
  std::uint64_t number = 0;
  for (Bytes field; model.next(number, field);) {
    if (number != metadata_field) continue;
    Bytes key, value;
    Message pair(field);
    for (Bytes part; pair.next(number, part);) (number == 1 ? key : value) = part;
    if (key != wanted) continue;
    if (found) throw BundleError("the file was packed twice; export it again with `edge export`");
    found = value;
  }
  return found;
}

/// The bytes of a metadata entry before its value, which is shorter than 256 bytes.
inline std::string entry_beginning(Bytes key, std::size_t length) {
  const auto varint = [](std::size_t value) {
    std::string bytes;
    for (; value > 127; value >>= 7) bytes += static_cast<char>((value & 127) | 128);
    return bytes + static_cast<char>(value);
  };
  const std::string inside = "\x0a" + varint(key.size()) + std::string(key) + "\x12" + varint(length);
  return static_cast<char>(metadata_field << 3 | 2) + varint(inside.size() + length) + inside;
}

/// Whether an entry of that key and length ends a file, and the bytes before that entry.
inline std::optional<Bytes> before_last_entry(Bytes file, Bytes key, std::size_t length) {
  const std::string beginning = entry_beginning(key, length);
  if (file.size() < beginning.size() + length) return std::nullopt;
  const std::size_t start = file.size() - length - beginning.size();
  if (file.compare(start, beginning.size(), beginning) != 0) return std::nullopt;
  return file.substr(0, start);
}

/// Checks every byte of a file; returns the bytes before its digest.
inline Bytes check_digest(Bytes file) {
  const auto body = before_last_entry(file, "edge.digest", digest_length);
  if (!body) throw BundleError("the file does not end in a digest: it is cut off, damaged, or no bundle of edge");
  if (sha256(*body) != file.substr(file.size() - digest_length))
    throw BundleError("the file is damaged: its bytes do not match its digest; copy it again");
  return *body;
}

/// Whether a key of Ed25519 is a point of small order: it has no private key, and signatures that hold.
inline bool is_of_small_order(std::string key) {
  const std::string zeros(60, '0'), ones(60, 'f');
  key[62] = "0123456701234567"[std::stoi(key.substr(62, 1), nullptr, 16)];  // without the bit of the sign
  for (const std::string& each : {"00" + zeros + "00", "01" + zeros + "00", "ec" + ones + "7f", "ed" + ones + "7f",
                                  "ee" + ones + "7f",
                                  std::string("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
                                  std::string("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")})
    if (key == each) return true;
  return false;
}

/// A public key as 64 hexadecimal digits.
inline std::string public_key(const std::string& source) {
  static constexpr Bytes begin = "-----BEGIN PUBLIC KEY-----", end = "-----END PUBLIC KEY-----";
  static constexpr Bytes algorithm = "302a300506032b6570032100";  // what stands before the 32 bytes of the key
  std::string digits = source;
  const std::size_t from = source.find(begin), to = source.find(end);
  if (from != std::string::npos && to != std::string::npos && from < to) {
    std::string base64 = source.substr(from + begin.size(), to - from - begin.size());
    base64.erase(std::remove_if(base64.begin(), base64.end(), [](char sign) { return sign <= ' '; }), base64.end());
    digits = hexadecimal(from_base64(base64));
    digits = Bytes(digits).substr(0, algorithm.size()) == algorithm ? digits.substr(algorithm.size()) : "";
  }
  for (char& digit : digits) digit = static_cast<char>(digit >= 'A' && digit <= 'F' ? digit + ('a' - 'A') : digit);
  if (!is_hexadecimal(digits, 64))
    throw SignatureError("a trusted key is no Ed25519 key: give 64 hexadecimal digits or the text of a .pub file");
  if (is_of_small_order(digits))
    throw SignatureError("the key " + digits + " is nobody's: anybody can sign for it; give one of `edge keygen`");
  return digits;
}

inline bool is_signed(const std::string& key, const std::string& signature, const std::string& message) {
  const auto bytes = [](const std::string& text) { return reinterpret_cast<const unsigned char*>(text.data()); };
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> loaded(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(key), key.size()), EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return loaded && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, loaded.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(message), message.size()) == 1;
}

/// Who signed a bundle, which must be one of the trusted keys.
/// body: the file without its digest, before which the signature stands.
inline std::string check_signature(Bytes body, Bytes manifest, const std::vector<std::string>& trusted) {
  if (trusted.empty()) throw SignatureError("the list of trusted keys is empty, so that no bundle could be opened");
  std::vector<std::string> keys;
  for (const std::string& each : trusted) keys.push_back(public_key(each));
  const auto value = entry(body, "edge.signature");
  if (!value)
    throw SignatureError("the bundle is not signed, and only signed ones are trusted here; sign it with `edge sign`");
  const auto signed_bytes = before_last_entry(body, "edge.signature", signature_length);
  const bool fits = signed_bytes && value->size() == signature_length;
  const Bytes key = fits ? value->substr(8, 64) : Bytes(), signature = fits ? value->substr(73) : Bytes();
  if (!is_hexadecimal(key, 64) || !is_hexadecimal(signature, 128) || value->substr(0, 8) != "ed25519 ")
    throw SignatureError("the bundle has a signature that `edge sign` did not write; fetch it again from who made it");
  const std::string signer(key);
  if (std::find(keys.begin(), keys.end(), signer) == keys.end())
    throw SignatureError("the bundle says that it is signed by " + signer + ", which is no key that is trusted here");
  const std::string message = "edge bundle signature 1\n" + sha256(*signed_bytes) + "\n" + std::string(manifest);
  if (!is_signed(from_hexadecimal(key), from_hexadecimal(signature), message))
    throw SignatureError("the bundle was changed after it was signed by " + signer + ", or never was; fetch it again");
  return signer;
}

inline std::string inflate(Bytes packed, std::size_t size) {
  std::string bytes(size, '\0');
  uLongf written = static_cast<uLongf>(size);
  uLong taken = static_cast<uLong>(packed.size());
  const int outcome = uncompress2(reinterpret_cast<Bytef*>(bytes.data()), &written,
                                  reinterpret_cast<const Bytef*>(packed.data()), &taken);
  if (outcome != Z_OK || written != size || taken != packed.size())
    throw BundleError("the golden images have another size than the evidence says; export the bundle again");
  return bytes;
}

inline Evidence read_evidence(const nlohmann::json& record, std::size_t classes) {
  Evidence found;
  record.at("kinds").get_to(found.kinds);
  const std::size_t count = found.kinds.size();
  if (count < 1 || count > most_images || record.at("classes") != classes)
    throw BundleError("the evidence does not fit the manifest; export the bundle again");
  const std::string images = inflate(from_base64(record.at("images").get<std::string>()), count * pixels);
  found.images.assign(images.begin(), images.end());
  const std::string logits = from_base64(record.at("logits").get<std::string>());
  if (logits.size() != count * classes * 4)
    throw BundleError("the evidence has another size than it says; export the bundle again");
  found.logits.resize(count * classes);
  for (std::size_t at = 0; at < found.logits.size(); ++at) {
    std::uint32_t bits = 0;  // little-endian in the file, whatever this machine is
    for (std::size_t byte = 4; byte-- > 0;) bits = bits << 8 | static_cast<unsigned char>(logits[4 * at + byte]);
    std::memcpy(&found.logits[at], &bits, sizeof bits);
    if (!std::isfinite(found.logits[at])) throw BundleError("the evidence holds what is no number; export it again");
  }
  found.limits.assign(count, record.at("max_logit_error").get<double>());
  if (record.contains("limits")) record.at("limits").get_to(found.limits);
  const bool limited = std::all_of(found.limits.begin(), found.limits.end(), [](double limit) { return limit > 0; });
  if (found.limits.size() != count || !limited)
    throw BundleError("the evidence has no limit for each image; export the bundle again");
  record.at("max_flips").get_to(found.max_flips);
  return found;
}

inline std::optional<Rejection> read_rejection(const nlohmann::json& manifest, std::size_t classes) {
  if (!manifest.contains("rejection") || manifest.at("rejection").is_null()) return std::nullopt;
  const nlohmann::json& facts = manifest.at("rejection");
  Rejection rule;
  facts.at("threshold").get_to(rule.threshold);
  facts.at("energy").get_to(rule.energy);
  facts.at("distance").get_to(rule.distance);
  facts.at("centres").get_to(rule.centres);
  facts.at("whitening").get_to(rule.whitening);
  bool whole = rule.centres.size() == classes && rule.whitening.size() == classes;
  for (std::size_t row = 0; whole && row < classes; ++row)
    whole = rule.centres[row].size() == classes && rule.whitening[row].size() == row + 1;
  if (!whole) throw BundleError("the manifest's rejection has another size than its labels; export the bundle again");
  return rule;
}

/// The score of one row of logits, for bundles whose graph gives none, and to check those that it gives.
inline double score(const Rejection& rule, const float* logits) {
  const std::size_t classes = rule.centres.size();
  const double highest = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (std::size_t at = 0; at < classes; ++at) sum += std::exp(logits[at] - highest);
  const double energy = highest + std::log(sum);
  double nearest = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& centre : rule.centres) {
    double squared = 0;
    for (std::size_t column = 0; column < classes; ++column) {
      double projected = 0;  // L is lower triangular: only rows from `column` on count
      for (std::size_t row = column; row < classes; ++row)
        projected += (logits[row] - centre[row]) * rule.whitening[row][column];
      squared += projected * projected;
    }
    nearest = std::min(nearest, std::sqrt(squared));
  }
  return std::min((energy - rule.energy[0]) / rule.energy[1], 0.0) +
         (rule.distance[0] - nearest) / rule.distance[1];
}

inline std::vector<double> softmax(const float* logits, std::size_t size, double temperature) {
  const double highest = *std::max_element(logits, logits + size);
  std::vector<double> shares(size);
  double sum = 0;
  for (std::size_t at = 0; at < size; ++at) sum += shares[at] = std::exp((logits[at] - highest) / temperature);
  for (double& share : shares) share /= sum;
  return shares;
}

inline std::size_t argmax(const float* row, std::size_t size) {
  return static_cast<std::size_t>(std::max_element(row, row + size) - row);
}

/// The larger one; what is no number stays, so that it never passes.
inline double largest(double so_far, double value) {
  return std::isnan(so_far) || value <= so_far ? so_far : value;
}

inline std::string scientific(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2e", value);
  return text.data();
}

inline Ort::Env& environment() {
  static Ort::Env one(ORT_LOGGING_LEVEL_ERROR, "edge");
  return one;
}

}  // namespace detail

/// A checked bundle and its session.
class Bundle {
 public:
  /// Opens a file: checks every byte of it, and who signed it where keys are given, then makes a session.
  static Bundle open(const std::string& path, const Options& options = {}) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw BundleError(path + " cannot be read; check its name and permissions");
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (file.bad()) throw BundleError(path + " cannot be read to its end");
    return Bundle(bytes, options);
  }

  /// The same from the bytes of a file, which are not needed afterwards.
  explicit Bundle(std::string_view bytes, const Options& options = {}) : size(bytes.size()) {
    const std::string_view body = detail::check_digest(bytes);
    sha256 = detail::sha256(bytes);
    const auto described = detail::entry(body, "edge.manifest"), proof = detail::entry(body, "edge.evidence");
    if (!described || !proof)
      throw BundleError("the file has no edge.manifest or edge.evidence; export it again with `edge export`");
    if (options.trusted) signer = detail::check_signature(body, *described, *options.trusted);
    try {
      manifest = nlohmann::json::parse(*described);
      read_manifest();
      evidence = detail::read_evidence(nlohmann::json::parse(*proof), labels.size());
    } catch (const nlohmann::json::exception& error) {
      throw BundleError(std::string("the manifest or the evidence is none: ") + error.what() + "; export it again");
    }
    make_session(bytes, options.threads);
  }

  std::string name;
  std::vector<std::string> labels;  ///< Of each column of `logits` and `probabilities`.
  double temperature = 1;           ///< Divisor of the logits before the softmax of `probabilities`.
  std::optional<Rejection> rejection;
  nlohmann::json manifest;            ///< All that the bundle says about itself, as `edge info --json` prints it.
  Evidence evidence;                  ///< Golden images and PyTorch's logits.
  std::string sha256;                 ///< Of the whole file, 64 hexadecimal digits, as `sha256sum` prints it.
  std::optional<std::string> signer;  ///< The trusted key that signed it, where keys were given.
  std::size_t size;                   ///< Of the file in bytes.

  /// Runs the model. images: count * 784 bytes, ink 255 on background 0; count: 1 or more.
  Outputs run(const std::uint8_t* images, std::size_t count) const {
    static const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const std::array<std::int64_t, 3> shape{static_cast<std::int64_t>(count), side, side};
    // The runtime's interface has no tensors that are only read; it does not write to inputs.
    const Ort::Value input = Ort::Value::CreateTensor(memory, const_cast<std::uint8_t*>(images), count * pixels,
                                                      shape.data(), shape.size());
    const char* const wanted[] = {"logits", "probabilities", "score"};
    const char* const given[] = {"image"};
    std::vector<Ort::Value> found;
    try {
      found = session_->Run(Ort::RunOptions{nullptr}, given, &input, 1, wanted, has_score_ ? 3 : 2);
    } catch (const Ort::Exception& error) {
      throw BundleError(std::string("the runtime cannot run the graph: ") + error.what());
    }
    Outputs outputs{floats(found[0], count * labels.size()), floats(found[1], count * labels.size()), {}};
    if (!std::all_of(outputs.logits.begin(), outputs.logits.end(), [](float one) { return std::isfinite(one); }))
      throw BundleError("the model answers with something that is no number");
    if (has_score_) {
      const std::vector<float> scores = floats(found[2], count);
      outputs.scores.assign(scores.begin(), scores.end());
    } else if (rejection) {
      for (std::size_t at = 0; at < count; ++at)
        outputs.scores.push_back(detail::score(*rejection, &outputs.logits[at * labels.size()]));
    }
    return outputs;
  }

  /// Says what prepared images show. images: count * 784 bytes; count: 1 or more.
  std::vector<Prediction> predict(const std::uint8_t* images, std::size_t count) const {
    const Outputs outputs = run(images, count);
    std::vector<Prediction> predictions(count);
    for (std::size_t at = 0; at < count; ++at) {
      const float* row = &outputs.probabilities[at * labels.size()];
      const std::size_t best = detail::argmax(row, labels.size());
      predictions[at] = {labels[best], row[best], {row, row + labels.size()}, std::nullopt, false};
      if (outputs.scores.empty() || !rejection) continue;
      predictions[at].score = outputs.scores[at];
      predictions[at].rejected = outputs.scores[at] < rejection->threshold;
    }
    return predictions;
  }

  /// Replays the evidence on this machine: the golden images all at once, among many, and one by one.
  Report verify() const {
    const std::size_t count = evidence.kinds.size(), classes = labels.size();
    std::vector<Outputs> runs{run(evidence.images.data(), count)};
    std::vector<std::uint8_t> many(std::max(count, detail::many_images) * pixels);
    for (std::size_t at = 0; at < many.size(); ++at) many[at] = evidence.images[at % evidence.images.size()];
    runs.push_back(run(many.data(), many.size() / pixels));
    Outputs apart;
    for (std::size_t at = 0; at < count; ++at) {
      const Outputs one = run(&evidence.images[at * pixels], 1);
      apart.logits.insert(apart.logits.end(), one.logits.begin(), one.logits.end());
      apart.probabilities.insert(apart.probabilities.end(), one.probabilities.begin(), one.probabilities.end());
    }
    runs.push_back(apart);

    Report report;
    std::size_t digits = 0, worst = 0;
    double total = 0, worst_share = -1, probability_error = 0, score_error = 0;
    for (std::size_t at = 0; at < count; ++at) {
      const float* const expected = &evidence.logits[at * classes];
      double error = 0;
      bool flipped = false;
      for (const Outputs& outputs : runs) {
        const float* const logits = &outputs.logits[at * classes];
        const std::vector<double> right = detail::softmax(logits, classes, temperature);
        for (std::size_t column = 0; column < classes; ++column) {
          const double difference = std::abs(static_cast<double>(logits[column]) - expected[column]);
          total += difference;
          error = detail::largest(error, difference);
          const double probability = outputs.probabilities[at * classes + column];
          probability_error = detail::largest(probability_error, std::abs(probability - right[column]));
        }
        flipped = flipped || detail::argmax(logits, classes) != detail::argmax(expected, classes);
      }
      const bool drawn = evidence.kinds[at].rfind("stroke", 0) == 0;
      digits += drawn ? 1U : 0U;
      report.flips += flipped ? 1U : 0U;
      report.digit_flips += flipped && drawn ? 1U : 0U;
      if (error / evidence.limits[at] > worst_share) {
        worst = at;
        worst_share = error / evidence.limits[at];
        report.max_logit_error = error;
      }
      if (rejection && !runs[0].scores.empty()) {
        const double right = detail::score(*rejection, &runs[0].logits[at * classes]);
        const double difference = std::abs(runs[0].scores[at] - right) / std::max(std::abs(right), 1.0);
        score_error = detail::largest(score_error, difference);
      }
    }
    report.mean_logit_error = total / static_cast<double>(runs.size() * count * classes);
    report.passed = worst_share <= 1 && report.digit_flips == 0 && report.flips <= evidence.max_flips &&
                    probability_error <= detail::probability_tolerance && score_error <= detail::score_tolerance;
    const std::size_t extremes = count - digits;
    std::string found = std::to_string(count) + " images, max |logit error| " +
                        detail::scientific(report.max_logit_error) + " (allowed " +
                        detail::scientific(evidence.limits[worst]) + "), mean " +
                        detail::scientific(report.mean_logit_error) + ", " + std::to_string(report.digit_flips) +
                        " of " + std::to_string(digits) + " digits flip (allowed 0), " +
                        std::to_string(report.flips - report.digit_flips) + " of " + std::to_string(extremes) +
                        " extremes (allowed " + std::to_string(std::min(evidence.max_flips, extremes)) + ")";
    if (!(probability_error <= detail::probability_tolerance))
      found += "; probabilities are off by " + detail::scientific(probability_error);
    if (!(score_error <= detail::score_tolerance)) found += "; scores are off by " + detail::scientific(score_error);
    const std::string signed_by = signer ? ", signed by " + signer->substr(0, 12) + "..." : "";
    report.steps = {
        {"digest", true, std::to_string(size) + " bytes, SHA-256 " + sha256.substr(0, 12) + "..." + signed_by},
        {"load", true, "onnxruntime " + Ort::GetVersionString()},
        {"placement", true, "all nodes on the one provider that the session has"},
        {"evidence", report.passed, found},
    };
    return report;
  }

 private:
  void read_manifest() {
    const auto& spoken = manifest.at("protocol");
    if (spoken != detail::protocol)
      throw BundleError("the bundle speaks protocol " + spoken.dump() + ", this header " +
                        std::to_string(detail::protocol) + "; take a newer one");
    manifest.at("name").get_to(name);
    manifest.at("labels").get_to(labels);
    manifest.at("temperature").get_to(temperature);
    const nlohmann::json& input = manifest.at("input");
    if (input.at("dtype") != "uint8" || input.at("shape") != nlohmann::json::array({"batch", side, side}))
      throw BundleError("the bundle takes " + input.dump() + "; this header serves 28x28 images");
    if (labels.empty()) throw BundleError("the bundle has no labels; export it again");
    rejection = detail::read_rejection(manifest, labels.size());
  }

  void make_session(std::string_view bytes, int threads) {
    Ort::SessionOptions settings;
    settings.SetIntraOpNumThreads(threads).SetInterOpNumThreads(1);
    try {
      session_ = std::make_unique<Ort::Session>(detail::environment(), bytes.data(), bytes.size(), settings);
    } catch (const Ort::Exception& error) {
      throw BundleError(std::string("the runtime cannot load the graph: ") + error.what());
    }
    Ort::AllocatorWithDefaultOptions allocator;
    for (std::size_t at = 0; at < session_->GetOutputCount(); ++at)
      has_score_ = has_score_ || std::string_view(session_->GetOutputNameAllocated(at, allocator).get()) == "score";
  }

  static std::vector<float> floats(const Ort::Value& tensor, std::size_t expected) {
    const auto facts = tensor.GetTensorTypeAndShapeInfo();
    if (facts.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || facts.GetElementCount() != expected)
      throw BundleError("the graph answers with arrays of another type or size; export it again");
    const float* numbers = tensor.GetTensorData<float>();
    return {numbers, numbers + expected};
  }

  std::unique_ptr<Ort::Session> session_;
  bool has_score_ = false;
};

}  // namespace edge

#endif  // EDGE_HPP

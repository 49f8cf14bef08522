// Bundles of edge in JavaScript: opened, checked, replayed and asked, with onnxruntime-web or onnxruntime-node.
//
//     import * as ort from "onnxruntime-web/wasm";
//     import { open } from "./edge.mjs";
//
//     const bundle = await open(bytes, ort);          // bytes of the file; a damaged one throws BundleError
//     const report = await bundle.verify();           // the steps of `edge verify`, on this machine
//     const [answer] = await bundle.predict(image);   // Uint8Array of N * 784 bytes, ink 255 on background 0
//
//     await open(bytes, ort, { trusted: [key] });     // signed by that key, 64 digits or PEM, or BundleError
//
// It depends on nothing but the runtime that it is given. SHA-256 and Ed25519 come from `crypto.subtle`, which browsers
// offer on https, on localhost and for files; on plain http elsewhere they do not, and `open` says so.

export const SIDE = 28;

const PROTOCOL = 1;
const PIXELS = SIDE * SIDE;
const PROBABILITY_TOLERANCE = 2e-3; // as `edge verify` has it
const SCORE_TOLERANCE = 1e-3; // and this, a share of the score, or of 1 where it is less
const MANY_IMAGES = 64; // more than an int8 graph computes in its way for a few
const DRAWN = "stroke"; // what the kind of a drawn image begins with; the others are extremes
const MOST_IMAGES = 4096;
const METADATA_FIELD = 14; // of a ModelProto: repeated StringStringEntryProto, key 1, value 2
const [MANIFEST, EVIDENCE, ROWS, DIGEST] = ["edge.manifest", "edge.evidence", "edge.rows", "edge.digest"];
const SIGNATURE = "edge.signature";
const BITS = "edge.bits"; // of a C form: SHA-256 of the logits of all golden images, as float32
const OUR_KEYS = [MANIFEST, EVIDENCE, ROWS, BITS, SIGNATURE, DIGEST];
const DIGEST_DIGITS = 64;
// Ed25519's points of small order, without the bit of their sign: they have no private key, and signatures that hold.
const OF_SMALL_ORDER = new Set([
  "00".repeat(32),
  "01" + "00".repeat(31),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  ...["ec", "ed", "ee"].map((first) => first + "ff".repeat(30) + "7f"),
]);
const SIGNATURE_LENGTH = "ed25519 ".length + 64 + 1 + 128; // docs/signing.md: the key and the signature, in digits
const PUBLIC_KEY_DER = "302a300506032b6570032100"; // what stands before the 32 bytes of a key in PEM

/** A bundle that cannot be used; the message says what happened and what to do next. */
export class BundleError extends Error {
  name = "BundleError";
}

/**
 * Opens a bundle: checks every byte of it, then makes a session.
 * @param {Uint8Array} bytes - The file.
 * @param {object} ort - onnxruntime-web or onnxruntime-node; c.mjs for what holds a C form.
 * @param {object} [options] - `trusted`: public keys, one of which must have signed it, 64 hexadecimal digits or the
 *   text of a PEM file each; all others go to `InferenceSession.create`.
 * @returns {Promise<Bundle>}
 */
export async function open(bytes, ort, { trusted, ...options } = {}) {
  await checkDigest(bytes);
  const entries = metadata(bytes);
  const signer = await checkSignature(bytes, entries, trusted);
  for (const key of [MANIFEST, EVIDENCE]) {
    if (!entries.has(key)) throw new BundleError(`the file has no ${key}; export it again with \`edge export\``);
  }
  const manifest = parsed(entries.get(MANIFEST), "manifest");
  if (manifest.protocol !== PROTOCOL) {
    throw new BundleError(`the bundle speaks protocol ${manifest.protocol}, this module ${PROTOCOL}; take a newer one`);
  }
  if (manifest.input.dtype !== "uint8" || `${manifest.input.shape}` !== `batch,${SIDE},${SIDE}`) {
    throw new BundleError(`it takes ${manifest.input.dtype} [${manifest.input.shape}]; this module serves 28x28 images`);
  }
  const evidence = await readEvidence(entries.get(EVIDENCE), manifest.labels.length);
  let session;
  try {
    session = await ort.InferenceSession.create(bytes, options);
  } catch (error) {
    throw new BundleError(`the runtime cannot load the graph: ${error.message}`);
  }
  const [rows, bits] = [entries.get(ROWS), entries.get(BITS)];
  const checked = { bytes, sha256: await sha256(bytes), signer, manifest, evidence, rows, bits };
  return new Bundle({ ...checked, session, ort, options });
}

/** A checked bundle and its session. Make it with `open`. */
export class Bundle {
  #parts;
  #rows = null;

  constructor(parts) {
    this.#parts = parts;
    /** What the bundle says about itself, as `edge info --json` prints it. */
    this.manifest = parts.manifest;
    /** Golden images and PyTorch's logits: {images, logits, kinds, limits, maxFlips}. */
    this.evidence = parts.evidence;
    /** SHA-256 of the whole file, 64 hexadecimal digits, as `sha256sum` prints it. */
    this.sha256 = parts.sha256;
    /** The public key that signed it, 64 hexadecimal digits, where `open` was given keys to check; otherwise null. */
    this.signer = parts.signer;
    /** Size of the file in bytes. */
    this.size = parts.bytes.length;
    /** Whether `beliefs` can say what a recurrent model believes after each row. */
    this.hasRows = parts.rows !== undefined;
  }

  /**
   * Runs the model.
   * @param {Uint8Array} images - N * 784 bytes, N at least 1.
   * @returns {Promise<{logits: Float32Array, probabilities: Float32Array, scores: Float64Array | null}>} Rows of
   *   `manifest.labels.length` numbers, and a score for each image: about 0 for a usual digit, lower for others.
   */
  async run(images) {
    const count = images.length / PIXELS;
    if (!(images instanceof Uint8Array) || count < 1 || !Number.isInteger(count)) {
      throw new TypeError(`give a Uint8Array of N * ${PIXELS} bytes, ink 255 on background 0`);
    }
    const { session, ort } = this.#parts;
    const given = { image: new ort.Tensor("uint8", images, [count, SIDE, SIDE]) };
    const found = await session.run(given);
    const logits = found.logits.data;
    if (!logits.every(Number.isFinite)) throw new BundleError("the model answers with something that is no number");
    const probabilities = found.probabilities?.data ?? this.#probabilities(logits);
    return { logits, probabilities, scores: this.#scores(found, logits, count) };
  }

  /**
   * Says what prepared images show.
   * @param {Uint8Array} images - N * 784 bytes, N at least 1.
   * @returns {Promise<Array<{label: string, confidence: number, probabilities: Object<string, number>,
   *   score: number | null, rejected: boolean}>>}
   */
  async predict(images) {
    const { labels, rejection } = this.manifest;
    const { probabilities, scores } = await this.run(images);
    return Array.from({ length: images.length / PIXELS }, (_, at) => {
      const row = probabilities.subarray(at * labels.length, (at + 1) * labels.length);
      const best = argmax(row);
      const score = scores ? scores[at] : null;
      return {
        label: labels[best],
        confidence: row[best],
        probabilities: Object.fromEntries(labels.map((label, column) => [label, row[column]])),
        score,
        rejected: score !== null && score < rejection.threshold,
      };
    });
  }

  /**
   * What a recurrent model believes after each row of one image.
   * @param {Uint8Array} image - 784 bytes.
   * @returns {Promise<number[][]>} 28 rows of probabilities, in the order of `manifest.labels`.
   */
  async beliefs(image) {
    if (!this.hasRows) throw new BundleError(`${this.manifest.name} does not read row by row`);
    const classes = this.manifest.labels.length;
    const { bytes, rows, ort, options } = this.#parts;
    if (this.#rows === null) {
      // protobuf merges a message that comes twice: these bytes give the graph one more output.
      const piece = fromBase64(rows);
      const whole = new Uint8Array(bytes.length + piece.length);
      whole.set(bytes);
      whole.set(piece, bytes.length);
      this.#rows = ort.InferenceSession.create(whole, options);
    }
    const given = { image: new ort.Tensor("uint8", image, [1, SIDE, SIDE]) };
    const { row_logits: found } = await (await this.#rows).run(given, ["row_logits"]);
    return Array.from({ length: SIDE }, (_, row) =>
      softmax(found.data.subarray(row * classes, (row + 1) * classes), this.manifest.temperature),
    );
  }

  /**
   * Replays the evidence on this machine: the golden images all at once, among many, and one by one.
   * @returns {Promise<{passed: boolean, steps: Array<{name: string, passed: boolean, detail: string}>,
   *   maxLogitError: number, meanLogitError: number, flips: number, digitFlips: number}>}
   */
  async verify() {
    const { images, logits: expected, kinds, limits, maxFlips } = this.evidence;
    const { temperature, labels } = this.manifest;
    const classes = labels.length;
    const count = kinds.length;
    const together = await this.run(images);
    const size = PIXELS * Math.max(count, MANY_IMAGES);
    const many = Uint8Array.from({ length: size }, (_, at) => images[at % images.length]);
    const singles = [];
    for (let at = 0; at < count; at++) singles.push(await this.run(images.slice(at * PIXELS, (at + 1) * PIXELS)));
    const joined = (name) => Float32Array.from(singles.flatMap((single) => [...single[name]]));
    const apart = { logits: joined("logits"), probabilities: joined("probabilities") };

    const errors = new Float64Array(count);
    const flipped = new Array(count).fill(false);
    let [total, probabilityError] = [0, 0];
    const runs = [together, await this.run(many), apart];
    for (const { logits, probabilities } of runs) {
      for (let at = 0; at < count; at++) {
        const row = (array) => array.subarray(at * classes, (at + 1) * classes);
        const right = softmax(row(logits), temperature);
        for (let column = 0; column < classes; column++) {
          const error = Math.abs(row(logits)[column] - row(expected)[column]);
          total += error;
          errors[at] = Math.max(errors[at], error);
          probabilityError = Math.max(probabilityError, Math.abs(row(probabilities)[column] - right[column]));
        }
        flipped[at] ||= argmax(row(logits)) !== argmax(row(expected));
      }
    }
    const mean = total / (runs.length * expected.length);
    const worst = argmax(errors.map((error, at) => error / limits[at]));
    const digits = kinds.map((kind) => kind.startsWith(DRAWN));
    const amount = (these) => these.filter(Boolean).length;
    const flips = amount(flipped);
    const digitFlips = amount(flipped.map((flip, at) => flip && digits[at]));
    const scoreError = this.#scoreError(together, count);
    const { bits, session, ort } = this.#parts;
    const sameBits = bits === undefined || (await sha256(together.logits)) === bits;
    const holds =
      errors.every((error, at) => error <= limits[at]) && // written so that NaN never holds
      digitFlips === 0 &&
      flips <= maxFlips &&
      probabilityError <= PROBABILITY_TOLERANCE &&
      scoreError <= SCORE_TOLERANCE &&
      sameBits;
    const others = count - amount(digits);
    const detail =
      `${count} images, max |logit error| ${scientific(errors[worst])} (allowed ${scientific(limits[worst])}), ` +
      `mean ${scientific(mean)}, ${digitFlips} of ${amount(digits)} digits flip (allowed 0), ` +
      `${flips - digitFlips} of ${others} extremes (allowed ${Math.min(maxFlips, others)})` +
      (probabilityError <= PROBABILITY_TOLERANCE ? "" : `; probabilities are off by ${scientific(probabilityError)}`) +
      (scoreError <= SCORE_TOLERANCE ? "" : `; scores are off by ${scientific(scoreError)}`) +
      (bits === undefined ? "" : sameBits ? "; the bits are those of the export" : "; OTHER BITS than those of the export");
    const signed = this.signer ? `, signed by ${this.signer.slice(0, 12)}...` : "";
    const about = [`onnxruntime ${version(ort)}`, "all nodes on the one provider that the session has"];
    const [loaded, placed] = session.about ?? about;
    const steps = [
      { name: "digest", passed: true, detail: `${this.size} bytes, SHA-256 ${this.sha256.slice(0, 12)}...${signed}` },
      { name: "load", passed: true, detail: loaded },
      { name: "placement", passed: true, detail: placed },
      { name: "evidence", passed: holds, detail },
    ];
    return { passed: holds, steps, maxLogitError: errors[worst], meanLogitError: mean, flips, digitFlips };
  }

  /** Of an engine that gives logits only. */
  #probabilities(logits) {
    const { temperature, labels } = this.manifest;
    const count = logits.length / labels.length;
    const row = (at) => logits.subarray(at * labels.length, (at + 1) * labels.length);
    return Float32Array.from(Array.from({ length: count }, (_, at) => softmax(row(at), temperature)).flat());
  }

  /** How far the graph's scores are from those of its own logits; 0 where it gives none. */
  #scoreError({ logits, scores }, count) {
    if (!scores || !this.manifest.rejection) return 0;
    const expected = this.#scores({}, logits, count);
    return Math.max(...expected.map((right, at) => Math.abs(scores[at] - right) / Math.max(Math.abs(right), 1)));
  }

  /** As `edge.classifier.prediction` computes it, where the graph does not give it. */
  #scores(found, logits, count) {
    if (found.score) return Float64Array.from(found.score.data);
    const rule = this.manifest.rejection;
    if (!rule) return null;
    const classes = this.manifest.labels.length;
    return Float64Array.from({ length: count }, (_, at) => {
      const row = logits.subarray(at * classes, (at + 1) * classes);
      const highest = Math.max(...row);
      const energy = highest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - highest), 0));
      const nearest = Math.min(...rule.centres.map((centre) => distance(row, centre, rule.whitening)));
      return (
        Math.min((energy - rule.energy[0]) / rule.energy[1], 0) + (rule.distance[0] - nearest) / rule.distance[1]
      );
    });
  }
}

/** The metadata entries of a serialised ModelProto by their keys; edge's own may come once only. */
export function metadata(bytes) {
  const entries = new Map();
  for (const [field, value] of fields(bytes)) {
    if (field !== METADATA_FIELD || !(value instanceof Uint8Array)) continue;
    const pair = new Map(fields(value));
    const key = text(pair.get(1) ?? new Uint8Array());
    if (entries.has(key) && OUR_KEYS.includes(key)) {
      throw new BundleError("the file was packed twice; export it again with `edge export`");
    }
    entries.set(key, text(pair.get(2) ?? new Uint8Array()));
  }
  return entries;
}

/** Field numbers and values of a protobuf message: numbers for varints, byte arrays for what has a length. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let [value, factor] = [0, 1];
    for (;;) {
      if (at >= bytes.length) throw new BundleError("the file is cut off or no ONNX file; copy it again");
      const byte = bytes[at++];
      value += (byte & 127) * factor; // not shifted: lengths may need more than 31 bits
      if (byte < 128) return value;
      factor *= 128;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const [field, kind] = [Math.floor(key / 8), key % 8];
    if (kind === 0) yield [field, varint()];
    else {
      const length = kind === 2 ? varint() : { 1: 8, 5: 4 }[kind];
      if (length === undefined || at + length > bytes.length) {
        throw new BundleError("the file is cut off or no ONNX file; copy it again");
      }
      yield [field, bytes.subarray(at, at + length)];
      at += length;
    }
  }
}

async function checkDigest(bytes) {
  const beginning = entryBeginning(DIGEST, DIGEST_DIGITS);
  const end = bytes.length - DIGEST_DIGITS;
  const start = end - beginning.length;
  if (!holds(bytes, start, beginning)) {
    throw new BundleError("the file does not end in a digest: it is cut off, damaged, or no bundle of edge");
  }
  if (text(bytes.subarray(end)) !== (await sha256(bytes.subarray(0, start)))) {
    throw new BundleError("the file is damaged: its bytes do not match its digest; copy it again");
  }
}

/** Who signed the bundle, which must be one of the trusted keys; null where nobody asks. */
async function checkSignature(bytes, entries, trusted) {
  if (trusted === undefined || trusted === null) return null;
  const keys = [trusted].flat().map(publicKey);
  if (keys.length === 0) throw new BundleError("the list of trusted keys is empty, so that no bundle could be opened");
  if (!entries.has(SIGNATURE)) {
    throw new BundleError("the bundle is not signed, and only signed ones are trusted here; sign it with `edge sign`");
  }
  // The entry stands directly before the digest: what lies before it is what was signed.
  const beginning = entryBeginning(SIGNATURE, SIGNATURE_LENGTH);
  const tail = SIGNATURE_LENGTH + entryBeginning(DIGEST, DIGEST_DIGITS).length + DIGEST_DIGITS;
  const start = bytes.length - tail - beginning.length;
  const found = /^ed25519 ([0-9a-f]{64}) ([0-9a-f]{128})$/.exec(entries.get(SIGNATURE));
  if (!found || !holds(bytes, start, beginning)) {
    throw new BundleError("the bundle has a signature that `edge sign` did not write; fetch it again from who made it");
  }
  const [, key, signature] = found;
  if (!keys.includes(key)) {
    throw new BundleError(`the bundle says that it is signed by ${key}, which is no key that is trusted here`);
  }
  const digest = await sha256(bytes.subarray(0, start));
  const message = new TextEncoder().encode(`edge bundle signature 1\n${digest}\n${entries.get(MANIFEST)}`);
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", fromHexadecimal(key), "Ed25519", false, ["verify"]);
  } catch (error) {
    if (error.name !== "NotSupportedError") throw new BundleError(`the key ${key} cannot be used: ${error.message}`);
    throw new BundleError("Ed25519 signatures cannot be checked here; take a newer browser, or check with `edge verify`");
  }
  if (!(await crypto.subtle.verify("Ed25519", imported, fromHexadecimal(signature), message))) {
    throw new BundleError(`the bundle was changed after it was signed by ${key}, or never was; fetch it again`);
  }
  return key;
}

/** A public key as 64 hexadecimal digits, which is somebody's. */
function publicKey(source) {
  const key = keyDigits(source);
  const sign = (parseInt(key.slice(-2), 16) & 127).toString(16).padStart(2, "0");
  if (OF_SMALL_ORDER.has(key.slice(0, -2) + sign)) {
    throw new BundleError(`the key ${key} is nobody's: anybody can sign for it; give one that \`edge keygen\` wrote`);
  }
  return key;
}

function keyDigits(source) {
  if (/^[0-9a-fA-F]{64}$/.test(source)) return source.toLowerCase();
  const block = /-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]*)-----END PUBLIC KEY-----/.exec(source);
  const digits = block ? hexadecimal(fromBase64(block[1])) : "";
  if (digits.length !== PUBLIC_KEY_DER.length + 64 || !digits.startsWith(PUBLIC_KEY_DER)) {
    throw new BundleError("a trusted key is no Ed25519 key: give 64 hexadecimal digits or the text of a .pub file");
  }
  return digits.slice(PUBLIC_KEY_DER.length);
}

/** The bytes of a metadata entry before its value, which is shorter than 256 bytes. */
function entryBeginning(key, length) {
  const size = (value) => (value < 128 ? [value] : [(value & 127) | 128, value >> 7]);
  const name = new TextEncoder().encode(key);
  const entry = [10, name.length, ...name, 18, ...size(length)];
  return [(METADATA_FIELD << 3) | 2, ...size(entry.length + length), ...entry];
}

function holds(bytes, start, expected) {
  return start >= 0 && expected.every((byte, at) => bytes[start + at] === byte);
}

async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) {
    throw new BundleError("SHA-256 is not to be had here: open the page by https, from localhost, or as a file");
  }
  return hexadecimal(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

async function readEvidence(content, classes) {
  const record = parsed(content, "evidence");
  const count = record.kinds?.length;
  if (!(count >= 1 && count <= MOST_IMAGES) || record.classes !== classes) {
    throw new BundleError("the evidence does not fit the manifest; export the bundle again");
  }
  const stream = new Blob([fromBase64(record.images)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const images = new Uint8Array(await new Response(stream).arrayBuffer());
  const raw = fromBase64(record.logits);
  if (images.length !== count * PIXELS || raw.length !== count * classes * 4) {
    throw new BundleError("the evidence has another size than it says; export the bundle again");
  }
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const logits = Float32Array.from({ length: count * classes }, (_, at) => view.getFloat32(4 * at, true));
  const limits = record.limits ?? new Array(count).fill(record.max_logit_error);
  return { images, logits, kinds: record.kinds, limits, maxFlips: record.max_flips };
}

function parsed(content, what) {
  try {
    return JSON.parse(content);
  } catch (error) {
    throw new BundleError(`the ${what} is no JSON: ${error.message}; export the bundle again`);
  }
}

function distance(row, centre, whitening) {
  const apart = centre.map((value, at) => row[at] - value);
  let squared = 0;
  for (let column = 0; column < apart.length; column++) {
    let sum = 0; // L is lower triangular: only rows from `column` on count
    for (let at = column; at < apart.length; at++) sum += apart[at] * whitening[at][column];
    squared += sum * sum;
  }
  return Math.sqrt(squared);
}

function softmax(logits, temperature) {
  const highest = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp((value - highest) / temperature));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

const version = (ort) => ort.env?.versions?.web ?? ort.env?.versions?.node ?? ort.env?.versions?.common ?? "";
const argmax = (row) => row.reduce((best, value, at) => (value > row[best] ? at : best), 0);
const text = (bytes) => new TextDecoder().decode(bytes);
export const fromBase64 = (content) => Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
const hexadecimal = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const fromHexadecimal = (digits) => Uint8Array.from(digits.match(/../g), (pair) => Number.parseInt(pair, 16));
const scientific = (value) => value.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");

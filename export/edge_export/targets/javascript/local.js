// The page of one file: a bundle in the page itself answers, and can be asked to replay its evidence.

import * as c from "./c.mjs";
import { open } from "./edge.mjs";
import { start } from "./page.js";

const WASM = "runtime-ort-wasm-simd-threaded.wasm";
const at = (id) => document.getElementById(id);

/** Bytes written as 13 bits, the lowest first, in two signs of ASCII from "!" on without "<": html.py writes them. */
function read(element) {
  const text = element.textContent;
  const bytes = new Uint8Array(Number(element.dataset.bytes));
  const value = (place) => {
    const code = text.charCodeAt(place);
    return code - (code > 60 ? 34 : 33);
  };
  let [bits, held, filled] = [0, 0, 0];
  for (let place = 0; place < text.length; place += 2) {
    bits |= (value(place) * 93 + value(place + 1)) << held;
    for (held += 13; held > 7; held -= 8, bits >>= 8) bytes[filled++] = bits;
  }
  return bytes;
}

async function unpacked(id) {
  const stream = new Blob([read(at(id))]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** onnxruntime-web out of the page: WebAssembly and the module that drives it. */
async function runtime() {
  const module = new Blob([await unpacked("runtime-ort.wasm.bundle.min.mjs")], { type: "text/javascript" });
  const ort = await import(URL.createObjectURL(module));
  ort.env.wasm.wasmBinary = (await unpacked(WASM)).buffer;
  ort.env.wasm.numThreads = 1; // more need headers that a file has not
  return ort;
}

const ort = at(WASM) ? runtime() : c;
const bundles = new Map();

/** The opened bundle of a name. */
async function opened(name) {
  if (!bundles.has(name)) {
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
    bundles.set(name, unpacked(`bundle-${name}`).then(async (bytes) => open(bytes, await ort, options)));
  }
  return bundles.get(name);
}

/** The row, from 1, from which on the answer leads without interruption; null where another leads at the end. */
function settledRow(rows, answer) {
  const leads = rows.map((row) => row.indexOf(Math.max(...row)) === answer);
  const last = leads.lastIndexOf(false) + 1;
  return last === rows.length ? null : last + 1;
}

start({
  async models() {
    const names = JSON.parse(at("bundle-names").textContent);
    const found = [];
    for (const name of names) {
      const { manifest, size, sha256, hasRows } = await opened(name);
      const facts =
        `${name}: ${manifest.parameters.toLocaleString("en")} parameters, ${manifest.precision}, ` +
        `${(size / 1000).toFixed(0)} KB, in this page. SHA-256 ${sha256}. ` +
        "It reads what is drawn; photos and files are for `edge predict` and `edge serve`.";
      found.push({ name, labels: manifest.labels, recurrent: hasRows, facts });
    }
    return found;
  },
  async predict(name, image) {
    const bundle = await opened(name);
    const start = performance.now();
    const [answer] = await bundle.predict(image);
    performance.measure("edge.predict", { start }); // for the browser's own tools, and benchmarks/targets.py
    return answer;
  },
  async explain(name, image) {
    const bundle = await opened(name);
    const rows = await bundle.beliefs(image);
    const [{ label }] = await bundle.predict(image);
    return { rows, settled_row: settledRow(rows, bundle.manifest.labels.indexOf(label)) };
  },
  async verify(name) {
    return (await opened(name)).verify();
  },
});

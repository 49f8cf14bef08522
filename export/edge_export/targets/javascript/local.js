// The page of one file: a bundle in the page itself answers, and can be asked to replay its evidence.

import { open } from "./edge.mjs";
import { start } from "./page.js";

const at = (id) => document.getElementById(id);
const bytesOf = (id) => Uint8Array.from(atob(at(id).textContent.trim()), (sign) => sign.charCodeAt(0));

async function unpacked(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** onnxruntime-web out of the page: WebAssembly and the module that drives it. */
async function runtime() {
  const module = new Blob([await unpacked("runtime-module")], { type: "text/javascript" });
  const ort = await import(URL.createObjectURL(module));
  ort.env.wasm.wasmBinary = (await unpacked("runtime-wasm")).buffer;
  ort.env.wasm.numThreads = 1; // more need headers that a file has not
  return ort;
}

const ort = runtime();
const bundles = new Map();

/** The opened bundle of a name. */
async function opened(name) {
  if (!bundles.has(name)) {
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
    bundles.set(name, open(bytesOf(`bundle-${name}`), await ort, options));
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
    const [answer] = await (await opened(name)).predict(image);
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

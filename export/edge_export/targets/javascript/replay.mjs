// Replays the evidence of bundles in Node, with the engine and the module that a page holds; prints a line of JSON each.
//
//     node replay.mjs FOLDER BUNDLE...      FOLDER holds edge.mjs, c.mjs, and onnxruntime-web's two files for graphs

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, ...paths] = process.argv.slice(2);
const module = (name) => import(pathToFileURL(resolve(join(folder, name))));

const { metadata, open } = await module("edge.mjs");

async function onnxruntime() {
  const ort = await module("ort.wasm.bundle.min.mjs");
  ort.env.wasm.wasmBinary = readFileSync(join(folder, "ort-wasm-simd-threaded.wasm")).buffer;
  ort.env.wasm.numThreads = 1;
  return ort;
}

const ROUNDS = 101; // of a single image, for the median of its time

for (const path of paths) {
  const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
  const bytes = new Uint8Array(readFileSync(path));
  const ort = await (metadata(bytes).has("edge.wasm") ? module("c.mjs") : onnxruntime());
  const bundle = await open(bytes, ort, options);
  const report = await bundle.verify();
  const { logits } = await bundle.run(bundle.evidence.images);
  const image = bundle.evidence.images.slice(0, 784);
  const times = [];
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    await bundle.run(image);
    times.push(performance.now() - began);
  }
  const ms = times.sort((one, other) => one - other)[(ROUNDS - 1) / 2];
  console.log(JSON.stringify({ name: bundle.manifest.name, ...report, logits: [...logits], ms }));
}

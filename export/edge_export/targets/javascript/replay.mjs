// Replays a bundle's evidence in Node, with the runtime and the module that a page holds; prints the report as JSON.
//
//     node replay.mjs FOLDER BUNDLE      FOLDER holds edge.mjs and onnxruntime-web's two files

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, path] = process.argv.slice(2);
const module = (name) => import(pathToFileURL(resolve(join(folder, name))));

const ort = await module("ort.wasm.bundle.min.mjs");
const { open } = await module("edge.mjs");
ort.env.wasm.wasmBinary = readFileSync(join(folder, "ort-wasm-simd-threaded.wasm")).buffer;
ort.env.wasm.numThreads = 1;

const bundle = await open(new Uint8Array(readFileSync(path)), ort, { executionProviders: ["wasm"], logSeverityLevel: 3 });
const report = await bundle.verify();
const { logits } = await bundle.run(bundle.evidence.images);
const image = bundle.evidence.images.slice(0, 784);
const began = performance.now();
for (let round = 0; round < 20; round++) await bundle.run(image);
console.log(JSON.stringify({ ...report, logits: [...logits], ms: (performance.now() - began) / 20 }));

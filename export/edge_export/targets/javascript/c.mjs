// The C form of a bundle, compiled to WebAssembly, behind the face of onnxruntime-web that edge.mjs asks.
//
// What it opens has no graph: the module, and whose it is, stand in one more metadata entry.

import { SIDE, fromBase64, metadata } from "./edge.mjs";

const PAGE_BYTES = 65536;
const PIXELS = SIDE * SIDE;

export class Tensor {
  constructor(type, data) {
    this.data = data;
  }
}

export const InferenceSession = {
  async create(bytes) {
    const { wasm, compiler, classes, source } = JSON.parse(metadata(bytes).get("edge.wasm"));
    const code = fromBase64(wasm);
    const { instance } = await WebAssembly.instantiate(code);
    const { memory, edge_logits: logits } = instance.exports;
    const needed = PIXELS + 4 * classes;
    const image = memory.grow(Math.ceil(needed / PAGE_BYTES)) * PAGE_BYTES; // behind what the module uses itself
    const answer = image + PIXELS;
    return {
      about: [
        `C of ${source.name}, SHA-256 ${source.sha256.slice(0, 12)}..., compiled by ${compiler}`,
        `one function, ${code.length} bytes of WebAssembly, no library`,
      ],
      async run({ image: { data } }) {
        const found = new Float32Array((data.length / PIXELS) * classes);
        for (let at = 0; at * classes < found.length; at++) {
          new Uint8Array(memory.buffer).set(data.subarray(at * PIXELS, (at + 1) * PIXELS), image);
          logits(image, answer);
          found.set(new Float32Array(memory.buffer, answer, classes), at * classes);
        }
        return { logits: { data: found } };
      },
    };
  },
};

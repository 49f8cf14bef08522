/** Types of edge.mjs, whose comments say what everything does. */

export declare const SIDE: 28;

export declare class BundleError extends Error {}

export interface Outputs {
  /** float32 [N, classes], row by row. */
  logits: Float32Array;
  /** float32 [N, classes], row by row; each row sums to 1. */
  probabilities: Float32Array;
  /** [N]; null where the bundle cannot say. */
  scores: Float64Array | null;
}

export interface Prediction {
  label: string;
  /** 0 to 1. */
  confidence: number;
  probabilities: Record<string, number>;
  /** About 0 for a usual digit, lower for what looks less like any label; null where the bundle cannot say. */
  score: number | null;
  /** Whether the score is so low that the image is probably none of the labels. */
  rejected: boolean;
}

export interface Step {
  name: "digest" | "load" | "placement" | "evidence";
  passed: boolean;
  detail: string;
}

export interface Report {
  passed: boolean;
  steps: Step[];
  maxLogitError: number;
  meanLogitError: number;
  flips: number;
  /** Those of drawn digits, of which none may flip. */
  digitFlips: number;
}

export interface Evidence {
  /** uint8 [N, 28, 28]. */
  images: Uint8Array;
  /** float32 [N, classes], of the trained model in PyTorch. */
  logits: Float32Array;
  kinds: string[];
  /** The largest difference of a logit that still passes, for each image. */
  limits: number[];
  maxFlips: number;
}

export declare class Bundle {
  readonly manifest: Record<string, unknown> & { name: string; labels: string[]; temperature: number };
  readonly evidence: Evidence;
  /** Of the whole file, 64 hexadecimal digits. */
  readonly sha256: string;
  /** The trusted key that signed it, 64 hexadecimal digits; null where `open` was given none. */
  readonly signer: string | null;
  readonly size: number;
  readonly hasRows: boolean;
  run(images: Uint8Array): Promise<Outputs>;
  predict(images: Uint8Array): Promise<Prediction[]>;
  beliefs(image: Uint8Array): Promise<number[][]>;
  verify(): Promise<Report>;
}

export interface Options {
  /** Public keys, one of which must have signed the bundle: 64 hexadecimal digits or the text of a PEM file each. */
  trusted?: string | string[];
  /** All others are those of `InferenceSession.create`. */
  [setting: string]: unknown;
}

export declare function open(bytes: Uint8Array, ort: object, options?: Options): Promise<Bundle>;

export declare function metadata(bytes: Uint8Array): Map<string, string>;

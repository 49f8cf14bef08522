// The page of a service: it asks nobody but the service that it came from.

import { start } from "./page.js";

const KEY = "edge-key";
const IMAGE = { "content-type": "application/octet-stream" }; // 784 bytes are an image already

const at = (id) => document.getElementById(id);
const query = (name, more = "") => `?model=${encodeURIComponent(name)}${more}`;

/** Asks the service; a problem is thrown with what it says. */
async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The service cannot be reached; is it still running?");
  }
  const answer = await response.json().catch(() => ({ error: `the service answered ${response.status}` }));
  at("key-form").hidden = response.status !== 401;
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

const service = {
  async models() {
    const { models } = await ask("/v2/models");
    return models.map((model) => ({
      ...model,
      facts:
        `${model.name}: ${model.parameters.toLocaleString("en")} parameters, ${model.precision}, ` +
        `${(model.bytes / 1000).toFixed(0)} KB, on ${model.provider}. Verified: ${model.evidence}. ` +
        `SHA-256 ${model.digest}`,
    }));
  },
  predict: (name, image) => ask(`/predict${query(name)}`, { method: "POST", body: image, headers: IMAGE }),
  explain: (name, image) => ask(`/explain${query(name)}`, { method: "POST", body: image, headers: IMAGE }),
  read(name, files) {
    const form = new FormData();
    for (const [index, file] of files.entries()) form.append("file", file, file.name || `picture ${index + 1}`);
    return ask(`/predict${query(name, "&image=1")}`, { method: "POST", body: form });
  },
};

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("key").value);
  start(service);
});

start(service);

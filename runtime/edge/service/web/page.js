// The page: a pad and pictures in, answers out. Who answers is behind it: the service, or a bundle in the page itself.

import { SIDE, imageOf } from "./framing.js";
import { makePad } from "./pad.js";
import { drawImage, drawRows, makeBars, percent } from "./view.js";

const MOST_PICTURES = 60;
const PAUSE_MS = 120; // of the pen, before the rows are asked for

const at = (id) => document.getElementById(id);
const state = { models: [], model: null, show: null, asked: 0, rows: null, timer: null };

let backend = null;
let pad = null;

/**
 * Starts the page.
 * @param {object} answers - Who answers:
 *   models(): [{name, labels, recurrent, facts}], the first one answers first;
 *   predict(name, image): {label, confidence, probabilities, rejected}, for 784 bytes;
 *   explain(name, image): {rows, settled_row}, what a recurrent model believes after each row;
 *   read(name, files): the records of picture files with their images in base64; without it none can be opened;
 *   verify(name): {passed, steps: [{name, passed, detail}]}; without it there is no such button.
 */
export async function start(answers) {
  backend = answers;
  at("open").hidden = at("hint").hidden = !backend.read;
  at("verify").hidden = !backend.verify;
  pad ??= makePad(at("pad"), drawn);
  try {
    state.models = await backend.models();
    at("model").replaceChildren(...state.models.map((model) => new Option(model.name, model.name)));
    choose(state.models[0].name);
  } catch (problem) {
    tell(problem);
  }
}

function choose(name) {
  const model = state.models.find((each) => each.name === name);
  state.model = model;
  state.show = makeBars(at("bars"), model.labels);
  at("rows-figure").hidden = !model.recurrent;
  at("rows-labels").replaceChildren(
    ...model.labels.map((label) => Object.assign(document.createElement("span"), { textContent: label })),
  );
  at("facts").textContent = model.facts;
  at("report").hidden = true;
  drawn(pad.strokes);
}

/** Something was drawn, or the pad is empty. */
async function drawn(strokes) {
  if (!state.model) return;
  const image = imageOf(strokes);
  const number = ++state.asked;
  clearTimeout(state.timer);
  at("picture").hidden = true;
  if (image === null) {
    empty();
    return;
  }
  drawImage(at("image"), image);
  try {
    const answer = await backend.predict(state.model.name, image);
    if (number !== state.asked) return; // a later stroke has been asked about meanwhile
    show(answer);
    if (state.model.recurrent) state.timer = setTimeout(() => believe(image, number), PAUSE_MS);
  } catch (problem) {
    if (number === state.asked) tell(problem);
  }
}

async function believe(image, number) {
  try {
    const answer = await backend.explain(state.model.name, image);
    if (number !== state.asked) return;
    state.rows = answer.rows;
    drawRows(at("rows"), answer.rows);
    const settled = answer.settled_row;
    at("rows-caption").textContent =
      settled === null ? "What it believes after each row" : `What it believes after each row; settled at row ${settled}`;
  } catch (problem) {
    if (number === state.asked) tell(problem);
  }
}

function show(answer) {
  tell(null);
  state.show(answer.probabilities, answer.label);
  at("verdict").classList.toggle("rejected", answer.rejected);
  at("label").textContent = answer.label;
  const digits = state.model.labels.join("") === "0123456789";
  at("confidence").textContent = answer.rejected
    ? `${digits ? "not a digit" : "none of the labels"} (it would be ${answer.label} with ${percent(answer.confidence)})`
    : percent(answer.confidence);
}

function empty() {
  tell(null);
  state.show(null, null);
  state.rows = null;
  drawImage(at("image"), null);
  drawRows(at("rows"), null);
  at("verdict").classList.remove("rejected");
  at("label").textContent = "\u00a0";
  at("confidence").textContent = "draw, and the answer comes while you do";
  at("rows-caption").textContent = "What it believes after each row";
}

function tell(problem) {
  at("problem").hidden = problem === null;
  at("problem").textContent = problem === null ? "" : problem.message;
}

/** Pictures that were dropped, pasted, chosen or photographed: the last one is shown large, all of them below. */
async function opened(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || file.type === "").slice(0, MOST_PICTURES);
  if (pictures.length === 0 || !state.model || !backend.read) return;
  pad.strokes.length = 0;
  pad.redraw();
  const number = ++state.asked;
  clearTimeout(state.timer);
  at("confidence").textContent = "reading…";
  try {
    const answers = await backend.read(state.model.name, pictures);
    if (number !== state.asked) return;
    list(pictures, answers);
    const last = answers.at(-1);
    at("picture").src = URL.createObjectURL(pictures.at(-1));
    at("picture").hidden = false;
    if (last.error) {
      empty();
      throw new Error(last.error);
    }
    show(last);
    const image = Uint8Array.from(atob(last.image), (sign) => sign.charCodeAt(0));
    drawImage(at("image"), image);
    drawRows(at("rows"), null);
    if (state.model.recurrent) await believe(image, number);
  } catch (problem) {
    if (number === state.asked) tell(problem);
  }
}

function list(files, answers) {
  const items = answers.map((answer, index) => {
    const item = document.createElement("li");
    const picture = document.createElement("img");
    picture.src = URL.createObjectURL(files[index]);
    picture.alt = "";
    const label = document.createElement(answer.error ? "span" : "strong");
    label.textContent = answer.error ?? answer.label;
    label.className = answer.error || answer.rejected ? "wrong" : "";
    item.append(picture, label);
    if (!answer.error) item.append(answer.rejected ? "not a digit" : percent(answer.confidence));
    const name = document.createElement("div");
    name.textContent = answer.path;
    item.append(name);
    return item;
  });
  at("results").replaceChildren(...items);
  at("results-section").hidden = answers.length < 2;
}

at("clear").addEventListener("click", () => pad.clear());
at("undo").addEventListener("click", () => pad.undo());
at("model").addEventListener("change", (event) => choose(event.target.value));
at("file").addEventListener("change", (event) => {
  opened(event.target.files);
  event.target.value = "";
});
at("verify").addEventListener("click", async () => {
  at("verify").disabled = true;
  at("report").hidden = false;
  at("report").textContent = "replaying the evidence\u2026";
  try {
    const { passed, steps } = await backend.verify(state.model.name);
    const lines = steps.map(({ name, passed: ok, detail }) => `${name.padEnd(9)} ${ok ? "ok" : "FAILED"}  ${detail}`);
    at("report").textContent = [`${state.model.name}: ${passed ? "verified" : "FAILED"}`, ...lines].join("\n");
  } catch (problem) {
    at("report").textContent = problem.message;
  }
  at("verify").disabled = false;
});
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select")) return;
  if (event.key === "Escape" || event.key === "Delete") pad.clear();
  else if (event.key === "z" && (event.ctrlKey || event.metaKey)) pad.undo();
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) opened(event.clipboardData.files);
});
for (const name of ["dragover", "dragenter"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.querySelector(".input").classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.querySelector(".input").classList.remove("over");
  });
}
document.addEventListener("drop", (event) => opened(event.dataTransfer.files));
window.addEventListener("resize", () => drawRows(at("rows"), state.rows));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  pad?.redraw();
  drawRows(at("rows"), state.rows);
});

drawImage(at("image"), null);

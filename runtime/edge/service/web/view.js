// What an answer looks like: the label, ten bars, the image that the model saw, and what it believed row by row.

import { SIDE } from "./framing.js";

/** A share for people: 99.8 %, and never 100 % or 0 % for what is not quite so. */
export function percent(share) {
  const text = (100 * share).toFixed(1);
  if (text === "100.0" && share < 1) return "> 99.9 %";
  if (text === "0.0" && share > 0) return "< 0.1 %";
  return `${text} %`;
}

/** Makes one bar for each label; returns a function that shows probabilities by label. */
export function makeBars(list, labels) {
  list.replaceChildren();
  const bars = labels.map((label) => {
    const row = document.createElement("li");
    const name = document.createElement("span");
    const bar = document.createElement("span");
    const value = document.createElement("span");
    name.className = "bar-label";
    bar.className = "bar";
    value.className = "bar-value";
    name.textContent = label;
    bar.append(document.createElement("span"));
    row.append(name, bar, value);
    list.append(row);
    return { row, fill: bar.firstChild, value };
  });
  return (probabilities, best) => {
    labels.forEach((label, at) => {
      const share = probabilities?.[label] ?? 0;
      bars[at].fill.style.setProperty("--share", share);
      bars[at].value.textContent = probabilities ? percent(share) : "";
      bars[at].row.classList.toggle("best", probabilities !== null && label === best);
    });
  };
}

/** Draws a 28x28 image, a canvas pixel for each of its pixels. */
export function drawImage(canvas, image) {
  canvas.width = canvas.height = SIDE;
  const context = canvas.getContext("2d");
  const shown = context.createImageData(SIDE, SIDE);
  for (let at = 0; at < SIDE * SIDE; at++) {
    const level = image ? image[at] : 0;
    shown.data.set([level, level, level, 255], 4 * at);
  }
  context.putImageData(shown, 0, 0);
}

/**
 * Draws the belief after each row beside the rows of the image: a cell for each row and label, the fuller the surer.
 * @param {HTMLCanvasElement} canvas
 * @param {number[][] | null} rows - Probabilities, a list for each row of the image.
 */
export function drawRows(canvas, rows) {
  const labels = rows?.[0]?.length ?? 10;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const [cellWidth, cellHeight] = [canvas.width / labels, canvas.height / SIDE];
  context.fillStyle = style.getPropertyValue("--ground");
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (!rows) return;
  context.fillStyle = style.getPropertyValue("--accent");
  rows.forEach((row, y) => {
    row.forEach((share, x) => {
      context.globalAlpha = share;
      const [left, top] = [Math.floor(x * cellWidth), Math.floor(y * cellHeight)];
      const [right, bottom] = [Math.floor((x + 1) * cellWidth), Math.floor((y + 1) * cellHeight)];
      context.fillRect(left + 1, top, right - left - 1, bottom - top);
    });
  });
  context.globalAlpha = 1;
}
